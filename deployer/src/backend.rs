//! What a backend is: the one trait that the directory, Kubernetes and CloudFormation have in common.
//!
//! The engine decides what happens in which order; a backend knows how one kind
//! of system is asked and told. A backend never waits for a state: it looks once and says what it saw, and the engine
//! looks again.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use terrace_artifact::{Address, Artifact, ArtifactId, Bundle, Origin, Segment, Text, Value};

use crate::failure::{Failure, FailureKind};
use crate::journal::{Journal, Note};
use crate::ownership::{Identities, Ownership};
use crate::plan::{Action, Change, Content, Step, Subject};
use crate::values::Values;

/// One system that artifacts are delivered to: a folder, a cluster, an account and region.
///
/// Every function may be called from several tasks at once.
pub trait Backend: Send + Sync {
    /// Who the system says it is, asked once before anything else. A system other than the one the environment names
    /// (another cluster id, another account) is a failure of kind [`crate::FailureKind::WrongTarget`].
    fn identify(&self) -> BoxFuture<'_, Result<Identity, Failure>>;

    /// All the reading: what there is of what is wanted, what else carries our mark, and what the state store recorded
    /// ([`Wanted::identities`]).
    ///
    /// Gives an entry for each artifact that exists, wanted or not; none for one that does not. Something that has the
    /// name of a wanted, dropped or recorded artifact and is not ours is given too, with [`Ownership::Foreign`]; whose a
    /// thing is decides [`Ownership::of`].
    fn observe<'a>(&'a self, wanted: &'a Wanted<'a>) -> BoxFuture<'a, Result<Vec<Live>, Failure>>;

    /// What writing this artifact would change. Asks the server (a dry run) where `options` allow it and where a look
    /// at `live` does not settle it; otherwise compares what is wanted with `live` and says so in
    /// [`Change::previewed`].
    ///
    /// `live` is this artifact's entry from [`Backend::observe`]. Where that is [`Ownership::Foreign`], the user has named
    /// it with `--adopt`: the engine asks for nothing foreign otherwise. Gives [`Action::Keep`] where nothing would change;
    /// then no request should have been needed.
    fn preview<'a>(
        &'a self,
        artifact: &'a Artifact,
        live: Option<&'a Live>,
        values: &'a Values,
        options: &'a PreviewOptions,
    ) -> BoxFuture<'a, Result<Change, Failure>>;

    /// The value of an attribute of an artifact, for the bindings of others.
    ///
    /// With a change that is still to be applied: the value it will have afterwards, or nothing where that cannot be
    /// known yet (the output of a resource that is created or replaced). Without: the value it has.
    fn attribute(&self, attribute: &[Segment], live: &Live, change: Option<&Change>) -> Option<Value>;

    /// What deleting this artifact means. Unless the backend knows better: what it is marked to hold is lost. The engine
    /// does not ask for what is released instead, because it was adopted ([`Backend::may_delete`] has a say in that, too).
    fn removal(&self, live: &Live) -> Change {
        Change::removal(live)
    }

    /// Why this may never be deleted, whoever approves it: it is then released when it leaves the stack.
    fn may_delete(&self, live: &Live) -> Result<(), String> {
        let _ = live;
        Ok(())
    }

    /// The reason why a live artifact of others cannot be adopted. The refusal then states it instead of `--adopt`.
    fn may_adopt(&self, live: &Live) -> Result<(), String> {
        let _ = live;
        Ok(())
    }

    /// What the deletion of containers (a namespace, a definition) takes along that this plan does not delete by a step of
    /// its own, for each container that has any. Only asks, and only about [`Going::deleted`]; without the rights to find
    /// out, fails with [`FailureKind::Denied`].
    fn contents<'a>(
        &'a self,
        going: &'a Going<'a>,
    ) -> BoxFuture<'a, Result<BTreeMap<ArtifactId, Vec<Content>>, Failure>> {
        let _ = going;
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    /// What is sure to be refused when the steps of a plan are taken together, one failure for each thing that is in the way: a
    /// new resource that is to have the name of one that stays. Only asks.
    fn obstacles<'a>(&'a self, draft: &'a Draft<'a>) -> BoxFuture<'a, Result<Vec<Failure>, Failure>> {
        let _ = draft;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// What an update of a live artifact takes away of it, and how others may know that.
    fn leaving(&self, live: &Live, change: &Change) -> Vec<Leaving> {
        let _ = (live, change);
        Vec::new()
    }

    /// An artifact with these parts of what is there ([`Leaving::part`]) still in it.
    fn keeping(&self, artifact: &Artifact, live: &Live, parts: &BTreeSet<Text>) -> Option<Artifact> {
        let _ = (artifact, live, parts);
        None
    }

    /// What is left to do for an artifact when `kept`, made of it by [`Backend::keeping`], is there.
    fn rest(&self, artifact: &Artifact, kept: &Artifact, live: &Live, values: &Values) -> Option<Change> {
        let _ = (artifact, kept, live, values);
        None
    }

    /// Whether an artifact here waits until all its late values are known. In a folder nothing fills them: there they
    /// stay stand-ins.
    fn fills_late_values(&self) -> bool {
        true
    }

    /// Why some of what a plan deletes would never go (a volume that something else goes on using), a failure of kind
    /// [`FailureKind::Protected`] each. Only asks, and only about [`Going::among`].
    fn in_the_way<'a>(&'a self, going: &'a Going<'a>) -> BoxFuture<'a, Result<Vec<Failure>, Failure>> {
        let _ = going;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Called once before anything is written or recorded, with all steps that will be taken: what is sure to be refused
    /// later is refused here. Only asks.
    fn check<'a>(&'a self, intent: &'a Intent<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        let _ = intent;
        Box::pin(async { Ok(()) })
    }

    /// Called once before the first write, with all steps that will be taken.
    fn begin<'a>(&'a self, intent: &'a Intent<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        let _ = intent;
        Box::pin(async { Ok(()) })
    }

    /// Creates, adopts or updates one artifact. Returns when the server has accepted it, not when it has settled.
    ///
    /// Calling it again after a failure that may pass must be safe: the engine does. For [`Action::Replace`] the
    /// engine calls [`Backend::delete`], waits until [`Backend::look`] says [`Look::Gone`], and then calls this with
    /// [`Action::Create`].
    fn write<'a>(&'a self, write: Write<'a>) -> BoxFuture<'a, Result<Ticket, Failure>>;

    /// Begins to delete what was observed, and nothing that has since taken its place. Something that is gone already
    /// is no failure.
    fn delete<'a>(
        &'a self,
        live: &'a Live,
        journal: &'a Journal<'a>,
    ) -> BoxFuture<'a, Result<Ticket, Failure>>;

    /// Lets go of what was observed: takes our marks and our claims to its fields off it, and leaves its values alone. It
    /// must not be ours afterwards ([`Ownership::of`]). Looked at with [`Backend::look`] like a delete: [`Look::Gone`] is
    /// that it is no longer ours. Something that is gone already is no failure.
    fn release<'a>(
        &'a self,
        live: &'a Live,
        journal: &'a Journal<'a>,
    ) -> BoxFuture<'a, Result<Ticket, Failure>> {
        let _ = journal;
        let message = format!("{} cannot be released", live.subject);
        Box::pin(async { Err(Failure::new(FailureKind::Unsupported, message)) })
    }

    /// The physical identity of what a write began, where its ticket tells. It is recorded even if the thing never settles.
    fn begun(&self, ticket: &Ticket) -> Option<Text> {
        let _ = ticket;
        None
    }

    /// Puts right what a step that was noted and never ended has left open, if it is still there. Doing it twice is safe.
    fn restore<'a>(&'a self, note: &'a Note) -> BoxFuture<'a, Result<(), Failure>> {
        let _ = note;
        Box::pin(async { Ok(()) })
    }

    /// The ticket with which something that needs no write is looked at: it says which very thing is meant.
    fn unwritten(&self, live: &Live) -> Ticket {
        let _ = live;
        Ticket::default()
    }

    /// Looks once whether an artifact has reached the state it was asked for. After [`Backend::delete`], `artifact`
    /// is absent and the answer is [`Look::Gone`] or [`Look::Waiting`].
    fn look<'a>(
        &'a self,
        id: &'a ArtifactId,
        artifact: Option<&'a Artifact>,
        ticket: &'a Ticket,
    ) -> BoxFuture<'a, Result<Look, Failure>>;

    /// Called once after the last step, also when some failed.
    fn finish(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

/// Who a target is, as it says itself; a plan is applied only where it was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// `directory`, `kubernetes` or `aws`.
    pub kind: Text,
    /// Does not change and is nobody else's: the uid of the namespace `kube-system`, `ACCOUNT/REGION`, a path.
    pub id: Text,
    /// For a reader: `cluster acme-prod at https://10.0.0.1:6443`, `account 111122223333 in eu-west-1`.
    pub shown: Text,
}

