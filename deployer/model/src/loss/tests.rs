//! Checks every kind that holds data, and every object rule of the loss table, with every kind of change.

use std::collections::BTreeSet;

use terrace_artifact::{Body, Value};
use terrace_catalog::{DataClass, classes, data_of_object, loss_lines};
use terrace_tests::bundles::{holding, object};
use terrace_tests::samples::{Verdict, samples};

use super::*;
use crate::live::Basis;
use crate::ownership::Ownership;

/// Splits the name of a kind in the table: `apps/StatefulSet`.
fn kind_of(name: &str) -> (String, &str) {
    let (group, kind) = name.split_once('/').unwrap();
    let api_version = match group {
        "core" => "v1".to_owned(),
        group => format!("{group}/v1"),
    };
    (api_version, kind)
}

fn artifact(name: &str, manifest: &Value) -> terrace_artifact::Artifact {
    let (api_version, kind) = kind_of(name);
    let mut manifest = manifest.clone();
    if let Some(map) = manifest.as_map_mut() {
        map.insert("apiVersion", api_version.as_str());
        map.insert("kind", kind);
    }
    object(
        "finance/db/thing",
        &api_version,
        kind,
        "data/thing",
        &manifest.to_json().to_string(),
    )
}

fn live(artifact: &terrace_artifact::Artifact, released: Option<bool>) -> Live {
    let value = artifact.object().unwrap().manifest.clone();
    let addresses = artifact.addresses();
    let holds = object_holds_data(&value, released);
    Live {
        id: artifact.id.clone(),
        subject: crate::subject::Subject::of(artifact),
        ownership: Ownership::MADE,
        identity: "1".into(),
        notes: Vec::new(),
        basis: Basis::default(),
        holds_data: if holds { addresses.clone() } else { Vec::new() },
        addresses,
        needs: BTreeSet::new(),
        value,
    }
}

/// Returns a manifest with a mark.
fn marked(manifest: &str, mark: Option<bool>) -> Value {
    let mut json: serde_json::Value = serde_json::from_str(manifest).unwrap();
    if let Some(mark) = mark {
        json["metadata"]["annotations"][HOLDS_DATA] = mark.to_string().into();
    }
    Value::from_json(&json)
}

/// Returns a manifest with which a kind holds data.
fn manifest_of(name: &str) -> &'static str {
    match name {
        "apps/StatefulSet" => r#"{"spec": {"volumeClaimTemplates": [{}]}}"#,
        "core/Service" => r#"{"spec": {"type": "LoadBalancer"}}"#,
        name if name.starts_with("monitoring.coreos.com/") => {
            r#"{"spec": {"storage": {"volumeClaimTemplate": {"spec": {}}}}}"#
        }
        _ => r#"{"spec": {}}"#,
    }
}

#[test]
fn every_kind_with_data_requires_approval_whatever_its_mark() {
    let mut seen = 0;
    let kinds = classes().filter(|(name, entry)| !name.contains("::") && entry.data.class == DataClass::Data);
    for (name, _) in kinds {
        seen += 1;
        for mark in [None, Some(true), Some(false)] {
            let artifact = artifact(name, &marked(manifest_of(name), mark));
            let live = live(&artifact, None);
            let deleted = Change::removal(&live);
            assert_eq!(deleted.approvals().count(), 1, "{name}, marked {mark:?}");
            let outlived = data_of_object(&kind_of(name).0, kind_of(name).1, &live.value).outlived;
            assert_eq!(deleted.retains.is_empty(), !outlived, "{name}");
            assert_eq!(deleted.risk == Risk::DataLoss, !outlived, "{name}: {deleted:?}");

            let mut replaced = Change::of(Action::Replace, "");
            guard(&artifact, Some(&live), &mut replaced);
            assert_eq!(replaced.approvals().count(), usize::from(!outlived), "{name}");

            // The bundle removes the guard, and the object remains.
            let mut unmarked = Change::of(Action::Update, "");
            let value = &live.value;
            unmarked.loses_in_object(
                artifact.object().unwrap(),
                !live.holds_data.is_empty(),
                value,
                value,
            );
            assert_eq!(unmarked.loses_data.len(), 1, "{name}");
            assert_eq!(unmarked.risk, Risk::DataLoss);
        }
        // The last release removed the guard, and the live object has no mark either.
        let artifact = artifact(name, &marked(manifest_of(name), Some(false)));
        let deleted = Change::removal(&live(&artifact, Some(false)));
        assert_eq!(deleted.loses_data.len() + deleted.retains.len(), 0, "{name}");
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn every_object_rule_reports_losses_in_its_direction_only() {
    let mut seen = 0;
    for line in loss_lines().filter(|line| line.name.contains('/')) {
        for sample in samples(&line) {
            seen += 1;
            let artifact = holding(artifact(line.name, &sample.after));
            let mut change = Change::of(Action::Update, "");
            change.loses_in_object(artifact.object().unwrap(), true, &sample.before, &sample.after);
            let case = format!(
                "{} {} {:?} {:?}",
                line.name, line.path, sample.before, sample.after
            );
            assert_eq!(
                !change.loses_data.is_empty(),
                sample.verdict == Verdict::Lost,
                "{case}: {change:?}"
            );
            assert_eq!(
                !change.losses.is_empty(),
                sample.verdict == Verdict::Lost,
                "{case}"
            );
            assert_eq!(
                !change.notes.is_empty(),
                sample.verdict == Verdict::Unclear,
                "{case}"
            );
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn deleting_protection_or_an_identity_requires_approval() {
    let backups = artifact("postgresql.cnpg.io/ScheduledBackup", &marked("{}", None));
    let deleted = Change::removal(&live(&backups, None));
    assert_eq!((deleted.loses_data.len(), deleted.risk), (1, Risk::DataLoss));
    let mut replaced = Change::of(Action::Replace, "");
    guard(&backups, Some(&live(&backups, None)), &mut replaced);
    assert_eq!(replaced.approvals().count(), 0);

    let service = artifact("core/Service", &marked(manifest_of("core/Service"), None));
    let deleted = Change::removal(&live(&service, None));
    assert_eq!(
        (deleted.loses_identity.len(), deleted.risk),
        (1, Risk::IdentityLoss)
    );
    let plain = artifact("core/ConfigMap", &marked("{}", None));
    let deleted = Change::removal(&live(&plain, None));
    assert_eq!((deleted.approvals().count(), deleted.risk), (0, Risk::None));
    // A module may declare that an object of any kind holds data; then the mark alone is enough.
    let marked_config = artifact("core/ConfigMap", &marked("{}", Some(true)));
    let deleted = Change::removal(&live(&marked_config, None));
    assert_eq!((deleted.loses_data.len(), deleted.risk), (1, Risk::DataLoss));
    assert!(matches!(marked_config.body, Body::Object(_)));
}
