//! The Kubernetes backend. Every write is a server-side apply.
//!
//! [`terrace_deployer_model::ownership::Ownership::of`] determines which objects the environment owns. The mark is a label. The proof is the recorded uid, or
//! an Apply entry of the environment's field manager: the label alone proves nothing, because controllers copy labels to their own
//! objects. A plan previews every change with a server-side dry run, unless the live object certainly has the desired state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use futures::future::BoxFuture;
use terrace_artifact::{Artifact, ArtifactId, Bundle, Segment, Text, Value};
use terrace_deployer_model::access::Access;
use terrace_deployer_model::backend::{
    Backend, Connected, Intent, Observation, PlannedDeletions, PreviewOptions, Ticket, Wanted, Write,
};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::journal::Journal;
use terrace_deployer_model::live::{Identity, Live};
use terrace_deployer_model::plan::{Action, Change, Content};
use terrace_deployer_model::values::{Values, at_path};

mod api_errors;
mod claims;
mod configuration;
mod contents;
mod explain;
mod kinds;
mod live;
mod manifest;
mod missing_permissions;
mod observe;
mod ownership;
mod permissions;
mod predict;
mod preview;
mod reasons;
mod recorded_facts;
mod requests;
mod settle;
mod state_store;
mod write;

use api_errors::About;
use configuration::configuration;
use kinds::{Kinds, Served};
use live::{Whose, metadata};
use missing_permissions::OWN_RULES;
use requests::{Refusal, Requests};
use state_store::ClusterStateStore;

/// Creates the backend of a context's cluster. It sends no requests yet, except those that the client needs to connect.
///
/// `label` is the label of the bundle ([`terrace_artifact::Bundle::label`]). It determines the field manager and the names in the
/// state store. `id` is the cluster's id, if the environment states one.
pub fn connect<'a>(
    access: &'a Access,
    context: &'a Text,
    id: Option<&'a Text>,
    label: &'a str,
) -> BoxFuture<'a, Result<Connected, Failure>> {
    Box::pin(async move {
        let config = configuration(access.kubeconfig.as_ref(), context).await?;
        let server: Text = config.cluster_url.to_string().trim_end_matches('/').into();
        let client = kube::Client::try_from(config).map_err(|error| {
            Failure::new(
                FailureKind::Broken,
                format!("context `{context}` of the kubeconfig cannot be used"),
            )
            .server(error.to_string())
        })?;
        let cluster = Kubernetes::new(client, context.clone(), server, id.cloned(), label, access.now);
        let home = cluster.home();
        Ok(Connected {
            backend: Box::new(cluster),
            home: Box::new(home.clone()),
            claims: Box::new(home),
        })
    })
}

/// A cluster as a target of one environment.
pub(crate) struct Kubernetes {
    requests: Requests,
    whose: Whose,
    /// The cluster's id, if the environment states one.
    id: Option<Text>,
    now: fn() -> SystemTime,
    kinds: tokio::sync::Mutex<Option<Arc<Kinds>>>,
    coming: Mutex<Arc<PlannedNamespacesAndKinds>>,
    /// The uids of objects that were seen to belong to managed objects, by ownerReferences.
    belongs: Mutex<BTreeSet<Text>>,
    /// The last lists of the contents of the cluster's namespaces.
    looked: Mutex<Option<Arc<contents::Looked>>>,
    /// The permissions that dry runs have proven or disproven.
    permissions: Mutex<BTreeMap<Right, bool>>,
}

