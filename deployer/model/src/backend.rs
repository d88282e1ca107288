//! The trait that the directory, Kubernetes and CloudFormation backends implement.
//!
//! The engine decides the order of the steps. A backend reads and writes one kind of system. A backend never waits for
//! a state: it looks once and reports the result, and the engine looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use terrace_artifact::{Address, Artifact, ArtifactId, Bundle, Segment, Text, Value};

use crate::claim::ClaimStore;
use crate::failure::{Failure, FailureKind};
use crate::identities::Identities;
use crate::journal::{Journal, Note};
use crate::live::{Identity, Live};
use crate::plan::{Action, Change, Content, Step};
use crate::state_store::StateStore;
use crate::values::Values;

/// A system that receives artifacts: a directory, a cluster, or an account and region.
///
/// Every function may be called from several tasks at once.
pub trait Backend: Send + Sync {
    /// Identifies the system. The engine calls this once, before anything else. Fails with
    /// [`crate::failure::FailureKind::WrongTarget`] if the system is not the one that the environment names (a different cluster
    /// id or account).
    fn identify(&self) -> BoxFuture<'_, Result<Identity, Failure>>;

    /// Reads the live state: the wanted artifacts, everything else that carries our mark, and the identities that the
    /// state store recorded ([`Wanted::identities`]).
    ///
    /// Returns an entry for each artifact that exists, wanted or not, and no entry for an artifact that does not exist.
    /// A live artifact with the name of a wanted, dropped or recorded artifact that Terrace does not own is included,
    /// with [`Ownership::Foreign`]. [`Ownership::of`] decides the ownership.
    ///
    /// [`Ownership::Foreign`]: crate::ownership::Ownership::Foreign
    /// [`Ownership::of`]: crate::ownership::Ownership::of
    fn observe<'a>(&'a self, wanted: &'a Wanted<'a>) -> BoxFuture<'a, Result<Vec<Live>, Failure>>;

    /// Predicts the change that a write of this artifact makes. Requests a dry run from the server if `options` allow
    /// it and `live` alone does not answer the question. Otherwise compares the desired state with `live` and records
    /// that in [`Change::previewed`].
    ///
    /// `live` is this artifact's entry from [`Backend::observe`]. If it is [`Ownership::Foreign`], the user has passed
    /// it to `--adopt`: the engine previews no other foreign artifacts. Returns [`Action::Keep`] if nothing would
    /// change; that case should need no request.
    ///
    /// [`Ownership::Foreign`]: crate::ownership::Ownership::Foreign
    fn preview<'a>(
        &'a self,
        artifact: &'a Artifact,
        live: Option<&'a Live>,
        values: &'a Values,
        options: &'a PreviewOptions,
    ) -> BoxFuture<'a, Result<Change, Failure>>;

    /// Returns the value of an attribute of an artifact, for the bindings of other artifacts.
    ///
    /// With a change that is not applied yet: the value after the change, or `None` if it is known only after apply
    /// (the output of a resource that is created or replaced). Without a change: the current value.
    fn attribute(&self, attribute: &[Segment], live: &Live, change: Option<&Change>) -> Option<Value>;

    /// Describes the deletion of this artifact. By default, all data that the artifact is marked to hold is lost. The
    /// engine does not call this for artifacts that are retained because they were adopted or because
    /// [`Backend::may_delete`] forbids the deletion.
    fn removal(&self, live: &Live) -> Change {
        Change::removal(live)
    }

    /// Checks that this artifact may be deleted at all. If not, it is retained when it leaves the stack, whatever the
    /// user approves. The error is the reason.
    fn may_delete(&self, live: &Live) -> Result<(), String> {
        let _ = live;
        Ok(())
    }

    /// Checks that a foreign live artifact can be adopted. The error is the reason; the refusal then shows it instead
    /// of `--adopt`.
    fn may_adopt(&self, live: &Live) -> Result<(), String> {
        let _ = live;
        Ok(())
    }

    /// Finds the objects that are deleted along with containers (a namespace, a CRD) and for which this plan has no
    /// delete step, for each container that has any. Only reads, and only for [`PlannedDeletions::deleted`]. Fails with
    /// [`FailureKind::Denied`] if permissions to list the contents are missing.
    fn contents<'a>(
        &'a self,
        going: &'a PlannedDeletions<'a>,
    ) -> BoxFuture<'a, Result<BTreeMap<ArtifactId, Vec<Content>>, Failure>> {
        let _ = going;
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    /// Finds conflicts that are certain to make the steps of a plan fail: a new resource with the name of a resource
    /// that remains. Returns a failure for each. Only reads.
    fn obstacles<'a>(&'a self, draft: &'a PlanDraft<'a>) -> BoxFuture<'a, Result<Vec<Failure>, Failure>> {
        let _ = draft;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Lists the parts of a live artifact that an update removes, with the values by which other artifacts refer to
    /// them.
    fn leaving(&self, live: &Live, change: &Change) -> Vec<RemovedPart> {
        let _ = (live, change);
        Vec::new()
    }

    /// Returns the artifact with these parts of the live artifact ([`RemovedPart::part`]) kept in it.
    fn keeping(&self, artifact: &Artifact, live: &Live, parts: &BTreeSet<Text>) -> Option<Artifact> {
        let _ = (artifact, live, parts);
        None
    }

    /// Returns the change that remains for an artifact after `kept`, the result of [`Backend::keeping`], has been
    /// applied.
    fn rest(&self, artifact: &Artifact, kept: &Artifact, live: &Live, values: &Values) -> Option<Change> {
        let _ = (artifact, kept, live, values);
        None
    }

    /// Returns the maximum time to wait until an artifact is ready or deleted, if the user does not set one.
    fn settle_timeout(&self) -> Duration {
        Duration::from_secs(600)
    }

    /// Returns whether an artifact waits until all its late values are known. A directory does not fill them in: there they
    /// remain placeholders.
    fn fills_late_values(&self) -> bool {
        true
    }

    /// Finds artifacts that a plan deletes but whose deletion would never complete (a volume that is still in use).
    /// Returns a failure of kind [`FailureKind::Protected`] for each. Only reads, and only for [`PlannedDeletions::among`].
    fn in_the_way<'a>(
        &'a self,
        going: &'a PlannedDeletions<'a>,
    ) -> BoxFuture<'a, Result<Vec<Failure>, Failure>> {
        let _ = going;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Checks, before anything is written or recorded, that the system will accept all steps. The engine calls this
    /// once, so that a refusal that is certain to come later comes here. Only reads.
    fn check<'a>(&'a self, intent: &'a Intent<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        let _ = intent;
        Box::pin(async { Ok(()) })
    }

    /// Prepares the target for the steps. The engine calls this once, before the first write.
    fn begin<'a>(&'a self, intent: &'a Intent<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        let _ = intent;
        Box::pin(async { Ok(()) })
    }

    /// Creates, adopts or updates one artifact. Returns when the server has accepted the write, not when the artifact
    /// is ready.
    ///
    /// A second call after a temporary failure must be safe, because the engine retries. For [`Action::Replace`] the
    /// engine calls [`Backend::delete`], waits until [`Backend::look`] returns [`Observation::Gone`], and then calls this with
    /// [`Action::Create`].
    fn write<'a>(&'a self, write: Write<'a>) -> BoxFuture<'a, Result<Ticket, Failure>>;

    /// Starts the deletion of the observed artifact, but not of an artifact that has replaced it since. An artifact
    /// that does not exist any more is not a failure.
    fn delete<'a>(
        &'a self,
        live: &'a Live,
        journal: &'a Journal<'a>,
    ) -> BoxFuture<'a, Result<Ticket, Failure>>;

    /// Stops managing the observed artifact: removes our marks and our field ownership, and leaves its values
    /// unchanged. [`Ownership::of`] must not report it as ours afterwards. The engine waits with [`Backend::look`] as
    /// for a delete: [`Observation::Gone`] means that the artifact is no longer ours. An artifact that does not exist any more
    /// is not a failure.
    ///
    /// [`Ownership::of`]: crate::ownership::Ownership::of
    fn release<'a>(
        &'a self,
        live: &'a Live,
        journal: &'a Journal<'a>,
    ) -> BoxFuture<'a, Result<Ticket, Failure>> {
        let _ = journal;
        let message = format!(
            "Terrace cannot stop managing {} without deleting it",
            live.subject
        );
        Box::pin(async { Err(Failure::new(FailureKind::Unsupported, message)) })
    }

    /// Returns the physical identity of the artifact that a write started to create, if the ticket contains it. The
    /// engine records it even if the artifact never becomes ready.
    fn operation_id(&self, ticket: &Ticket) -> Option<Text> {
        let _ = ticket;
        None
    }

    /// Finishes or reverts an interrupted step that has a recovery record, if anything is left to do. Calling it twice
    /// is safe.
    fn restore<'a>(&'a self, note: &'a Note) -> BoxFuture<'a, Result<(), Failure>> {
        let _ = note;
        Box::pin(async { Ok(()) })
    }

    /// Returns the ticket for looking at an artifact that needs no write. It identifies exactly this live artifact.
    fn unwritten(&self, live: &Live) -> Ticket {
        let _ = live;
        Ticket::default()
    }

    /// Looks once whether an artifact has reached its desired state. After [`Backend::delete`], `artifact` is absent
    /// and the result is [`Observation::Gone`] or [`Observation::Waiting`].
    fn look<'a>(
        &'a self,
        id: &'a ArtifactId,
        artifact: Option<&'a Artifact>,
        ticket: &'a Ticket,
    ) -> BoxFuture<'a, Result<Observation, Failure>>;

    /// Cleans up after the last step. The engine calls this once, also if steps failed.
    fn finish(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

/// A connected target.
pub struct Connected {
    /// The backend for artifacts.
    pub backend: Box<dyn Backend>,
    /// The state store, used if this target has the environment's state store.
    pub home: Box<dyn StateStore>,
    /// The storage of the environment's claim.
    pub claims: Box<dyn ClaimStore>,
}

/// The parameters of [`Backend::observe`].
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The name of the target in the bundle.
    pub target: &'a Text,
    /// The bundle (without artifacts when everything is destroyed).
    pub bundle: &'a Bundle,
    /// The bundle of the last release, if there is one. It finds artifacts whose label another user has removed.
    pub previous: Option<&'a Bundle>,
    /// The kinds of objects that may exist, as `GROUP/KIND`; if absent, any kind. Wanted artifacts and artifacts of the
    /// last release are read in any case.
    pub kinds: Option<&'a BTreeSet<Text>>,
    /// The recovery records of earlier applies. The backend reports the state that will exist after
    /// [`Backend::restore`].
    pub notes: &'a [Note],
    /// The physical identities that the state store recorded, for all targets. They prove that an artifact is ours, and
    /// find artifacts that have lost their mark.
    pub identities: &'a Identities,
}