/// What [`Backend::observe`] is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The name of the target in the bundle.
    pub target: &'a Text,
    /// The bundle (empty of artifacts when everything is to be destroyed).
    pub bundle: &'a Bundle,
    /// The bundle of the last release, where there was one: somebody may have taken our label off.
    pub previous: Option<&'a Bundle>,
    /// The kinds of objects that may be there, as `GROUP/KIND`; where absent, any. What is wanted or was delivered last
    /// is looked for in any case.
    pub kinds: Option<&'a BTreeSet<Text>>,
    /// What an earlier apply left open: it is to be seen as it will be when it was put right.
    pub notes: &'a [Note],
    /// The physical identities that the state store recorded, of all targets: a proof that a thing is ours, and the way to
    /// find what has lost its mark.
    pub identities: &'a Identities,
}

impl<'a> Wanted<'a> {
    /// The wanted artifacts of this target.
    pub fn artifacts(&self) -> impl Iterator<Item = &'a Artifact> + use<'a> {
        of_target(self.bundle, self.target)
    }

    /// The artifacts that this target got with the last release and that are wanted no more.
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

/// An artifact as the target has it now.
#[derive(Clone, PartialEq, Debug)]
pub struct Live {
    /// Which artifact.
    pub id: ArtifactId,
    /// What to call it.
    pub subject: Subject,
    /// Whose it is.
    pub ownership: Ownership,
    /// Its physical identity, which nothing that takes its place has: an object's uid, a StackId. Empty where there is no
    /// such thing (a file).
    pub identity: Text,
    /// What a reader should know of it, whatever is done with it: that it has lost its mark.
    pub notes: Vec<String>,
    /// What a plan rests on, of this artifact.
    pub basis: Basis,
    /// Addresses of what is in it, as recorded on the live thing (or in the last bundle): one for an object, one for each
    /// member of a CloudFormation stack. What a user passes to `--approve`.
    pub addresses: Vec<Address>,
    /// Those of `addresses` that the live thing itself is marked to hold data for. Deleting its YAML does not take
    /// the mark away.
    pub holds_data: Vec<Address>,
    /// What must be deleted later than this, where the live thing or its nature tells: an object's namespace, a
    /// custom resource's definition. The engine adds what the last bundle says; ids that are not deleted do not count.
    pub needs: BTreeSet<ArtifactId>,
    /// What the backend itself wants to know again: the live object, the template and outputs of a CloudFormation
    /// stack. The engine does not look inside.
    pub value: Value,
}

/// A part of a live artifact that an update takes away.
#[derive(Clone, PartialEq, Debug)]
pub struct Leaving {
    /// Which: the logical id of a resource.
    pub part: Text,
    /// For a reader: its address.
    pub shown: Text,
    /// What others have of it: its name, an output made of it.
    pub values: BTreeSet<Text>,
    /// Whether another one takes its place in the same moment, so that it cannot stay.
    pub replaced: bool,
}

/// The facts a plan rests on: what they were when it was made. If one is different at apply, the plan is stale.
///
/// Only what others do not move without touching what is ours belongs here: uid, our own fields with their live
/// values, a stack's status and last change set; never `resourceVersion` or `generation`. Secret values are digests.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Basis(pub BTreeMap<Text, Value>);

impl Basis {
    /// The fact that something was being done when the plan was made (a CloudFormation stack that is being created).
    pub const IN_PROGRESS: &str = "in progress";

