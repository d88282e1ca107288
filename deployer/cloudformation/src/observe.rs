//! Reads the live stacks of an account and their contents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::TemplateStage;
use futures::{StreamExt, TryStreamExt};
use terrace_artifact::{Address, Artifact, ArtifactId, CloudFormationStack, Text, Value};
use terrace_deployer_model::backend::Wanted;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::ownership::{ApparentOwner, Ownership};
use terrace_deployer_model::subject::Subject;

use super::account::Account;
use super::events::name_of;
use super::evidence::{PendingChangeSet, Recorded};
use super::guards::with_guards_back;
use super::record::{Observed, Record, STACK_TAG, change_set_name, stack_name, tags};
use super::status::StackState;
use super::{contents, template, yaml};

/// The number of stacks that are read in parallel. CloudFormation allows an account a few requests per second.
const AT_ONCE: usize = 6;

impl Account {
    /// Observes every stack that is desired, was deployed by the last release, is recorded in the state store, or has the tag of
    /// this environment.
    pub(super) async fn observe(&self, wanted: &Wanted<'_>) -> Result<Vec<Live>, Failure> {
        self.identify().await?;
        let label = wanted.bundle.label();
        let look = Looking {
            account: self,
            wanted,
            label: &label,
            desired: wanted.artifacts().filter_map(named).collect(),
            dropped: wanted.dropped().filter_map(named).collect(),
        };
        let recorded = wanted.identities.iter().map(|(id, _)| id);
        let recorded = recorded.filter(|id| is_of(id, wanted.target)).map(stack_name);
        let names = look.desired.keys().chain(look.dropped.keys()).map(|name| &**name);
        let names: BTreeSet<&str> = names.chain(recorded).collect();
        let records = self.records(&names).await?;
        let concerned = records.into_iter().filter(|record| {
            let carries_label = record.tags.get(STACK_TAG).is_some_and(|value| *value == label);
            names.contains(&*record.name) || (carries_label && !record.nested)
        });
        let look = &look;
        let lives: Vec<Option<Live>> = futures::stream::iter(concerned)
            .map(|record| look.at(record))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(lives.into_iter().flatten().collect())
    }