impl<'a> Wanted<'a> {
    /// Iterates over the wanted artifacts of this target.
    pub fn artifacts(&self) -> impl Iterator<Item = &'a Artifact> + use<'a> {
        of_target(self.bundle, self.target)
    }

    /// Iterates over the artifacts of this target that the last release delivered and that are no longer wanted.
    pub fn dropped(&self) -> impl Iterator<Item = &'a Artifact> + use<'a> {
        let bundle = self.bundle;
        let target = self.target;
        let previous = self.previous.into_iter();
        previous
            .flat_map(move |previous| of_target(previous, target))
            .filter(move |artifact| bundle.artifact(&artifact.id).is_none())
    }
}

fn of_target<'a>(bundle: &'a Bundle, target: &'a Text) -> impl Iterator<Item = &'a Artifact> + use<'a> {
    bundle
        .artifacts
        .iter()
        .filter(move |artifact| artifact.target == *target)
}

/// A part of a live artifact that an update removes.
#[derive(Clone, PartialEq, Debug)]
pub struct RemovedPart {
    /// The logical id of the resource.
    pub part: Text,
    /// The display name: its address.
    pub shown: Text,
    /// The values by which other artifacts refer to it: its name, and outputs made from it.
    pub values: BTreeSet<Text>,
    /// Whether a replacement takes its place in the same operation, so that it cannot remain.
    pub replaced: bool,
}