    /// The basis of what does not exist.
    pub fn absent() -> Basis {
        Basis::default()
    }

    /// Whether this is the basis of something that exists.
    pub fn exists(&self) -> bool {
        !self.0.is_empty()
    }

    /// What is different now, a line for each fact. What was in the middle of something had to come to an end, in one
    /// way or another: of that only its identity counts.
    pub fn moved(&self, now: &Basis) -> Vec<String> {
        let in_progress = self.0.contains_key(Basis::IN_PROGRESS);
        match (self.exists(), now.exists()) {
            (false, false) => return Vec::new(),
            (true, false) if in_progress => return Vec::new(),
            (true, false) => return vec!["it is gone".to_owned()],
            (false, true) => return vec!["it exists now".to_owned()],
            (true, true) => {}
        }
        let mut names: BTreeSet<&Text> = self.0.keys().chain(now.0.keys()).collect();
        if in_progress {
            names.retain(|name| *name != Basis::IN_PROGRESS && self.0.contains_key(*name));
        }
        let mut lines = Vec::new();
        for name in names {
            match (self.0.get(name), now.0.get(name)) {
                (Some(before), Some(after)) if before == after => {}
                (Some(before), Some(after)) => lines.push(format!("`{name}` was {before} and is {after}")),
                (Some(before), None) => lines.push(format!("`{name}` was {before} and is absent")),
                (None, Some(after)) => lines.push(format!("`{name}` was absent and is {after}")),
                (None, None) => {}
            }
        }
        lines
    }
}

/// How much a preview may ask.
#[derive(Clone, Debug)]
pub struct PreviewOptions {
    /// Whether servers may be asked for a dry run. Without, plans are made from what was read alone, and say so.
    pub dry_run: bool,
    /// Whether CloudFormation is asked for a change set (created, read and deleted again).
    pub change_set: bool,
    /// Whether fields that another manager owns are taken over.
    pub take_over: bool,
}

/// What a plan deletes, for [`Backend::contents`].
#[derive(Clone, Copy, Debug)]
pub struct Going<'a> {
    /// The name of the target in the bundle.
    pub target: &'a Text,
    /// The artifacts of this target that the plan deletes, those it replaces included.
    pub deleted: &'a BTreeSet<ArtifactId>,
    /// The containers to look into; some of `deleted`, or all.
    pub among: &'a BTreeSet<ArtifactId>,
    /// What was observed, of all targets.
    pub live: &'a BTreeMap<ArtifactId, Live>,
    /// What is wanted in the end. Something deleted that is among it is replaced.
    pub wanted: &'a Bundle,
}

