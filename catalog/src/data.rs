//! The data that is lost when a resource or an object is deleted: a class and a reason for every type and kind.
//!
//! The table is `data/classes.tsv`. It has a line for each CloudFormation type, for each Kubernetes kind, and for kinds of
//! well-known operators whose schemas are not in the catalog. `cargo xtask classes` writes the lines that follow from a
//! schema; the others are written by hand. `docs/data-loss.md` shows the table.

use std::fmt;
use std::sync::LazyLock;

use foldhash::HashMap;
use terrace_artifact::{Tree, View};

use crate::cloudformation::CUSTOM;
use crate::compare::entry;

static TABLE: &str = include_str!("../data/classes.tsv");

static ENTRIES: LazyLock<HashMap<&'static str, Entry>> = LazyLock::new(|| {
    let lines = TABLE.lines().filter_map(Entry::read);
    lines.collect()
});

/// The class of what a deletion loses permanently.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DataClass {
    /// Nothing. The resource connects other resources, is an action, or is a copy of data that is stored elsewhere.
    None,
    /// Nothing. Creating the resource again from the same source restores it.
    Configuration,
    /// A value that the service generates and that others outside the stack use: an address, a credential, an acceptance. A new
    /// resource has a different value.
    Identity,
    /// Content that does not come from the source and that no source can restore.
    Data,
}

/// The class of a type or kind, with the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Classification {
    /// The class of what a deletion loses.
    pub class: DataClass,
    /// For data, what is lost (`messages that no consumer has received`). For an identity, what others use (`the URL that
    /// clients call`). Otherwise, why nothing is lost, as a clause that follows the type's name.
    pub reason: &'static str,
}

/// The data of one object or resource, by its type and its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldData {
    /// The class of this object. For example, a StatefulSet without volume claim templates has no data.
    pub data: Classification,
    /// Whether the data survives the deletion, although the class is `Data`: the PVCs of a StatefulSet, or the disk of a
    /// PersistentVolume with the policy `Retain`. The data is then unmanaged.
    pub outlived: bool,
}

impl DataClass {
    const NAMES: [(&'static str, DataClass); 4] = [
        ("none", DataClass::None),
        ("configuration", DataClass::Configuration),
        ("identity", DataClass::Identity),
        ("data", DataClass::Data),
    ];

    fn read(name: &str) -> Option<DataClass> {
        let known = DataClass::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, class)| *class)
    }
}

impl fmt::Display for DataClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = DataClass::NAMES.iter().find(|(_, class)| class == self);
        f.write_str(known.map_or("", |(name, _)| name))
    }
}

/// A line of the table.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The class and the reason.
    pub data: Classification,
    /// Whether the line follows from the schema.
    pub by_schema: bool,
    /// The condition that an object must meet to have data.
    holds: Option<Condition>,
    fate: DeletionEffect,
}

/// The effect of a deletion of the object on its data.
#[derive(Clone, Copy, Debug)]
enum DeletionEffect {
    Lost,
    LostIf(Condition),
    Kept,
    KeptIf(Condition),
}

/// A condition on a field: it exists, or it has a value: `spec/type=LoadBalancer`.
#[derive(Clone, Copy, Debug)]
struct Condition {
    path: &'static str,
    value: Option<&'static str>,
}

impl Entry {
    /// Parses a line of the table: name, class, who decided, reason and conditions, separated by tabs.
    fn read(line: &'static str) -> Option<(&'static str, Entry)> {
        let mut columns = line.split('\t');
        let mut next = || columns.next();
        let (name, class, by, reason) = (next()?, DataClass::read(next()?)?, next()?, next()?);
        let mut entry = Entry {
            data: Classification { class, reason },
            by_schema: by == "schema",
            holds: None,
            fate: DeletionEffect::Lost,
        };
        for condition in next().into_iter().flat_map(|text| text.split("; ")) {
            let (word, rest) = condition.split_once(' ').unwrap_or((condition, ""));
            match (word, Condition::read(rest)) {
                ("holds", condition) => entry.holds = condition,
                ("lost", Some(condition)) => entry.fate = DeletionEffect::LostIf(condition),
                ("kept", Some(condition)) => entry.fate = DeletionEffect::KeptIf(condition),
                ("kept", None) => entry.fate = DeletionEffect::Kept,
                _ => {}
            }
        }
        Some((name, entry))
    }

    fn of<T: Tree>(&self, body: &T) -> HeldData {
        let holds = self
            .holds
            .is_none_or(|condition| condition.holds(body) != Some(false));
        let data = if holds {
            self.data
        } else {
            Classification {
                class: DataClass::Configuration,
                reason: "is created again from its manifest",
            }
        };
        let kept = match self.fate {
            DeletionEffect::Lost => false,
            DeletionEffect::Kept => true,
            // If a value is not known yet, assume that the data is lost.
            DeletionEffect::LostIf(condition) => condition.holds(body) == Some(false),
            DeletionEffect::KeptIf(condition) => condition.holds(body) == Some(true),
        };
        HeldData {
            data,
            outlived: kept && data.class == DataClass::Data,
        }
    }
}