/// The requests that a preview may send.
#[derive(Clone, Debug)]
pub struct PreviewOptions {
    /// Whether servers may be asked for a dry run. Otherwise plans use only the observed state, and show that.
    pub dry_run: bool,
    /// Whether CloudFormation may be asked for a change set (which is created, read and deleted).
    pub change_set: bool,
    /// Whether fields of other field managers are taken over.
    pub take_over: bool,
}

/// The deletions of a plan, for [`Backend::contents`].
#[derive(Clone, Copy, Debug)]
pub struct PlannedDeletions<'a> {
    /// The name of the target in the bundle.
    pub target: &'a Text,
    /// The artifacts of this target that the plan deletes, those it replaces included.
    pub deleted: &'a BTreeSet<ArtifactId>,
    /// The containers to look into: `deleted`, or a subset.
    pub among: &'a BTreeSet<ArtifactId>,
    /// The observed artifacts of all targets.
    pub live: &'a BTreeMap<ArtifactId, Live>,
    /// The bundle after the apply. A deleted artifact that is in it is replaced.
    pub wanted: &'a Bundle,
}

/// A plan that is not complete yet, for [`Backend::obstacles`].
#[derive(Clone, Copy, Debug)]
pub struct PlanDraft<'a> {
    /// The name of the target in the bundle.
    pub target: &'a Text,
    /// The bundle after the apply.
    pub bundle: &'a Bundle,
    /// The observed artifacts of all targets.
    pub live: &'a BTreeMap<ArtifactId, (Text, Live)>,
    /// The steps of all targets.
    pub steps: &'a [Step],
    /// Late values that are known already.
    pub values: &'a Values,
}