/// A plan that is nearly made, for [`Backend::obstacles`].
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The name of the target in the bundle.
    pub target: &'a Text,
    /// What is wanted in the end.
    pub bundle: &'a Bundle,
    /// What was observed, of all targets.
    pub live: &'a BTreeMap<ArtifactId, (Text, Live)>,
    /// The steps of all targets.
    pub steps: &'a [Step],
    /// Late values, as far as they are known.
    pub values: &'a Values,
}

/// What is about to be done, told to [`Backend::begin`].
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// The name of the target in the bundle.
    pub target: &'a Text,
    /// What is wanted in the end.
    pub bundle: &'a Bundle,
    /// What was observed, of this target.
    pub live: &'a BTreeMap<ArtifactId, Live>,
    /// Artifacts that will be created or updated.
    pub writes: &'a BTreeSet<ArtifactId>,
    /// Artifacts that will be deleted.
    pub deletes: &'a BTreeSet<ArtifactId>,
    /// Artifacts that will be released: they stay, and are no longer ours.
    pub releases: &'a BTreeSet<ArtifactId>,
    /// The id of this release, for marks on what is written.
    pub release: &'a str,
}

/// One write.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// What to write.
    pub artifact: &'a Artifact,
    /// [`Action::Create`], [`Action::Update`] or [`Action::Adopt`].
    pub action: Action,
    /// What was observed, absent for a create.
    pub live: Option<&'a Live>,
    /// All late values are known by now.
    pub values: &'a Values,
    /// What the plan said, to be held against what the server says (a change set's replacements).
    pub change: &'a Change,
    /// Addresses whose data the user agreed to lose.
    pub approved: &'a BTreeSet<Address>,
    /// Whether fields that another manager owns are taken over.
    pub take_over: bool,
    /// Where a step is noted whose middle a look could not see.
    pub journal: &'a Journal<'a>,
}

/// What [`Backend::write`] or [`Backend::delete`] began, for [`Backend::look`]: a change set's name, a uid.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ticket(pub Value);

/// What one look at an artifact saw.
#[derive(Clone, PartialEq, Debug)]
pub enum Look {
    /// It has reached the state it was asked for, and this is how it is now. No bindings are read from it before.
    Settled(Box<Live>),
    /// Not yet, and why: `2 of 3 pods are ready`, `creating Bucket (4 of 7 resources)`.
    Waiting(String),
    /// It will not get there without help.
    Failed(Failure),
    /// It does not exist.
    Gone,
}

/// The line that declared an artifact: the object's own, the component's for a CloudFormation stack.
pub fn origin_of(artifact: &Artifact) -> &Origin {
    match &artifact.body {
        terrace_artifact::Body::Object(object) => &object.origin,
        terrace_artifact::Body::Stack(stack) => &stack.origin,
    }
}

/// Our label on everything that is ours; its value is [`Bundle::label`].
pub const LABEL: &str = "terrace.dev/stack";
/// The annotation (a tag's key, too) that says which resource this is.
pub const ADDRESS: &str = "terrace.dev/address";
/// The annotation (a tag's key, too) of what existed before it was adopted; its value is `"true"`.
pub const ADOPTED: &str = "terrace.dev/adopted";
/// The annotation of an object whose loss loses data; its value is `"true"`.
pub const HOLDS_DATA: &str = "terrace.dev/holds-data";
