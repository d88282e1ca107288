//! The losses of a change: data, an identity that other systems use, or the management of data that is retained.
//!
//! The catalog classifies types and kinds and lists the changes that lose data in place. The live resource shows what
//! exists: its own fields, and the mark that an earlier release left on it. A mark alone decides nothing.

use std::collections::BTreeSet;

use terrace_artifact::{Address, Artifact, Member, Object, Segment, Value};
use terrace_catalog::{
    DataClass, data_of_object, data_of_type, loss_when_deleted, losses_of_object, losses_of_type,
};

use crate::live::{HOLDS_DATA, Live};
use crate::plan::{Action, Change, Loss, MemberChange, Risk};
use crate::template::{is_open, shown};

/// The fate of a deleted or replaced resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its data is lost. Contains the catalog's reason.
    Lost(&'static str),
    /// Its data is retained and no longer managed.
    Retained,
    /// Other systems use an address or a credential of it, and a new resource gets a different one. Contains the
    /// catalog's reason.
    OtherIdentity(&'static str),
    /// It protects or copies other resources and stops doing so. Contains the catalog's reason.
    Unprotected(&'static str),
}

/// Returns whether a resource holds data, by its class or by the mark that a release left on it.
///
/// `mark` is the mark of the live resource, `released` the declaration of the last release. Only both together remove
/// the guard of a resource whose class is data, because any user can have written the mark.
pub fn holds_data(class: DataClass, mark: Option<bool>, released: Option<bool>) -> bool {
    match (mark, released) {
        (Some(true), _) | (_, Some(true)) => true,
        (Some(false), Some(false)) => false,
        _ => class == DataClass::Data,
    }
}

/// Returns the fate of a deleted or replaced resource of a CloudFormation stack. `kept` is the policy that retains it
/// or a snapshot of it.
pub fn fate_of_resource(
    resource_type: &str,
    holds: bool,
    kept: Option<&str>,
    action: Action,
) -> Option<Fate> {
    let data = data_of_type(resource_type);
    let is_deleted = action == Action::Delete && kept.is_none();
    match (holds, kept) {
        (true, Some(_)) => Some(Fate::Retained),
        (true, None) if data.class == DataClass::Data => Some(Fate::Lost(data.reason)),
        (true, None) => Some(Fate::Lost("its module declares that it holds data")),
        (false, None) if data.class == DataClass::Identity => Some(Fate::OtherIdentity(data.reason)),
        (false, _) if is_deleted => loss_when_deleted(resource_type).map(Fate::Unprotected),
        _ => None,
    }
}

/// Returns the fate of a deleted or replaced object, based on its live state.
pub fn fate_of_object(live: &Value, holds: bool, action: Action) -> Option<Fate> {
    let text = |key: &str| live.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let holding = data_of_object(api_version, kind, live);
    let is_deleted = action == Action::Delete;
    match (holds, holding.data.class) {
        // Data that survives the object is used by its replacement.
        (true, _) if holding.outlived => is_deleted.then_some(Fate::Retained),
        (true, DataClass::Data) => Some(Fate::Lost(holding.data.reason)),
        (true, _) => Some(Fate::Lost("its module declares that it holds data")),
        (false, DataClass::Identity) => Some(Fate::OtherIdentity(holding.data.reason)),
        _ if is_deleted => {
            let group = api_version.split_once('/').map_or("core", |(group, _)| group);
            loss_when_deleted(&format!("{group}/{kind}")).map(Fate::Unprotected)
        }
        _ => None,
    }
}

/// Returns whether an object holds data, by its kind, its fields, its mark and the declaration of the last release.
pub fn object_holds_data(live: &Value, released: Option<bool>) -> bool {
    let text = |key: &str| live.get(key).and_then(Value::as_str).unwrap_or_default();
    let class = data_of_object(text("apiVersion"), text("kind"), live).data.class;
    let mark = live.at(&["metadata", "annotations", HOLDS_DATA]);
    let mark = mark.and_then(Value::as_str).map(|mark| mark == "true");
    holds_data(class, mark, released)
}

/// Returns the addresses whose data is lost or retained when this artifact is deleted or replaced.
pub fn at_stake(live: &Live, action: Action) -> &[Address] {
    let is_object = live.value.get("kind").is_some();
    match is_object && fate_of_object(&live.value, true, action).is_none() {
        true => &[],
        false => &live.holds_data,
    }
}

impl Fate {
    /// Returns the risk.
    pub fn risk(self) -> Risk {
        match self {
            Fate::Lost(_) | Fate::Unprotected(_) => Risk::DataLoss,
            Fate::OtherIdentity(_) => Risk::IdentityLoss,
            Fate::Retained => Risk::None,
        }
    }
}

impl Change {
    /// Creates the deletion of an artifact and of the data it holds.
    pub fn removal(live: &Live) -> Change {
        let mut change = Change::of(Action::Delete, "no longer in the stack");
        change.record_loss_of_object(live, None);
        change
    }

    /// Records the fate of a resource: the required approval, the reason and the risk.
    pub fn record_fate(&mut self, address: &Address, fate: Fate) {
        let note = match fate {
            Fate::Lost(what) => {
                self.loses_data.insert(address.clone());
                format!("`{address}` holds data that is lost with it: {what}")
            }
            Fate::Unprotected(what) => {
                self.loses_data.insert(address.clone());
                format!("`{address}`: {what}")
            }
            Fate::OtherIdentity(what) => {
                self.loses_identity.insert(address.clone());
                format!("`{address}`: other systems use {what}; a new resource gets a different one")
            }
            Fate::Retained => {
                self.retains.insert(address.clone());
                self.risk = self.risk.max(fate.risk());
                return;
            }
        };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
        self.risk = self.risk.max(fate.risk());
    }

    /// Reverts the record of an address, because it is not replaced after all.
    pub fn forget(&mut self, address: &Address) {
        for set in [&mut self.loses_data, &mut self.retains, &mut self.loses_identity] {
            set.remove(address);
        }
        let prefix = format!("`{address}` holds data that is lost");
        self.notes.retain(|note| !note.starts_with(&prefix));
    }

    /// Records the fate of an object that is deleted, or replaced by `wanted`.
    pub fn record_loss_of_object(&mut self, live: &Live, wanted: Option<&Object>) {
        let holds = !live.holds_data.is_empty() || wanted.is_some_and(|object| object.holds_data);
        let action = if wanted.is_some() {
            Action::Replace
        } else {
            Action::Delete
        };
        let manifest = match (&live.value, wanted) {
            // A directory target has no live manifest.
            (Value::Null, Some(object)) => &object.manifest,
            (manifest, _) => manifest,
        };
        let Some(fate) = fate_of_object(manifest, holds, action) else {
            return;
        };
        let mut addresses: BTreeSet<&Address> = wanted.iter().map(|object| &object.address).collect();
        addresses.extend(if holds { &live.holds_data } else { &live.addresses });
        for address in addresses {
            self.record_fate(address, fate);
            if fate == Fate::Retained {
                self.notes
                    .push(format!("`{address}`: its data is retained in the cluster"));
            }
        }
    }

    /// Records the losses of an in-place change of an object, including the guard of its data.
    pub fn loses_in_object(&mut self, object: &Object, holds: bool, before: &Value, after: &Value) {
        let mut found = losses_of_object(&object.api_version, &object.kind, before, after);
        if holds && !object.holds_data {
            found.push(unguarded(&["metadata", "annotations", HOLDS_DATA]));
        }
        self.loses_in_place(&object.address, found);
    }

    /// Records the losses of an in-place change of an object.
    fn loses_in_place(&mut self, address: &Address, found: Vec<terrace_catalog::Loss>) {
        let (losses, notes) = sorted_out(found);
        self.notes.extend(notes);
        if !losses.is_empty() {
            self.loses_data.insert(address.clone());
            self.risk = Risk::DataLoss;
            self.losses.extend(losses);
        }
    }

    /// Returns the addresses that require approval.
    pub fn approvals(&self) -> impl Iterator<Item = &Address> {
        self.loses_data
            .iter()
            .chain(&self.retains)
            .chain(&self.loses_identity)
    }

    /// Returns whether this requires no more approvals than `planned`.
    pub fn takes_no_more_than(&self, planned: &Change) -> bool {
        self.loses_data.is_subset(&planned.loses_data)
            && self.loses_identity.is_subset(&planned.loses_identity)
            && self
                .retains
                .iter()
                .all(|address| planned.approvals().any(|known| known == address))
    }
}

impl MemberChange {
    /// Records the data that an update of a resource loses. Both resources are flat; `held` is the desired member, if the live
    /// resource holds data. Returns a note for each property whose loss is unknown until apply.
    pub fn loses_in_resource(&mut self, before: &Value, after: &Value, held: Option<&Member>) -> Vec<String> {
        let properties = |resource: &Value| resource.get("Properties").cloned().unwrap_or_default();
        let (old, new) = (properties(before), properties(after));
        let mut found = losses_of_type(&self.resource_type, &old, &new, &is_open);
        if let Some(member) = held {
            found.extend(removed_guards(before, after, member));
        }
        let (mut losses, notes) = sorted_out(found);
        for loss in &mut losses {
            for value in [&mut loss.before, &mut loss.after].into_iter().flatten() {
                *value = shown(value).0;
            }
        }
        if !losses.is_empty() {
            self.risk = Risk::DataLoss;
            self.losses.extend(losses);
        }
        let address = self.address.as_ref();
        let name = address.map_or(self.logical_id.to_string(), Address::to_string);
        let named = notes.into_iter().map(|note| format!("`{name}`: {note}"));
        named.collect()
    }
}

/// Reads what a `DeletionPolicy` or an `UpdateReplacePolicy` keeps: the resource itself, or a snapshot of it.
pub fn keeps<'a>(resource: &'a Value, policy: &str) -> Option<&'a str> {
    let policy = resource.get(policy)?.as_str()?;
    matches!(policy, "Retain" | "RetainExceptOnCreate" | "Snapshot").then_some(policy)
}

