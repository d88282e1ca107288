//! The CloudFormation backend. It creates and updates stacks through change sets only.
//!
//! ```text
//! account        credentials, clients, and the meaning of AWS errors
//! observe        reads live stacks: DescribeStacks, and GetTemplate if the last change set is not the desired one
//! record         a stack as AWS describes it; the digest in a change set's name
//! evidence       proof that Terrace wrote a stack, for stacks that the state store does not record
//! contents       resources of a stack that are deleted only if the user approves them by name
//! names          conflicts between resource names
//! template       reads templates and substitutes parameters
//! difference     predicts the changes and replacements of a template without a change set
//! preview        the change that a plan shows
//! change_set     creates change sets, compares them with the plan, executes or deletes them
//! deploy, begun  creates, updates and deletes stacks, and observes them until they are ready
//! release        retains an adopted stack without Terrace's tags
//! guards         termination protection and stack policies, and their recovery records
//! events         stack events and the progress of an operation
//! stages         updates in two change sets: resources that other stacks still use are deleted last
//! causes         the first cause of a failure
//! status         the meaning of each stack status
//! bucket, home   the bootstrap bucket: large templates, assets, the ledger and the lock
//! bootstrap      creates the bootstrap bucket
//! ```

mod account;
mod bootstrap;
mod bucket;
mod causes;
mod change_set;
mod contents;
mod deploy;
mod difference;
mod events;
mod evidence;
mod guards;
mod losses;
mod names;
mod observe;
mod preview;
mod record;
mod release;
mod stages;
mod started_operation;
mod state_store;
mod status;
mod template;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use terrace_artifact::{
    Artifact, ArtifactId, Asset, Body, CloudFormationStack, Digest, Segment, Text, Value,
};
use terrace_deployer_model::access::Access;
use terrace_deployer_model::backend::{
    Backend, Connected, Intent, Observation, PlanDraft, PlannedDeletions, PreviewOptions, RemovedPart,
    Ticket, Wanted, Write,
};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::journal::{Journal, Note};
use terrace_deployer_model::live::{Identity, Live};
use terrace_deployer_model::plan::{Change, Content};
use terrace_deployer_model::values::Values;

use account::Account;
use record::Observed;
use started_operation::StartedOperation;
use state_store::BucketStateStore;

/// Connects to an account and region. `profile` is the profile that the environment names for its credentials. `label` is the
/// label of the bundle ([`terrace_artifact::Bundle::label`]).
pub fn connect<'a>(
    access: &'a Access,
    account: &'a Text,
    region: &'a Text,
    profile: Option<&'a Text>,
    label: &'a str,
) -> BoxFuture<'a, Result<Connected, Failure>> {
    Box::pin(async move {
        let (_, environment) = label.split_once('.').unwrap_or_default();
        let account = Account::connect(&access.aws, account, region, profile, environment).await;
        let account = Arc::new(account);
        let home = BucketStateStore::new(account.clone(), label);
        let backend = CloudFormation {
            account,
            label: label.to_owned(),
        };
        Ok(Connected {
            backend: Box::new(backend),
            home: Box::new(home.clone()),
            claims: Box::new(home),
        })
    })
}

/// Creates the bootstrap bucket of an account, which stores templates, assets and the ledger. Returns one line for each
/// setting of the bucket.
pub fn bootstrap<'a>(
    access: &'a Access,
    account: &'a Text,
    region: &'a Text,
    profile: Option<&'a Text>,
    environment: &'a str,
) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
    Box::pin(async move {
        Account::connect(&access.aws, account, region, profile, environment)
            .await
            .bootstrap()
            .await
    })
}

/// The stacks of one environment in one account and region.
struct CloudFormation {
    account: Arc<Account>,
    label: String,
}

