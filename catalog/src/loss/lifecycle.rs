//! Compares rules that delete stored data: the lifecycle configurations of buckets, image repositories and search collections.
//!
//! Two sets of rules are compared by the objects that they delete. A new rule loses data if no earlier rule deletes the same objects
//! at least as soon. An earlier rule does so only if it matches everything that the new rule matches.

use std::cmp::Ordering;

use terrace_artifact::{Decimal, Map, Segment, Text, Value};

use super::amount::{Amount, Form, number};
use super::rule::path;
use super::{IsKnownAfterApply, Loss};

/// One deletion of a rule.
struct Deletion {
    /// The path of the number.
    path: Vec<Segment>,
    /// The number in the rule's notation.
    written: Value,
    /// The filter that selects the deleted objects.
    filter: Filter,
    /// The time of the deletion.
    when: DeletionTime,
    /// The name that identifies the rule in both versions.
    name: Option<Text>,
    /// Whether a part of the deletion is known only after apply.
    open: bool,
}

/// The filter of a rule. All parts must match.
#[derive(Clone, PartialEq, Debug, Default)]
struct Filter {
    /// The prefixes of which a name must have one; empty for all names.
    prefixes: Vec<Text>,
    /// The conditions that must all hold.
    conditions: Vec<Value>,
    /// The exclusive minimum size.
    above: Option<Decimal>,
    /// The exclusive maximum size.
    below: Option<Decimal>,
}

/// The time of a deletion. Only deletions of the same kind can be compared.
#[derive(Clone, PartialEq, Debug)]
enum DeletionTime {
    /// A period after the creation. `kind` states what is deleted and how the period is counted; `keeps` is the number of newer
    /// versions that are kept.
    After {
        kind: &'static str,
        count: Decimal,
        keeps: Decimal,
    },
    /// A date.
    Date(Text),
}

impl Filter {
    /// Returns whether this filter matches everything that `other` matches.
    fn covers(&self, other: &Filter) -> bool {
        let within = |prefix: &Text| self.prefixes.iter().any(|own| prefix.starts_with(own.as_str()));
        let prefixes = self.prefixes.is_empty()
            || (!other.prefixes.is_empty() && other.prefixes.iter().all(within))
            || self.prefixes.iter().any(Text::is_empty);
        let conditions = self.conditions.iter().all(|own| other.conditions.contains(own));
        let above = self
            .above
            .is_none_or(|own| other.above.is_some_and(|other| other >= own));
        let below = self
            .below
            .is_none_or(|own| other.below.is_some_and(|other| other <= own));
        prefixes && conditions && above && below
    }
}

impl DeletionTime {
    /// Returns whether this deletion happens at least as soon as `other`.
    fn is_as_soon_as(&self, other: &DeletionTime) -> bool {
        match (self, other) {
            (
                DeletionTime::After { kind, count, keeps },
                DeletionTime::After {
                    kind: other_kind,
                    count: other_count,
                    keeps: other_keeps,
                },
            ) => kind == other_kind && count <= other_count && keeps <= other_keeps,
            (DeletionTime::Date(own), DeletionTime::Date(other)) => {
                own.as_str().cmp(other.as_str()) != Ordering::Greater
            }
            _ => false,
        }
    }

    fn is_same_kind(&self, other: &DeletionTime) -> bool {
        match (self, other) {
            (DeletionTime::After { kind, .. }, DeletionTime::After { kind: other, .. }) => kind == other,
            (DeletionTime::Date(_), DeletionTime::Date(_)) => true,
            _ => false,
        }
    }
}