/// Finds the protections of a resource's data that an update removes: its mark, and the policies that retain it.
fn removed_guards(old: &Value, new: &Value, desired: &Member) -> Vec<terrace_catalog::Loss> {
    let mut found = Vec::new();
    if !desired.holds_data {
        found.push(unguarded(&["Metadata", "terrace", "holds-data"]));
    }
    let policies = [
        ("DeletionPolicy", "its data is deleted when it leaves the stack"),
        ("UpdateReplacePolicy", "its data is deleted when it is replaced"),
    ];
    for (policy, what) in policies {
        if keeps(old, policy).is_some() && keeps(new, policy).is_none() {
            found.push(terrace_catalog::Loss {
                path: vec![Segment::Key(policy.into())],
                before: old.get(policy).cloned(),
                after: Some(new.get(policy).cloned().unwrap_or_else(|| "Delete".into())),
                what: what.to_owned(),
                certain: true,
            });
        }
    }
    found
}

/// Creates the loss of the mark that a resource holds data, and therefore of its guard.
fn unguarded(path: &[&str]) -> terrace_catalog::Loss {
    terrace_catalog::Loss {
        path: path.iter().map(|key| Segment::Key((*key).into())).collect(),
        before: Some(true.into()),
        after: Some(false.into()),
        what: "it can then be deleted without approval".to_owned(),
        certain: true,
    }
}

