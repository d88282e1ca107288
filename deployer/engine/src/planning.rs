//! Makes plans: observes the targets, previews the changes, and combines both in a pure function.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};
use terrace_artifact::{Address, Artifact, ArtifactId, Bundle, Owner, Text};
use terrace_deployer_model::access::{Access, timestamp};
use terrace_deployer_model::backend::{Observation, PlanDraft, Ticket};
use terrace_deployer_model::error::Error;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::journal::{self, Note};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::loss::guard;
use terrace_deployer_model::plan::{Action, Change, FORMAT, Plan, Purpose, Step};
use terrace_deployer_model::state_store::StateStore;
use terrace_deployer_model::subject::Subject;
use terrace_deployer_model::values::Values;

use crate::claims::{LedgerSays, examine};
use crate::ledger::{History, Status, merge};
use crate::options::PlanOptions;
use crate::order::{Order, order};
use crate::selection::Selection;
use crate::stages::{Planned, add_later};
use crate::targets::{Known, Targets};

mod adoption;
mod containers;
mod previews;

pub(crate) use containers::{contents, in_the_way};
pub(crate) use previews::AskedFor;

use adoption::Adoption;
use previews::{PARALLEL, preview};

/// Plans to deploy a bundle, or to delete everything that its stack has in its environment.
pub(crate) async fn plan_over(
    targets: &Targets,
    purpose: Purpose,
    bundle: &Bundle,
    access: &Access,
    options: &PlanOptions,
) -> Result<Plan, Error> {
    let mut plan = Plan {
        format: FORMAT.into(),
        terrace: access.version.clone(),
        made: timestamp((access.now)()).into(),
        who: access.who.clone(),
        folder: access.folder.clone(),
        origin: access.directory.origin.clone(),
        accept_origin: options.accept_origin,
        at: targets.at.clone(),
        purpose,
        digest: bundle.digest(),
        bundle: bundle.clone(),
        targets: targets.identities.clone(),
        home: targets.home.shown().into(),
        follows: None,
        only: options.only.clone(),
        take_over: options.preview.take_over,
        adopt: options.adopt.clone(),
        steps: Vec::new(),
        refusals: Vec::new(),
        leaves: Vec::new(),
        notes: Vec::new(),
    };
    let read = read_ledger(targets, &mut plan).await?;
    let is_first = read.as_ref().is_some_and(|history| history.last().is_none());
    let history = read.unwrap_or_default();
    let standing = history.standing(&targets.home).await?;
    let identities = targets.recorded_identities(&history).await?;
    let ledger = LedgerSays::of(&history, standing.as_ref());
    let notes = examine(targets, &targets.claims, &plan, access, ledger).await?;
    plan.notes.extend(notes);

    let wanted = plan.wanted();
    let previous = previous(&plan, standing);
    let notes = read_journal(targets, &history, &mut plan).await?;
    let known = Known {
        previous: previous.as_ref(),
        // A destroy looks for objects of all kinds.
        kinds: history.kinds().filter(|_| purpose == Purpose::Apply),
        notes: &notes,
        identities: &identities,
    };
    let live = index(targets.observe(&wanted, &known).await?);
    if is_first {
        plan.notes.extend(forgotten(targets, &live));
    }
    let selection = Selection::of(&options.only, &wanted);
    selection.all_named(&wanted, &live)?;
    let adoption = Adoption::of(&options.adopt, &wanted)?;
    plan.notes.extend(adoption.idle(&wanted, &live));
    let known_by_name = |id: &ArtifactId| {
        let previous = previous.as_ref().and_then(|previous| previous.artifact(id));
        previous.is_some() || identities.get(id).is_some()
    };
    let left = adoption::left_alone(&wanted, &live, &selection, known_by_name);
    match purpose {
        Purpose::Apply => plan.notes.extend(left),
        Purpose::Destroy => plan.leaves = left,
    }
    let previewed = preview(targets, &wanted, &live, &selection, &adoption, &options.preview).await?;
    let (mut changes, values) = (previewed.changes, previewed.values);
    plan.refusals = previewed.refusals;
    let mut removals = removals(targets, &wanted, &live, &selection, &options.approved);
    if purpose == Purpose::Destroy {
        for removal in removals
            .values_mut()
            .filter(|removal| removal.action == Action::Delete)
        {
            removal.reason = "the environment is destroyed".to_owned();
        }
    }
    let planned = Planned {
        targets,
        wanted: &wanted,
        live: &live,
        removals: &removals,
        values: &values,
        options: &options.preview,
    };
    let divided = planned.divide(&mut changes).await?;
    plan.steps = steps(&wanted, previous.as_ref(), &live, changes, removals);
    add_later(&mut plan.steps, divided, &wanted, &live);
    containers::delete_contents(targets, &wanted, &live, &mut plan).await?;
    let obstacles = obstacles(targets, &wanted, &live, &plan.steps, &values).await?;
    plan.refusals.extend(obstacles);
    plan.steps
        .sort_by(|a, b| (a.wave, &a.artifact).cmp(&(b.wave, &b.artifact)));
    if history.last().is_some_and(|last| last.status != Status::Deployed) {
        look_at_unsettled(targets, &wanted, &live, &mut plan.steps).await?;
    }
    Ok(plan)
}