impl Condition {
    fn read(text: &'static str) -> Option<Condition> {
        let (path, value) = match text.split_once('=') {
            Some((path, value)) => (path, Some(value)),
            None => (text, None),
        };
        (!path.is_empty()).then_some(Condition { path, value })
    }

    /// Returns whether the condition holds for a body, or `None` if that is known only after apply.
    fn holds<T: Tree>(&self, body: &T) -> Option<bool> {
        let mut value = body;
        for step in self.path.split('/') {
            if matches!(value.view(), View::Unknown) {
                return None;
            }
            match entry(value, step) {
                Some(next) => value = next,
                None => return Some(false),
            }
        }
        match (value.view(), self.value) {
            (View::Unknown, _) => None,
            (View::List(items), None) => Some(!items.is_empty()),
            (View::Null, _) => Some(false),
            (_, None) => Some(true),
            (View::String(text), Some(wanted)) => Some(text == wanted),
            (View::Bool(value), Some(wanted)) => Some(value.to_string() == wanted),
            (_, Some(_)) => Some(false),
        }
    }
}

/// The classification of an unknown type, which must be the most cautious one.
const UNKNOWN_TYPE: Classification = Classification {
    class: DataClass::Data,
    reason: "its content is unknown, because Terrace does not know this type",
};

/// Returns the classification of a CloudFormation type. A type that is not in the catalog is assumed to hold data.
pub fn data_of_type(resource_type: &str) -> Classification {
    let name = if resource_type.starts_with("Custom::") {
        CUSTOM
    } else {
        resource_type
    };
    ENTRIES.get(name).map_or(UNKNOWN_TYPE, |entry| entry.data)
}

/// Returns the classification of a Kubernetes kind in any version, or `None` for a kind that is not in the table.
pub fn data_of_kind(api_version: &str, kind: &str) -> Option<Classification> {
    Some(entry_of_kind(api_version, kind)?.data)
}

/// Returns the data of an object, by its kind and manifest. A kind that is not in the table is assumed to hold data if its
/// `spec` requests storage.
pub fn data_of_object<T: Tree>(api_version: &str, kind: &str, manifest: &T) -> HeldData {
    if let Some(entry) = entry_of_kind(api_version, kind) {
        return entry.of(manifest);
    }
    let stores = entry(manifest, "spec").is_some_and(|spec| asks_for_storage(spec, STORAGE_DEPTH));
    let data = if stores {
        Classification {
            class: DataClass::Data,
            reason: "the content of the storage that it requests",
        }
    } else {
        Classification {
            class: DataClass::Configuration,
            reason: "is created again from its manifest",
        }
    };
    HeldData {
        data,
        outlived: false,
    }
}

/// The maximum depth below `spec` of a field that requests storage.
const STORAGE_DEPTH: u8 = 4;

fn asks_for_storage<T: Tree>(value: &T, depth: u8) -> bool {
    const WORDS: [&str; 4] = ["storage", "volumeclaim", "persistence", "persistent"];
    match value.view() {
        View::Map(entries) => entries.iter().any(|(key, value)| {
            let key = key.to_ascii_lowercase();
            let is_off = matches!(value.view(), View::Null | View::Bool(false));
            // A hyphenated name such as `ephemeral-storage` is a resource limit of a container.
            let names = !key.contains('-') && WORDS.iter().any(|word| key.contains(word));
            names && !is_off || depth > 0 && asks_for_storage(value, depth - 1)
        }),
        View::List(items) => depth > 0 && items.iter().any(|item| asks_for_storage(item, depth - 1)),
        _ => false,
    }
}

fn entry_of_kind(api_version: &str, kind: &str) -> Option<&'static Entry> {
    let group = api_version.split_once('/').map_or("core", |(group, _)| group);
    ENTRIES.get(&*format!("{group}/{kind}"))
}

/// Iterates over the lines of the table, in order: `AWS::SQS::Queue`, `apps/StatefulSet`, `core/Secret`.
#[doc(hidden)]
pub fn classes() -> impl Iterator<Item = (&'static str, Entry)> {
    TABLE.lines().filter_map(Entry::read)
}

/// Returns whether CloudFormation supports `DeletionPolicy: Snapshot` for a type. It rejects a template that uses the policy
/// for another type. Source: the documentation of `DeletionPolicy`.
pub fn supports_snapshot(resource_type: &str) -> bool {
    matches!(
        resource_type,
        "AWS::DocDB::DBCluster"
            | "AWS::EC2::Volume"
            | "AWS::ElastiCache::CacheCluster"
            | "AWS::ElastiCache::ReplicationGroup"
            | "AWS::Neptune::DBCluster"
            | "AWS::RDS::DBCluster"
            | "AWS::RDS::DBInstance"
            | "AWS::Redshift::Cluster"
    )
}