/// A permission: a verb, a resource (`deployments.apps`), and a namespace.
type Right = (&'static str, Text, Text);

fn right(verb: &'static str, served: &Served, namespace: Option<&Text>) -> Right {
    (
        verb,
        served.resource().into(),
        namespace.cloned().unwrap_or_default(),
    )
}

/// The namespaces and kinds that the bundle itself creates.
#[derive(Default)]
struct PlannedNamespacesAndKinds {
    namespaces: BTreeSet<Text>,
    /// The groups and kinds of the bundle's own CRDs.
    kinds: BTreeSet<(Text, Text)>,
    /// The namespaces that exist, if the user may list them.
    existing: Option<BTreeSet<Text>>,
}

impl Kubernetes {
    /// Creates the backend of the cluster that `client` connects to. `context` and `server` are for messages. `label` is the label of
    /// the bundle.
    pub(crate) fn new(
        client: kube::Client,
        context: Text,
        server: Text,
        id: Option<Text>,
        label: &str,
        now: fn() -> SystemTime,
    ) -> Kubernetes {
        let (platform, environment) = label.split_once('.').unwrap_or((label, ""));
        Kubernetes {
            requests: Requests::new(client, context, server),
            whose: Whose {
                label: label.into(),
                manager: ownership::manager(platform, environment),
            },
            id,
            now,
            kinds: tokio::sync::Mutex::default(),
            coming: Mutex::default(),
            belongs: Mutex::default(),
            looked: Mutex::default(),
            permissions: Mutex::default(),
        }
    }

    /// Returns the state store of this environment in this cluster.
    pub(crate) fn home(&self) -> ClusterStateStore {
        ClusterStateStore::new(self.requests.clone(), &self.whose.label)
    }

    /// Returns the kinds that the server serves. They are discovered once.
    async fn kinds(&self) -> Result<Arc<Kinds>, Failure> {
        let mut kinds = self.kinds.lock().await;
        if let Some(kinds) = &*kinds {
            return Ok(kinds.clone());
        }
        let found = Kinds::discover(&self.requests)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Silence(reason) => self.requests.unreachable(reason),
                Refusal::Status(status) if matches!(status.code, 401 | 403) => {
                    let message = format!(
                        "cluster `{}` refuses to list its API resources",
                        self.requests.context
                    );
                    let kind = FailureKind::Denied {
                        verb: "get".into(),
                        resource: "/api and /apis".into(),
                        rule: None,
                    };
                    Failure::new(kind, message)
                        .server(&status.message)
                        .hint("log in again, or check the user of this context in the kubeconfig")
                }
                refusal => Failure::new(
                    FailureKind::Broken,
                    format!(
                        "cluster `{}` cannot list its API resources",
                        self.requests.context
                    ),
                )
                .server(refusal.to_string()),
            })?;
        let found = Arc::new(found);
        *kinds = Some(found.clone());
        Ok(found)
    }

    /// Discards the discovered kinds, so that the next use discovers them again.
    async fn forget_kinds(&self) {
        *self.kinds.lock().await = None;
    }

    fn coming(&self) -> Arc<PlannedNamespacesAndKinds> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn expect(&self, coming: PlannedNamespacesAndKinds) {
        *self.coming.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(coming);
    }

    /// Returns whether the user has a permission, if a dry run has shown it.
    fn right(&self, verb: &'static str, served: &Served, namespace: Option<&Text>) -> Option<bool> {
        let permissions = self.permissions.lock().unwrap_or_else(PoisonError::into_inner);
        permissions.get(&right(verb, served, namespace)).copied()
    }

    fn remember_right(&self, verb: &'static str, served: &Served, namespace: Option<&Text>, may: bool) {
        let mut permissions = self.permissions.lock().unwrap_or_else(PoisonError::into_inner);
        permissions.insert(right(verb, served, namespace), may);
    }

    async fn identity(&self) -> Result<Identity, Failure> {
        let kinds = self.kinds().await?;
        let Some(served) = kinds.get("v1", "Namespace") else {
            return Err(Failure::new(
                FailureKind::Broken,
                format!(
                    "cluster `{}` does not serve `Namespace` at `v1`",
                    self.requests.context
                ),
            ));
        };
        let about = About {
            verb: "get",
            served,
            namespace: None,
            name: Some("kube-system"),
        };
        let system = self.requests.get(&served.path(None, "kube-system")).await;
        let system = system.map_err(|refusal| {
            let mut failure = self.requests.failure(refusal, about);
            if let FailureKind::Denied { rule: Some(rule), .. } = &mut failure.kind {
                OWN_RULES.clone_into(rule);
            }
            failure.hint("allow Terrace to read this namespace: its UID identifies the cluster")
        })?;
        let found: Text = system
            .as_ref()
            .map(|object| metadata(object, "uid"))
            .unwrap_or_default()
            .into();
        let (context, server) = (&self.requests.context, &self.requests.server);
        match &self.id {
            Some(stated) if *stated != found => Err(Failure::new(
                FailureKind::WrongTarget,
                format!("context `{context}` connects to cluster `{found}`, but the environment names cluster `{stated}`"),
            )
            .hint(format!(
                "correct context `{context}` in the kubeconfig, which connects to {server}, or `id` of the cluster in the environment"
            ))),
            _ => Ok(Identity {
                kind: "kubernetes".into(),
                id: found,
                shown: format!("cluster {context} at {server}").into(),
            }),
        }
    }
}