impl Backend for CloudFormation {
    fn identify(&self) -> BoxFuture<'_, Result<Identity, Failure>> {
        Box::pin(self.account.identify())
    }

    fn observe<'a>(&'a self, wanted: &'a Wanted<'a>) -> BoxFuture<'a, Result<Vec<Live>, Failure>> {
        Box::pin(self.account.observe(wanted))
    }

    fn preview<'a>(
        &'a self,
        artifact: &'a Artifact,
        live: Option<&'a Live>,
        values: &'a Values,
        options: &'a PreviewOptions,
    ) -> BoxFuture<'a, Result<Change, Failure>> {
        Box::pin(async move {
            let stack = stack_of(artifact)?;
            let change = self
                .account
                .change(stack, live, values, options, &self.label)
                .await;
            change.map_err(|failure| failure.about(None, Some(&stack.origin)))
        })
    }

    fn attribute(&self, attribute: &[Segment], live: &Live, change: Option<&Change>) -> Option<Value> {
        preview::attribute(attribute, live, change)
    }

    fn removal(&self, live: &Live) -> Change {
        preview::removal(live)
    }

    fn may_adopt(&self, live: &Live) -> Result<(), String> {
        preview::may_adopt(&Observed::from_value(&live.value).record)
    }

    fn contents<'a>(
        &'a self,
        going: &'a PlannedDeletions<'a>,
    ) -> BoxFuture<'a, Result<BTreeMap<ArtifactId, Vec<Content>>, Failure>> {
        Box::pin(async move {
            let mut contents = BTreeMap::new();
            for id in going.among {
                if let Some(live) = going.live.get(id) {
                    let observed = Observed::from_value(&live.value);
                    contents.insert(id.clone(), self.account.contents_of_stack(&observed).await?);
                }
            }
            Ok(contents)
        })
    }

    fn obstacles<'a>(&'a self, draft: &'a PlanDraft<'a>) -> BoxFuture<'a, Result<Vec<Failure>, Failure>> {
        Box::pin(self.account.taken_names(draft))
    }

    /// Databases and clusters take longer than the objects of a cluster.
    fn settle_timeout(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn leaving(&self, live: &Live, change: &Change) -> Vec<RemovedPart> {
        stages::leaving(live, change)
    }

    fn keeping(&self, artifact: &Artifact, live: &Live, parts: &BTreeSet<Text>) -> Option<Artifact> {
        let kept = stages::keeping(artifact.stack()?, live, parts)?;
        Some(Artifact {
            body: Body::Stack(kept),
            ..artifact.clone()
        })
    }

    fn rest(&self, artifact: &Artifact, kept: &Artifact, live: &Live, values: &Values) -> Option<Change> {
        stages::rest(artifact.stack()?, kept.stack()?, live, values, &self.label)
    }

    /// Refuses every write to an account that is not bootstrapped, or whose bucket belongs to another account.
    fn check<'a>(&'a self, intent: &'a Intent<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.account.identify().await?;
            if intent.writes.is_empty() {
                return Ok(());
            }
            self.account.require_bucket().await
        })
    }

    /// Uploads the assets of the stacks that will be written. CloudFormation rejects a template that refers to a missing asset.
    fn begin<'a>(&'a self, intent: &'a Intent<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.account.identify().await?;
            let mut assets: Vec<(&Digest, &Asset)> = Vec::new();
            for artifact in &intent.bundle.artifacts {
                let Some(stack) = artifact.stack().filter(|_| intent.writes.contains(&artifact.id)) else {
                    continue;
                };
                assets.extend(
                    stack
                        .assets
                        .iter()
                        .filter_map(|digest| Some((digest, intent.bundle.assets.get(digest)?))),
                );
            }
            assets.sort_by(|a, b| a.1.key.cmp(&b.1.key));
            assets.dedup_by(|a, b| a.1.key == b.1.key);
            self.account.put_assets(&assets).await
        })
    }

    fn write<'a>(&'a self, write: Write<'a>) -> BoxFuture<'a, Result<Ticket, Failure>> {
        Box::pin(async move {
            let stack = stack_of(write.artifact)?;
            self.account.identify().await?;
            let ticket = self.account.deploy(&write, stack, &self.label).await;
            ticket.map_err(|failure| failure.about(None, Some(&stack.origin)))
        })
    }

    fn delete<'a>(
        &'a self,
        live: &'a Live,
        journal: &'a Journal<'a>,
    ) -> BoxFuture<'a, Result<Ticket, Failure>> {
        Box::pin(async move {
            self.account.identify().await?;
            self.account.remove(live, journal, &self.label).await
        })
    }

    fn release<'a>(
        &'a self,
        live: &'a Live,
        journal: &'a Journal<'a>,
    ) -> BoxFuture<'a, Result<Ticket, Failure>> {
        Box::pin(async move {
            self.account.identify().await?;
            self.account.release(live, journal).await
        })
    }

    fn operation_id(&self, ticket: &Ticket) -> Option<Text> {
        Some(StartedOperation::of(ticket).stack_id).filter(|id| !id.is_empty())
    }

    fn unwritten(&self, live: &Live) -> Ticket {
        StartedOperation::unwritten(live).into_ticket()
    }

    fn restore<'a>(&'a self, note: &'a Note) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.account.identify().await?;
            self.account.restore(note, &self.label).await
        })
    }

    fn look<'a>(
        &'a self,
        id: &'a ArtifactId,
        artifact: Option<&'a Artifact>,
        ticket: &'a Ticket,
    ) -> BoxFuture<'a, Result<Observation, Failure>> {
        Box::pin(self.account.look(id, artifact, ticket, &self.label))
    }
}

fn stack_of(artifact: &Artifact) -> Result<&CloudFormationStack, Failure> {
    artifact.stack().ok_or_else(|| {
        Failure::new(
            FailureKind::Broken,
            format!(
                "`{}` is not a CloudFormation stack and cannot be deployed to an AWS account",
                artifact.id
            ),
        )
    })
}