    /// Returns the stack of this name or id, if it exists.
    pub(super) async fn describe(&self, name_or_id: &str) -> Result<Option<Record>, Failure> {
        let response = self
            .cloudformation
            .describe_stacks()
            .stack_name(name_or_id)
            .send()
            .await;
        match response {
            Ok(found) => Ok(found.stacks().first().map(Record::of)),
            // CloudFormation has no separate error code for a missing stack.
            Err(error)
                if error.code() == Some("ValidationError")
                    && error
                        .message()
                        .is_some_and(|message| message.contains("does not exist")) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.refused(&error, "cloudformation:DescribeStacks", name_or_id)),
        }
    }

    /// Returns a stack with its template and policy, in the form that the engine carries.
    pub(super) async fn live(
        &self,
        target: &Text,
        record: Record,
        template: Value,
        ownership: Ownership,
        known: Known<'_>,
    ) -> Result<Live, Failure> {
        let policy = match known.may_have_policy() {
            true => self.policy_of(&record.id).await?,
            false => None,
        };
        let mut addresses = BTreeMap::new();
        let is_ours = record.has_what_we_wrote(&template);
        let holders = template::holding(&template, known.before, is_ours);
        for (logical_id, resource) in template::resources(&template) {
            let recorded = template::address(resource);
            if let Some(address) = recorded.or_else(|| known.address(logical_id)) {
                addresses.insert(logical_id.clone(), address);
            }
        }
        let strangers = match ownership {
            Ownership::Foreign(_) => template::resources(&template).map(|(id, _)| id.clone()).collect(),
            Ownership::Ours { .. } => contents::strangers(&record, &template, known.wanted, known.before),
        };
        let component = known.component(&record);
        let observed = Observed {
            record,
            template,
            policy,
            addresses,
            holders,
            strangers,
            component,
        };
        let holds_data = observed.holders.iter();
        let holds_data = holds_data.filter_map(|id| observed.addresses.get(id).cloned());
        Ok(Live {
            id: ArtifactId::stack(target, &observed.record.name),
            subject: Subject::stack(&observed.record.name),
            notes: notes(&ownership),
            ownership,
            identity: observed.record.id.clone(),
            basis: observed.basis(),
            addresses: sorted(observed.addresses.values().cloned().collect()),
            holds_data: sorted(holds_data.collect()),
            needs: template::needs(&observed.template),
            value: observed.to_value(),
        })
    }

    /// Returns all stacks of the account and region. Without the permission to list them, returns the stacks of these names.
    async fn records(&self, names: &BTreeSet<&str>) -> Result<Vec<Record>, Failure> {
        match self.all_records().await {
            Err(failure) if matches!(failure.kind, FailureKind::Denied { .. }) && !names.is_empty() => {
                let names: Vec<Text> = names.iter().copied().map(Text::from).collect();
                let found: Vec<Option<Record>> = futures::stream::iter(names)
                    .map(async |name| self.describe(&name).await)
                    .buffer_unordered(AT_ONCE)
                    .try_collect()
                    .await?;
                Ok(found.into_iter().flatten().collect())
            }
            result => result,
        }
    }

    async fn all_records(&self) -> Result<Vec<Record>, Failure> {
        let mut records = Vec::new();
        let mut pages = self.cloudformation.describe_stacks().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.refused(&error, "cloudformation:DescribeStacks", "*"))?;
            records.extend(page.stacks().iter().map(Record::of));
        }
        Ok(records)
    }

    /// Returns the template of a stack. Sends no request if the last executed change set had the desired template.
    pub(super) async fn template_of(
        &self,
        record: &Record,
        stack: Option<&CloudFormationStack>,
        label: &str,
    ) -> Result<Value, Failure> {
        if let Some(stack) = stack {
            let name = change_set_name(&stack.template, &record.parameters, &record.tags);
            let adopted = record.is_tagged_adopted();
            if record.was_left_by(&name) && record.tags == tags(stack, label, adopted) {
                return Ok(stack.template.clone());
            }
        }
        // A stack whose creation was rolled back contains no resources.
        if matches!(record.state(), StackState::Empty) || record.status == "ROLLBACK_COMPLETE" {
            return Ok(Value::Null);
        }
        let version = (
            record.id.clone(),
            record.updated.clone(),
            record.change_set.clone(),
        );
        let at_rest = record.state() != StackState::Busy;
        let known = {
            let known = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&version).filter(|_| at_rest).cloned()
        };
        if let Some(template) = known {
            return Ok(template);
        }
        let template = self.get_template(&record.id, None).await?;
        if at_rest {
            let mut known = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(version, template.clone());
        }
        Ok(template)
    }

    /// Reads the template of a stack, or of one of its change sets.
    pub(super) async fn get_template(
        &self,
        stack_id: &str,
        change_set: Option<&str>,
    ) -> Result<Value, Failure> {
        let name = name_of(stack_id);
        let response = self
            .cloudformation
            .get_template()
            .stack_name(stack_id)
            .set_change_set_name(change_set.map(str::to_owned))
            .template_stage(TemplateStage::Original)
            .send()
            .await
            .map_err(|error| self.refused(&error, "cloudformation:GetTemplate", name))?;
        yaml::template(response.template_body().unwrap_or_default()).map_err(|reason| {
            Failure::new(
                FailureKind::Unsupported,
                format!("the current template of stack `{name}` cannot be read"),
            )
            .server(reason)
            .hint("another user deployed this template; deploy the previous template again")
        })
    }

    async fn policy_of(&self, stack_id: &str) -> Result<Option<Value>, Failure> {
        let response = self
            .cloudformation
            .get_stack_policy()
            .stack_name(stack_id)
            .send()
            .await
            .map_err(|error| self.refused(&error, "cloudformation:GetStackPolicy", name_of(stack_id)))?;
        Ok(response
            .stack_policy_body()
            .and_then(|body| serde_json::from_str(body).ok()))
    }
}