/// Finds conflicts that would make these steps fail.
async fn obstacles(
    targets: &Targets,
    bundle: &Bundle,
    live: &BTreeMap<ArtifactId, (Text, Live)>,
    steps: &[Step],
    values: &Values,
) -> Result<Vec<Failure>, Failure> {
    let mut found = Vec::new();
    for (target, backend) in &targets.backends {
        let draft = PlanDraft {
            target,
            bundle,
            live,
            steps,
            values,
        };
        found.extend(backend.obstacles(&draft).await?);
    }
    Ok(found)
}

/// Finds unchanged artifacts that the last apply wrote without seeing them become ready. The next apply waits for them.
async fn look_at_unsettled(
    targets: &Targets,
    wanted: &Bundle,
    live: &BTreeMap<ArtifactId, (Text, Live)>,
    steps: &mut [Step],
) -> Result<(), Failure> {
    let unchanged = steps.iter_mut().filter(|step| step.change.action == Action::Keep);
    let looks = unchanged.map(|step| async move {
        let backend = targets.backend(&step.target)?;
        let artifact = wanted.artifact(&step.artifact);
        let live = live.get(&step.artifact);
        let ticket = live.map_or_else(Ticket::default, |(_, live)| backend.unwritten(live));
        let look = backend.look(&step.artifact, artifact, &ticket).await;
        step.awaits = match look {
            Ok(Observation::Settled(_) | Observation::Gone) => None,
            Ok(Observation::Waiting(why)) => Some(why),
            // The apply looks again and reports the result.
            Ok(Observation::Failed(failure)) | Err(failure) => Some(match failure.kind {
                FailureKind::NotReady { why } => format!("{}: {why}", failure.message),
                _ => failure.message,
            }),
        };
        Ok(())
    });
    let looked: Vec<Result<(), Failure>> = stream::iter(looks).buffer_unordered(PARALLEL).collect().await;
    looked.into_iter().collect()
}

/// Returns the bundle of artifacts that may exist, by name, and are no longer wanted.
pub(crate) fn previous(plan: &Plan, standing: Option<Bundle>) -> Option<Bundle> {
    match (plan.purpose, standing) {
        (Purpose::Apply, standing) => standing,
        (Purpose::Destroy, None) => Some(plan.bundle.clone()),
        (Purpose::Destroy, Some(standing)) => Some(merge(standing, plan.bundle.clone())),
    }
}

/// Notes that artifacts exist although the ledger is empty.
fn forgotten(targets: &Targets, live: &BTreeMap<ArtifactId, (Text, Live)>) -> Option<String> {
    let ours = live.values().filter(|(_, live)| live.ownership.is_ours());
    let count = ours.count();
    let (artifacts, exist) = match count {
        0 => return None,
        1 => ("artifact", "exists"),
        _ => ("artifacts", "exist"),
    };
    Some(format!(
        "the ledger in {} is empty, but {count} {artifacts} of this environment {exist}: the ledger was deleted, or is in a \
         target that the environment no longer names; Terrace does not find resources in such a target",
        targets.home.shown()
    ))
}

/// Reads the ledger. Returns `None` if permissions to read it are missing, because a plan is still possible.
async fn read_ledger(targets: &Targets, plan: &mut Plan) -> Result<Option<History>, Error> {
    let home = &targets.home;
    let history = match History::read_end(home).await {
        Ok(history) => history,
        Err(failure) if matches!(failure.kind, FailureKind::Denied { .. }) => {
            let mut note = format!(
                "the ledger in {} cannot be read ({}), so Terrace does not find resources that lost their label; an apply requires this permission",
                home.shown(),
                failure.message
            );
            if let FailureKind::Denied { rule: Some(rule), .. } = &failure.kind {
                note.push_str(":\n  ");
                note.push_str(&rule.replace('\n', "\n  "));
            }
            plan.notes.push(note);
            return Ok(None);
        }
        Err(failure) => return Err(failure.into()),
    };
    if let Some(missing) = home.missing() {
        plan.notes
            .push(format!("`terrace apply` would refuse this plan: {missing}"));
    }
    if let Some(entry) = history.broken_at {
        plan.notes.push(format!(
            "entry {entry} of the ledger in {} does not match the previous entry: the history was changed, so Terrace does not use it",
            home.shown()
        ));
    }
    if let Some(last) = history.last() {
        plan.follows = Some(last.id.clone());
        match last.status {
            Status::Deployed => {}
            Status::Deploying => plan.notes.push(format!(
                "release {} by {} at {} has not ended: it is still running, or it was interrupted and this plan finishes it",
                last.id, last.who, last.began
            )),
            Status::Failed => plan.notes.push(format!(
                "release {} by {} at {} did not complete; this plan finishes it",
                last.id, last.who, last.began
            )),
        }
    }
    Ok(Some(history))
}