/// Splits losses into certain ones and notes about possible ones.
fn sorted_out(found: Vec<terrace_catalog::Loss>) -> (Vec<Loss>, Vec<String>) {
    let (certain, open): (Vec<_>, Vec<_>) = found.into_iter().partition(|loss| loss.certain);
    let losses = certain.into_iter().map(|loss| Loss {
        path: loss.path,
        before: loss.before,
        after: loss.after,
        what: loss.what,
    });
    let notes = open.into_iter().map(|loss| {
        let path = terrace_artifact::show_path(&loss.path);
        match loss.what.as_str() {
            "" => format!("the new value of `{path}` is known only after apply: the change may lose data"),
            what => {
                format!("the new value of `{path}` is known only after apply: it is possible that {what}")
            }
        }
    });
    (losses.collect(), notes.collect())
}

/// Ensures that no artifact or resource that holds data, by its live state or by the bundle, is replaced or deleted
/// without approval of its address, whatever the backend reports.
pub fn guard(artifact: &Artifact, live: Option<&Live>, change: &mut Change) {
    if change.action == Action::Replace
        && let Some(live) = live
    {
        change.risk = change.risk.max(Risk::Replace);
        match artifact.object() {
            Some(object) => change.record_loss_of_object(live, Some(object)),
            None => change.loses_data.extend(live.holds_data.iter().cloned()),
        }
        // An adopted artifact was created by another user, so its replacement deletes their resource.
        if !live.ownership.is_ours() || live.ownership.is_adopted() {
            change.loses_data.extend(artifact.addresses());
        }
    }
    let holds = |address: &Address| live.is_some_and(|live| live.holds_data.contains(address));
    let mut unguarded = Vec::new();
    for member in &mut change.members {
        let runs_last = matches!(member.action, Action::Replace | Action::Delete);
        if let Some(address) = &member.address
            && runs_last
            && (holds(address) || wanted_to_hold(artifact, &member.logical_id))
            && !change.retains.contains(address)
        {
            member.risk = Risk::DataLoss;
            unguarded.push(address.clone());
        }
        change.risk = change.risk.max(member.risk);
    }
    change.loses_data.extend(unguarded);
    if !change.loses_data.is_empty() {
        change.risk = Risk::DataLoss;
    }
}

fn wanted_to_hold(artifact: &Artifact, logical_id: &str) -> bool {
    let members = artifact.stack().map(|stack| &stack.members);
    members
        .and_then(|members| members.get(logical_id))
        .is_some_and(|member| member.holds_data)
}

#[cfg(test)]
mod tests;
