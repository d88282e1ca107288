//! Tests every type that holds data, and every property whose change loses data, with every kind of change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use terrace_artifact::{Member, Origin, Value};
use terrace_catalog::{
    DataClass, Replacement, classes, cloudformation, data_of_type, loss_lines, loss_when_deleted,
};
use terrace_tests::bundles as testing;
use terrace_tests::samples::{Verdict, samples};

use super::*;
use crate::difference::difference;
use crate::preview::removal;
use crate::record::{Observed, Record};

/// The attributes of a resource in addition to its properties.
#[derive(Clone, Copy)]
struct Kept {
    /// `DeletionPolicy` and `UpdateReplacePolicy`.
    policy: Option<&'static str>,
    /// The mark in the metadata: whether the resource holds data.
    mark: Option<bool>,
}

/// The attributes that the compiler gives to a resource with data.
const DEFAULT: Kept = Kept {
    policy: Some("Retain"),
    mark: Some(true),
};

/// The attributes after a user has removed all protection.
const BARE: Kept = Kept {
    policy: None,
    mark: None,
};

fn template(id: &str, resource_type: &str, properties: &Json, kept: Kept) -> Value {
    let mut resource = json!({"Type": resource_type, "Properties": properties});
    if let Some(policy) = kept.policy {
        resource["DeletionPolicy"] = policy.into();
        resource["UpdateReplacePolicy"] = policy.into();
    }
    if let Some(mark) = kept.mark {
        resource["Metadata"] = json!({"terrace": {"address": "finance/db/thing", "holds-data": mark}});
    }
    Value::from_json(&json!({"Resources": {id: resource, "Side": {"Type": "AWS::IAM::Group"}}}))
}