impl Backend for Kubernetes {
    fn identify(&self) -> BoxFuture<'_, Result<Identity, Failure>> {
        Box::pin(self.identity())
    }

    fn observe<'a>(&'a self, wanted: &'a Wanted<'a>) -> BoxFuture<'a, Result<Vec<Live>, Failure>> {
        Box::pin(self.observe_all(*wanted))
    }

    fn preview<'a>(
        &'a self,
        artifact: &'a Artifact,
        live: Option<&'a Live>,
        values: &'a Values,
        options: &'a PreviewOptions,
    ) -> BoxFuture<'a, Result<Change, Failure>> {
        Box::pin(self.preview_one(artifact, live, values, options))
    }

    fn attribute(&self, attribute: &[Segment], live: &Live, change: Option<&Change>) -> Option<Value> {
        let now = at_path(&live.value, attribute).cloned();
        let Some(change) = change else {
            return now;
        };
        match change.action {
            Action::Keep => now,
            Action::Update | Action::Adopt => {
                let changed = change
                    .fields
                    .iter()
                    .find(|field| attribute.starts_with(&field.path));
                match changed {
                    Some(field) => at_path(field.after.as_ref()?, &attribute[field.path.len()..]).cloned(),
                    None => now,
                }
            }
            // Only the name and the namespace survive a replacement.
            _ => match attribute {
                [Segment::Key(first), Segment::Key(second)]
                    if first == "metadata" && matches!(second.as_str(), "name" | "namespace") =>
                {
                    now
                }
                _ => None,
            },
        }
    }

    fn may_delete(&self, live: &Live) -> Result<(), String> {
        if &*live.subject.kind == "Namespace" && is_systems(&live.subject.name) {
            return Err("Terrace never deletes system namespaces".to_owned());
        }
        Ok(())
    }

    fn contents<'a>(
        &'a self,
        going: &'a PlannedDeletions<'a>,
    ) -> BoxFuture<'a, Result<BTreeMap<ArtifactId, Vec<Content>>, Failure>> {
        Box::pin(self.contents_of(going))
    }

    fn in_the_way<'a>(
        &'a self,
        going: &'a PlannedDeletions<'a>,
    ) -> BoxFuture<'a, Result<Vec<Failure>, Failure>> {
        Box::pin(self.claims_in_use(going))
    }

    fn check<'a>(&'a self, intent: &'a Intent<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.check_rights(*intent))
    }

    fn write<'a>(&'a self, write: Write<'a>) -> BoxFuture<'a, Result<Ticket, Failure>> {
        Box::pin(self.write_one(write))
    }

    fn delete<'a>(&'a self, live: &'a Live, _: &'a Journal<'a>) -> BoxFuture<'a, Result<Ticket, Failure>> {
        Box::pin(self.delete_one(live))
    }

    fn release<'a>(&'a self, live: &'a Live, _: &'a Journal<'a>) -> BoxFuture<'a, Result<Ticket, Failure>> {
        Box::pin(self.release_one(live))
    }

    fn operation_id(&self, ticket: &Ticket) -> Option<Text> {
        ticket.0.get("uid").and_then(Value::as_str).map(Text::from)
    }

    fn look<'a>(
        &'a self,
        id: &'a ArtifactId,
        artifact: Option<&'a Artifact>,
        ticket: &'a Ticket,
    ) -> BoxFuture<'a, Result<Observation, Failure>> {
        Box::pin(self.look_once(id, artifact, ticket))
    }
}

/// Returns whether a namespace belongs to the system, or to Terrace itself.
fn is_systems(name: &str) -> bool {
    let prefixes = ["kube-", "openshift"];
    matches!(name, "default" | state_store::NAMESPACE)
        || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

impl PlannedNamespacesAndKinds {
    /// Collects the namespaces and CRDs of a bundle in one target.
    fn of(bundle: &Bundle, target: &str) -> PlannedNamespacesAndKinds {
        let mut coming = PlannedNamespacesAndKinds::default();
        let objects = bundle
            .artifacts
            .iter()
            .filter(|artifact| artifact.target == target);
        for object in objects.filter_map(Artifact::object) {
            match object.kind.as_str() {
                "Namespace" => {
                    coming.namespaces.insert(object.name.clone());
                }
                "CustomResourceDefinition" => {
                    let text = |path: &[&str]| {
                        object
                            .manifest
                            .at(path)
                            .and_then(Value::as_str)
                            .unwrap_or_default()
                    };
                    coming.kinds.insert((
                        text(&["spec", "group"]).into(),
                        text(&["spec", "names", "kind"]).into(),
                    ));
                }
                _ => {}
            }
        }
        coming
    }
}