/// Returns the later deletions that no earlier deletion covers.
fn losses(before: &[Deletion], after: Vec<Deletion>, what: &str) -> Vec<Loss> {
    let mut found = Vec::new();
    for deletion in after {
        let covers = |known: &&Deletion| {
            known.filter.covers(&deletion.filter) && known.when.is_as_soon_as(&deletion.when) && !known.open
        };
        if before.iter().any(|known| covers(&known)) {
            continue;
        }
        let twin = before.iter().find(|known| {
            known.name.is_some() && known.name == deletion.name && known.when.is_same_kind(&deletion.when)
        });
        let wider = twin.is_some_and(|known| known.when.is_as_soon_as(&deletion.when));
        let what = if wider {
            format!("{what}: the rule matches more than before")
        } else {
            what.to_owned()
        };
        // Two values may turn out to be equal after apply.
        let certain = !deletion.open && !twin.is_some_and(|known| known.open);
        found.push(Loss {
            path: deletion.path,
            before: twin.map(|known| known.written.clone()),
            after: Some(deletion.written),
            what,
            certain,
        });
    }
    found
}

fn items<'v>(value: Option<&'v Value>, key: &str) -> &'v [Value] {
    let rules = value.and_then(|value| value.get(key)).and_then(Value::as_list);
    rules.unwrap_or_default()
}

/// Compares the `LifecycleConfiguration` of a bucket of S3, S3 Express or S3 on Outposts.
pub(super) fn s3(before: Option<&Value>, after: Option<&Value>, is_open: IsKnownAfterApply<'_>) -> Vec<Loss> {
    let of = |side: Option<&Value>| -> Vec<Deletion> {
        let rules = items(side, "Rules").iter().enumerate();
        rules
            .flat_map(|(place, rule)| s3_rule(place, rule, is_open))
            .collect()
    };
    losses(&of(before), of(after), "objects are deleted sooner than before")
}

fn s3_rule(place: usize, rule: &Value, is_open: IsKnownAfterApply<'_>) -> Vec<Deletion> {
    let mut found = Vec::new();
    if rule.get("Status").and_then(Value::as_str) == Some("Disabled") {
        return found;
    }
    let (filter, open) = s3_filter(rule, is_open);
    let name = rule.get("Id").and_then(Value::as_str).map(Text::from);
    let mut add = |keys: &[&str], kind: &'static str, keeps: Option<&Value>| {
        let Some(value) = rule.at(keys) else { return };
        let keeps_open = keeps.is_some_and(is_open);
        found.push(Deletion {
            path: path(&["Rules"], Some(place), keys),
            written: value.clone(),
            filter: filter.clone(),
            when: DeletionTime::After {
                kind,
                count: number(value).unwrap_or(Decimal::ZERO),
                keeps: keeps.and_then(number).unwrap_or(Decimal::ZERO),
            },
            name: name.clone(),
            open: open || keeps_open || number(value).is_none(),
        });
    };
    add(&["ExpirationInDays"], "current", None);
    let noncurrent = &["NoncurrentVersionExpiration", "NoncurrentDays"];
    let keeps = rule.at(&["NoncurrentVersionExpiration", "NewerNoncurrentVersions"]);
    add(noncurrent, "noncurrent", keeps);
    add(&["NoncurrentVersionExpirationInDays"], "noncurrent", None);
    if let Some(date) = rule.get("ExpirationDate") {
        found.push(Deletion {
            path: path(&["Rules"], Some(place), &["ExpirationDate"]),
            written: date.clone(),
            filter,
            when: DeletionTime::Date(date.as_str().unwrap_or_default().into()),
            name,
            open: open || is_open(date) || date.as_str().is_none(),
        });
    }
    found
}