/// Reads the recovery records that the next apply restores first. After a release that ended well there are none.
async fn read_journal(targets: &Targets, history: &History, plan: &mut Plan) -> Result<Vec<Note>, Error> {
    if history.last().is_none_or(|last| last.status == Status::Deployed) {
        return Ok(Vec::new());
    }
    let notes: Vec<Note> = journal::left(&targets.home).await?.into_values().collect();
    for note in &notes {
        plan.notes.push(format!(
            "an interrupted apply left this setting incomplete, and the next apply restores it first: {}",
            note.what
        ));
    }
    Ok(notes)
}

/// Indexes the observed artifacts by id.
pub(crate) fn index(observed: BTreeMap<Text, Vec<Live>>) -> BTreeMap<ArtifactId, (Text, Live)> {
    let all = observed
        .into_iter()
        .flat_map(|(target, live)| live.into_iter().map(move |live| (target.clone(), live)));
    all.map(|(target, live)| (live.id.clone(), (target, live)))
        .collect()
}

/// Plans the removal of artifacts that are ours and no longer wanted.
fn removals(
    targets: &Targets,
    wanted: &Bundle,
    live: &BTreeMap<ArtifactId, (Text, Live)>,
    selection: &Selection<'_>,
    approved: &BTreeSet<Address>,
) -> BTreeMap<ArtifactId, Change> {
    let unwanted = live.iter().filter(|(id, (_, live))| {
        live.ownership.is_ours() && wanted.artifact(id).is_none() && selection.names_live(live)
    });
    unwanted
        .filter_map(|(id, (target, live))| {
            let backend = targets.backends.get(target)?;
            let mut change = adoption::removal(&**backend, live, approved);
            change.notes.extend(live.notes.iter().cloned());
            Some((id.clone(), change))
        })
        .collect()
}

/// Combines observations and previews into steps. Pure.
fn steps(
    wanted: &Bundle,
    previous: Option<&Bundle>,
    live: &BTreeMap<ArtifactId, (Text, Live)>,
    mut changes: BTreeMap<ArtifactId, Change>,
    mut removals: BTreeMap<ArtifactId, Change>,
) -> Vec<Step> {
    let Order { waves } = order(wanted, previous, live, &changes, &removals);
    let mut steps = Vec::with_capacity(waves.len());
    for (id, place) in waves {
        let at = live.get(&id).map(|(_, live)| live);
        let artifact = wanted.artifact(&id);
        let Some(change) = changes.remove(&id).or_else(|| removals.remove(&id)) else {
            continue;
        };
        let step = match (artifact, at) {
            (Some(artifact), at) => step_of(artifact, at, change, place.wave, place.after),
            (None, Some(at)) => {
                let known = previous.and_then(|previous| previous.artifact(&id));
                let target = live
                    .get(&id)
                    .map(|(target, _)| target.clone())
                    .unwrap_or_default();
                removal_of(at, known, target, change, place.wave, place.after)
            }
            (None, None) => continue,
        };
        steps.push(step);
    }
    steps
}

fn step_of(
    artifact: &Artifact,
    live: Option<&Live>,
    mut change: Change,
    wave: u32,
    after: BTreeSet<ArtifactId>,
) -> Step {
    guard(artifact, live, &mut change);
    let (owner, component) = artifact.component();
    Step {
        artifact: artifact.id.clone(),
        target: artifact.target.clone(),
        wave,
        owner: owner.clone(),
        component: component.clone(),
        subject: Subject::of(artifact),
        addresses: artifact.addresses(),
        stage: None,
        awaits: None,
        origin: Some(artifact.origin().clone()),
        after,
        change,
        basis: live.map(|live| live.basis.clone()).unwrap_or_default(),
    }
}

fn removal_of(
    live: &Live,
    known: Option<&Artifact>,
    target: Text,
    change: Change,
    wave: u32,
    after: BTreeSet<ArtifactId>,
) -> Step {
    let address = live.addresses.first();
    let (owner, component) = match (address, known) {
        (Some(address), _) => (&address.owner, &address.component),
        (None, Some(known)) => known.component(),
        (None, None) => (&Owner::Platform, &Text::new_static(Address::UNRECORDED)),
    };
    Step {
        artifact: live.id.clone(),
        target,
        wave,
        owner: owner.clone(),
        component: component.clone(),
        subject: live.subject.clone(),
        addresses: live.addresses.clone(),
        stage: None,
        awaits: None,
        origin: None,
        after,
        change,
        basis: live.basis.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