/// One observation of an account.
struct Looking<'a> {
    account: &'a Account,
    wanted: &'a Wanted<'a>,
    label: &'a str,
    /// The desired stacks, by name.
    desired: BTreeMap<Text, &'a Artifact>,
    /// The stacks of the last release that are no longer desired, by name.
    dropped: BTreeMap<Text, &'a Artifact>,
}

impl Looking<'_> {
    /// Returns the live stack of a record, or `None` if it counts as absent.
    async fn at(&self, record: Record) -> Result<Option<Live>, Failure> {
        let wanted = self.wanted;
        let id = ArtifactId::stack(wanted.target, &record.name);
        let artifact = self.desired.get(&record.name).copied();
        let before = self.dropped.get(&record.name).copied();
        let before = before.or_else(|| wanted.previous?.artifact(&artifact?.id));
        let known = Known {
            wanted: artifact.and_then(Artifact::stack),
            before: before.and_then(Artifact::stack),
        };
        let recorded = Recorded::of(wanted.identities, &id, &record.id);
        let (ownership, template) = match record.state() {
            StackState::Gone => return Ok(None),
            StackState::Empty => match self.account.review(&record, self.label).await? {
                PendingChangeSet::Foreign(set) => (
                    Ownership::Foreign(Some(ApparentOwner::ChangeSet(set))),
                    Value::Null,
                ),
                // The next apply creates a desired stack from this state, and deletes any other.
                PendingChangeSet::Ours if artifact.is_none() => (Ownership::MADE, Value::Null),
                PendingChangeSet::Ours | PendingChangeSet::Missing => return Ok(None),
            },
            _ => {
                let template = self
                    .account
                    .template_of(&record, known.wanted, self.label)
                    .await?;
                let ownership = self
                    .account
                    .ownership(&record, &template, self.label, &recorded)
                    .await?;
                (ownership, template)
            }
        };
        let policy_counts = known.may_have_policy();
        let live = self
            .account
            .live(wanted.target, record, template, ownership, known)
            .await?;
        let notes = wanted.notes.iter().filter(|note| note.artifact == id);
        Ok(Some(notes.fold(live, |live, note| {
            with_guards_back(live, note, policy_counts)
        })))
    }
}

/// The declarations of a stack in the bundles.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// The desired stack.
    pub(super) wanted: Option<&'a CloudFormationStack>,
    /// The stack that the last releases deployed.
    pub(super) before: Option<&'a CloudFormationStack>,
}

impl<'a> Known<'a> {
    /// Returns both declarations. The deployed one is first, because it is closer to the live stack.
    fn stacks(self) -> impl Iterator<Item = &'a CloudFormationStack> {
        [self.before, self.wanted].into_iter().flatten()
    }

    fn address(self, logical_id: &str) -> Option<Address> {
        let mut members = self.stacks().filter_map(|stack| stack.members.get(logical_id));
        members.next().map(|member| member.address.clone())
    }

    fn may_have_policy(self) -> bool {
        self.stacks().any(|stack| stack.policy.is_some())
    }

    fn component(self, record: &Record) -> Text {
        let known = self.stacks().next();
        known.map_or_else(
            || record.tags.get("terrace:component").cloned().unwrap_or_default(),
            |stack| format!("{}/{}", stack.owner, stack.component).into(),
        )
    }
}

/// Returns the notes about a stack that a plan shows for every action.
fn notes(ownership: &Ownership) -> Vec<String> {
    let lost_tag = format!(
        "another user removed its tag `{STACK_TAG}`; it still belongs to this environment, because the state store records its StackId"
    );
    ownership.lost_mark().then_some(lost_tag).into_iter().collect()
}

fn is_of(id: &ArtifactId, target: &Text) -> bool {
    id.as_str()
        .split_once(':')
        .is_some_and(|(of, _)| of == target.as_str())
}

fn named(artifact: &Artifact) -> Option<(Text, &Artifact)> {
    Some((artifact.stack()?.name.clone(), artifact))
}

fn sorted(mut addresses: Vec<Address>) -> Vec<Address> {
    addresses.sort();
    addresses.dedup();
    addresses
}