/// Returns the filter of a bucket's rule, and whether a part of it is known only after apply.
fn s3_filter(rule: &Value, is_open: IsKnownAfterApply<'_>) -> (Filter, bool) {
    let mut filter = Filter::default();
    let mut open = rule.get("Status").is_some_and(is_open);
    let mut prefix = |value: Option<&Value>| match value {
        Some(value) if is_open(value) => open = true,
        Some(Value::String(text)) => filter.prefixes.push(text.clone()),
        _ => {}
    };
    prefix(rule.get("Prefix"));
    prefix(rule.at(&["Filter", "Prefix"]));
    prefix(rule.at(&["Filter", "AndOperator", "Prefix"]));
    let tags = items(Some(rule), "TagFilters").iter();
    let tags = tags.chain(rule.at(&["Filter", "Tag"]));
    let tags = tags.chain(items(rule.at(&["Filter", "AndOperator"]), "Tags"));
    for tag in tags {
        open |= is_open(tag) || tag.get("Value").is_some_and(is_open) || tag.get("Key").is_some_and(is_open);
        filter.conditions.push(tag.clone());
    }
    for (key, side) in [
        ("ObjectSizeGreaterThan", &mut filter.above),
        ("ObjectSizeLessThan", &mut filter.below),
    ] {
        if let Some(size) = rule.get(key) {
            *side = number(size);
            open |= side.is_none();
        }
    }
    (filter, open)
}

/// Compares the lifecycle policies of an image repository.
pub(super) fn ecr(before: &Value, after: &Value) -> Vec<Loss> {
    let of = |policy: &Value| -> Vec<Deletion> {
        let rules = items(Some(policy), "rules").iter().enumerate();
        rules.filter_map(|(place, rule)| ecr_rule(place, rule)).collect()
    };
    losses(&of(before), of(after), "images are deleted sooner than before")
}

fn ecr_rule(place: usize, rule: &Value) -> Option<Deletion> {
    let selection = rule.get("selection")?;
    if rule.at(&["action", "type"]).and_then(Value::as_str) != Some("expire") {
        return None;
    }
    let text = |key: &str| selection.get(key).and_then(Value::as_str);
    // All conditions must hold, so a rule with fewer conditions matches more images.
    let mut conditions = Vec::new();
    let status = text("tagStatus").unwrap_or("any");
    if status != "any" {
        conditions.push(Value::from(status));
    }
    for key in ["tagPrefixList", "tagPatternList"] {
        for item in items(Some(selection), key) {
            let mut map = Map::new();
            map.insert(key, item.clone());
            conditions.push(Value::Map(map));
        }
    }
    let kind = match text("countType")? {
        "imageCountMoreThan" => "count",
        "sinceImagePushed" => "pushed",
        "sinceImagePulled" => "pulled",
        "sinceImageTransitioned" => "transitioned",
        _ => "other",
    };
    let written = selection.get("countNumber")?.clone();
    Some(Deletion {
        path: path(&["rules"], Some(place), &["selection", "countNumber"]),
        filter: Filter {
            conditions,
            ..Filter::default()
        },
        when: DeletionTime::After {
            kind,
            count: number(&written)?,
            keeps: Decimal::ZERO,
        },
        name: rule
            .get("rulePriority")
            .map(|priority| priority.to_string().into()),
        written,
        open: false,
    })
}

/// Compares the lifecycle policies of OpenSearch Serverless collections.
pub(super) fn search(before: &Value, after: &Value) -> Vec<Loss> {
    let of = |policy: &Value| -> Vec<Deletion> {
        let rules = items(Some(policy), "Rules").iter().enumerate();
        let each = rules.flat_map(|(place, rule)| {
            let retention = rule.get("MinIndexRetention");
            let resources = items(Some(rule), "Resource").iter();
            resources.filter_map(move |resource| search_rule(place, resource, retention?))
        });
        each.collect()
    };
    losses(&of(before), of(after), "documents are deleted sooner than before")
}

fn search_rule(place: usize, resource: &Value, retention: &Value) -> Option<Deletion> {
    let resource = resource.as_str()?;
    let Some(Amount::Hours(hours)) = Amount::read(retention, Form::Duration) else {
        return None;
    };
    Some(Deletion {
        path: path(&["Rules"], Some(place), &["MinIndexRetention"]),
        written: retention.clone(),
        filter: Filter {
            prefixes: vec![resource.strip_suffix('*').unwrap_or(resource).into()],
            ..Filter::default()
        },
        when: DeletionTime::After {
            kind: "documents",
            count: hours,
            keeps: Decimal::ZERO,
        },
        name: Some(resource.into()),
        open: false,
    })
}
