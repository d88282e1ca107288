//! Foreign artifacts: adopted if the user names them, refused otherwise. Also the removal of adopted artifacts that
//! leave the stack.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Address, Artifact, ArtifactId, Bundle, Text};
use terrace_catalog::nearest;
use terrace_deployer_model::backend::Backend;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::ownership::{ApparentOwner, Ownership, not_ours};
use terrace_deployer_model::plan::{Action, Change, Risk};

use crate::selection::Selection;
use crate::targets::Targets;

/// The names in `--adopt`.
pub(super) struct Adoption<'a>(&'a [Text]);

impl<'a> Adoption<'a> {
    /// Fails if a name matches nothing in the bundle.
    pub(super) fn of(names: &'a [Text], wanted: &Bundle) -> Result<Adoption<'a>, Failure> {
        for name in names {
            if wanted.artifacts.iter().any(|artifact| is_named(artifact, name)) {
                continue;
            }
            let parts = name.split('/').count();
            let known = wanted.artifacts.iter().flat_map(Artifact::addresses);
            let known: BTreeSet<String> = known
                .map(|address| {
                    address
                        .to_string()
                        .splitn(3, '/')
                        .take(parts)
                        .collect::<Vec<_>>()
                        .join("/")
                })
                .collect();
            let message = format!("`--adopt {name}` matches nothing in the stack");
            let failure = Failure::new(FailureKind::Rejected, message);
            return Err(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint("pass an address of the stack, or `TENANT/COMPONENT`"),
            });
        }
        Ok(Adoption(names))
    }

    fn names(&self, artifact: &Artifact) -> bool {
        self.0.iter().any(|name| is_named(artifact, name))
    }

    /// Returns the refusal to plan a foreign artifact that the user has not named.
    pub(super) fn refusal(
        &self,
        targets: &Targets,
        artifact: &Artifact,
        live: Option<&(Text, Live)>,
    ) -> Option<Failure> {
        let (target, live) = live?;
        match &live.ownership {
            Ownership::Foreign(owner) if !self.names(artifact) => {
                let backend = targets.backends.get(target)?;
                Some(not_ours(artifact, owner.as_ref(), backend.may_adopt(live)))
            }
            _ => None,
        }
    }

    /// Returns a note for each name without effect, because its artifacts are ours already or do not exist.
    pub(super) fn idle(
        &self,
        wanted: &Bundle,
        live: &BTreeMap<ArtifactId, (Text, Live)>,
    ) -> impl Iterator<Item = String> {
        let idle = self.0.iter().filter(|name| {
            let mut named = wanted
                .artifacts
                .iter()
                .filter(|artifact| is_named(artifact, name));
            let is_foreign = |artifact: &Artifact| {
                let live = live.get(&artifact.id);
                live.is_some_and(|(_, live)| !live.ownership.is_ours())
            };
            !named.any(is_foreign)
        });
        idle.map(|name| {
            format!(
                "`--adopt {name}` has no effect: its resources are managed by this environment already, or do not exist"
            )
        })
    }
}

/// Returns whether an address or `TENANT/COMPONENT` names an artifact. A CloudFormation stack is named by any of its resources.
fn is_named(artifact: &Artifact, name: &str) -> bool {
    let (owner, component) = artifact.component();
    name.split_once('/') == Some((owner.as_str(), component))
        || artifact
            .addresses()
            .iter()
            .any(|address| address.to_string() == name)
}

/// Returns a line for each foreign artifact that has the name of an artifact that was ours or is to be destroyed.
pub(super) fn left_alone(
    wanted: &Bundle,
    live: &BTreeMap<ArtifactId, (Text, Live)>,
    selection: &Selection<'_>,
    known_by_name: impl Fn(&ArtifactId) -> bool,
) -> Vec<String> {
    let unwanted = live.iter().filter(|(id, (_, live))| {
        wanted.artifact(id).is_none() && known_by_name(id) && selection.names_live(live)
    });
    let foreign = unwanted.filter_map(|(_, (_, live))| match &live.ownership {
        Ownership::Foreign(Some(owner @ ApparentOwner::Manager(_))) => Some(format!(
            "{} is not deleted: {owner}, not by this environment",
            live.subject
        )),
        Ownership::Foreign(Some(sign)) => Some(format!(
            "{} is not deleted: this environment did not create it, and {sign}",
            live.subject
        )),
        Ownership::Foreign(None) => Some(format!(
            "{} is not deleted: this environment did not create it",
            live.subject
        )),
        Ownership::Ours { .. } => None,
    });
    foreign.collect()
}

/// Plans the removal of one of our artifacts that is no longer wanted.
pub(super) fn removal(backend: &dyn Backend, live: &Live, approved: &BTreeSet<Address>) -> Change {
    if let Err(why) = backend.may_delete(live) {
        return Change::of(Action::Retain, format!("no longer in the stack, and {why}"));
    }
    if !live.ownership.is_adopted() {
        return backend.removal(live);
    }
    let approved =
        !live.addresses.is_empty() && live.addresses.iter().all(|address| approved.contains(address));
    if !approved {
        let mut change = Change::of(
            Action::Retain,
            "no longer in the stack; it was adopted, so it is not deleted",
        );
        if let Some(address) = live.addresses.first() {
            change
                .notes
                .push(format!("to delete it instead, pass --approve '{address}'"));
        }
        return change;
    }
    let mut change = backend.removal(live);
    change.loses_data.extend(live.addresses.iter().cloned());
    change.risk = Risk::DataLoss;
    change
}