/// Returns a stack with this template. `holds` is whether the component declares that the resource holds data.
fn stack(template: Value, holds: bool) -> CloudFormationStack {
    let members = template::resources(&template).map(|(id, resource)| {
        let side = *id == "Side";
        let member = Member {
            address: if side {
                "finance/db/side"
            } else {
                "finance/db/thing"
            }
            .parse()
            .unwrap(),
            origin: Origin::default(),
            resource_type: template::resource_type(resource).into(),
            holds_data: holds && !side,
        };
        (id.clone(), member)
    });
    let artifact = testing::stack("finance", "db", r#"{"Side": {"Type": "AWS::IAM::Group"}}"#, &[]);
    CloudFormationStack {
        members: members.collect(),
        template: template.clone(),
        ..artifact.stack().unwrap().clone()
    }
}

/// Returns the live stack. `released` is whether the last release declared that the resource holds data.
fn observed(template: &Value, released: Option<bool>) -> Observed {
    let before = released.map(|holds| stack(template.clone(), holds));
    Observed {
        record: Record::default(),
        template: template.clone(),
        addresses: template::resources(template)
            .map(|(id, _)| {
                (
                    id.clone(),
                    stack(template.clone(), true).members[id].address.clone(),
                )
            })
            .collect(),
        holders: template::holding(template, before.as_ref(), false),
        ..Observed::default()
    }
}

fn change(before: &Observed, after: &CloudFormationStack) -> Change {
    let mut change = difference(after, &BTreeMap::new(), &BTreeMap::new(), before).unwrap();
    // The engine adds its own guards to the change of a backend.
    let mut artifact = testing::stack("finance", "db", r#"{"Side": {"Type": "AWS::IAM::Group"}}"#, &[]);
    artifact.body = terrace_artifact::Body::Stack(after.clone());
    terrace_deployer_model::loss::guard(&artifact, None, &mut change);
    change
}

/// Returns the approval that a change requires: `lost`, `retained`, `identity` or `free` (none).
fn asks(change: &Change) -> &'static str {
    let sets = [&change.loses_data, &change.retains, &change.loses_identity];
    let counts: Vec<usize> = sets.iter().map(|set| set.len()).collect();
    assert_eq!(change.risk == Risk::DataLoss, counts[0] > 0, "{change:?}");
    let marked = change.members.iter().any(|member| member.risk == Risk::DataLoss);
    assert_eq!(marked, counts[0] > 0, "{change:?}");
    match counts.as_slice() {
        [1, 0, 0] => "lost",
        [0, 1, 0] => "retained",
        [0, 0, 1] => "identity",
        [0, 0, 0] => "free",
        _ => panic!("{change:?}"),
    }
}

/// Returns a property that replaces the resource, with a value before and after the change.
fn replaced(resource_type: &str) -> Option<(Json, Json)> {
    let known = cloudformation(resource_type)?;
    let path = known.create_only().iter().find(|path| !path.contains('*'))?;
    let value = |text: &str| {
        let steps = path.rsplit('/');
        steps.fold(json!(text), |inner, step| json!({ step: inner }))
    };
    Some((value("one"), value("other")))
}

#[test]
fn every_type_that_holds_data_is_protected_from_every_kind_of_change() {
    let mut seen = 0;
    let data = classes().filter(|(name, entry)| name.contains("::") && entry.data.class == DataClass::Data);
    for (name, _) in data {
        seen += 1;
        let no_properties = json!({});
        let only_side = || {
            stack(
                Value::from_json(&json!({"Resources": {"Side": {"Type": "AWS::IAM::Group"}}})),
                true,
            )
        };
        let of = |kept: Kept| observed(&template("Thing", name, &no_properties, kept), Some(true));
        // Deletes the resource: with the attributes of the compiler, without them, and with a mark that denies the data.
        assert_eq!(asks(&change(&of(DEFAULT), &only_side())), "retained", "{name}");
        let denied = Kept {
            mark: Some(false),
            ..BARE
        };
        for kept in [
            BARE,
            denied,
            Kept {
                policy: Some("Delete"),
                ..DEFAULT
            },
        ] {
            assert_eq!(asks(&change(&of(kept), &only_side())), "lost", "{name}");
            // The last release is not recorded.
            let unrecorded = observed(&template("Thing", name, &no_properties, kept), None);
            assert_eq!(asks(&change(&unrecorded, &only_side())), "lost", "{name}");
        }
        // Declares the resource under another key.
        let renamed = stack(template("Other", name, &no_properties, DEFAULT), true);
        assert_eq!(asks(&change(&of(DEFAULT), &renamed)), "retained", "{name}");
        assert_eq!(asks(&change(&of(BARE), &renamed)), "lost", "{name}");
        // Replaces the resource.
        if let Some((old, new)) = replaced(name) {
            for (kept, expect) in [(DEFAULT, "retained"), (BARE, "lost")] {
                let before = observed(&template("Thing", name, &old, kept), Some(true));
                let after = stack(template("Thing", name, &new, DEFAULT), true);
                let change = change(&before, &after);
                assert_eq!(change.members[0].action, Action::Replace, "{name}");
                assert_eq!(asks(&change), expect, "{name}: {change:?}");
            }
        }
        // Removes the protection: the mark, the policies, or both.
        for (holds, kept) in [
            (
                false,
                Kept {
                    mark: Some(false),
                    ..DEFAULT
                },
            ),
            (
                true,
                Kept {
                    policy: Some("Delete"),
                    ..DEFAULT
                },
            ),
            (
                false,
                Kept {
                    policy: Some("Delete"),
                    mark: Some(false),
                },
            ),
        ] {
            let after = stack(template("Thing", name, &no_properties, kept), holds);
            assert_eq!(asks(&change(&of(DEFAULT), &after)), "lost", "{name}");
        }
        // After a release without data, the deletion needs no approval.
        let free = template("Thing", name, &no_properties, denied);
        if loss_when_deleted(name).is_none() {
            assert_eq!(
                asks(&change(&observed(&free, Some(false)), &only_side())),
                "free",
                "{name}"
            );
        }
        // Adding the attributes of the compiler to a live resource loses nothing.
        let after = stack(template("Thing", name, &no_properties, DEFAULT), true);
        assert_eq!(asks(&change(&of(BARE), &after)), "free", "{name}");
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn deleting_a_stack_loses_the_resources_that_it_does_not_retain() {
    let live = |kept: Kept, resource_type: &str| {
        let mut live = testing::live(
            &testing::stack("finance", "db", r#"{"Side": {"Type": "AWS::IAM::Group"}}"#, &[]),
            &[],
        );
        live.value = observed(&template("Thing", resource_type, &json!({}), kept), None).to_value();
        live
    };
    for (name, entry) in classes().filter(|(name, _)| name.contains("::")) {
        let expect = |kept: Kept| match (entry.data.class, kept.policy) {
            (DataClass::Data, Some(_)) => "retained",
            (DataClass::Data, None) => "lost",
            (DataClass::Identity, None) => "identity",
            _ if kept.policy.is_none() && loss_when_deleted(name).is_some() => "lost",
            _ => "free",
        };
        for kept in [
            Kept {
                mark: None,
                ..DEFAULT
            },
            BARE,
        ] {
            assert_eq!(asks(&removal(&live(kept, name))), expect(kept), "{name}");
        }
    }
}

#[test]
fn every_loss_of_a_property_applies_in_its_direction_only() {
    let mut seen = 0;
    for line in loss_lines().filter(|line| line.name.contains("::")) {
        let known = cloudformation(line.name).unwrap();
        let holds = data_of_type(line.name).class == DataClass::Data;
        for sample in samples(&line) {
            seen += 1;
            let kept = if holds { DEFAULT } else { BARE };
            let of = |properties: &Value| template("Thing", line.name, &properties.to_json(), kept);
            let change = change(
                &observed(&of(&sample.before), Some(holds)),
                &stack(of(&sample.after), holds),
            );
            let case = format!(
                "{} {} {:?} {:?}",
                line.name, line.path, sample.before, sample.after
            );
            let member = change.members.iter().find(|member| member.logical_id == "Thing");
            let member = member.unwrap_or_else(|| panic!("{case}"));
            let fixed = member
                .fields
                .iter()
                .any(|field| known.is_create_only(&field.path) != Replacement::Never);
            if member.action == Action::Replace {
                // A replacement deletes or retains the old resource as a whole.
                assert!(fixed && member.losses.is_empty(), "{case}");
                continue;
            }
            let lost = sample.verdict == Verdict::Lost;
            assert_eq!(!member.losses.is_empty(), lost, "{case}: {change:?}");
            assert_eq!(asks(&change) == "lost", lost, "{case}");
            assert_eq!(member.risk == Risk::DataLoss, lost, "{case}");
            assert_eq!(
                !change.notes.is_empty(),
                sample.verdict == Verdict::Unclear,
                "{case}: {change:?}"
            );
            // The JSON of the plan contains the losses, too.
            let json = serde_json::to_value(&change).unwrap();
            assert_eq!(json["members"][0]["losses"].is_array(), lost, "{case}");
        }
    }
    assert!(seen > 500, "{seen}");
}

#[test]
fn notes_a_loss_that_is_unknown_until_apply() {
    let of = |value: Json| {
        template(
            "Thing",
            "AWS::Kinesis::Stream",
            &json!({"RetentionPeriodHours": value}),
            DEFAULT,
        )
    };
    let before = observed(&of(json!(168)), Some(true));
    let after = stack(of(json!({"Ref": "Hours"})), true);
    let unknown = change(&before, &after);
    assert_eq!(asks(&unknown), "free");
    assert_eq!(
        unknown.notes,
        [
            "`finance/db/thing`: the new value of `RetentionPeriodHours` is known only after apply: it is possible that older records are deleted"
        ]
    );
    // The loss is known if the value of the parameter is known.
    let parameters = BTreeMap::from([(
        "Hours".into(),
        terrace_deployer_model::values::Late::Known("24".into()),
    )]);
    let known = difference(&after, &parameters, &BTreeMap::new(), &before).unwrap();
    assert_eq!(asks(&known), "lost");
    assert_eq!(known.members[0].losses[0].after, Some("24".into()));
    let addresses: BTreeSet<String> = known.loses_data.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, BTreeSet::from(["finance/db/thing".to_owned()]));
}