/// The steps that are about to run, for [`Backend::check`] and [`Backend::begin`].
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// The name of the target in the bundle.
    pub target: &'a Text,
    /// The bundle after the apply.
    pub bundle: &'a Bundle,
    /// The observed artifacts of this target.
    pub live: &'a BTreeMap<ArtifactId, Live>,
    /// Artifacts that will be created or updated.
    pub writes: &'a BTreeSet<ArtifactId>,
    /// Artifacts that will be deleted.
    pub deletes: &'a BTreeSet<ArtifactId>,
    /// Artifacts that will be retained: they continue to exist, and Terrace stops managing them.
    pub releases: &'a BTreeSet<ArtifactId>,
    /// The id of this release, for the marks on written artifacts.
    pub release: &'a str,
}

/// One write.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// The artifact to write.
    pub artifact: &'a Artifact,
    /// [`Action::Create`], [`Action::Update`] or [`Action::Adopt`].
    pub action: Action,
    /// The observed artifact; absent for a create.
    pub live: Option<&'a Live>,
    /// All late values are known by now.
    pub values: &'a Values,
    /// The planned change, which is compared with the server's answer (a change set's replacements).
    pub change: &'a Change,
    /// Addresses whose loss the user approved.
    pub approved: &'a BTreeSet<Address>,
    /// Whether fields of other field managers are taken over.
    pub take_over: bool,
    /// The journal for recovery records.
    pub journal: &'a Journal<'a>,
}

/// The operation that [`Backend::write`] or [`Backend::delete`] started, for [`Backend::look`]: a change set's name, a UID.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ticket(pub Value);

/// The result of one look at an artifact.
#[derive(Clone, PartialEq, Debug)]
pub enum Observation {
    /// It has reached its desired state; this is its live state. Bindings are read only from this state.
    Settled(Box<Live>),
    /// It has not reached it yet, with the reason: `2 of 3 pods are ready`, `creating Bucket (4 of 7 resources)`.
    Waiting(String),
    /// It cannot reach its desired state without a change by the user.
    Failed(Failure),
    /// It does not exist.
    Gone,
}
