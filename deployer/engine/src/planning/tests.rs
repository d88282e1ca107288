use expect_test::expect;
use futures::future::BoxFuture;
use serde_json::Value as Json;
use terrace_artifact::{Body, Segment, Target};
use terrace_deployer_model::backend::Connected;
use terrace_deployer_model::cancel::Cancel;
use terrace_deployer_model::event::Event;
use terrace_deployer_model::loss::guard;
use terrace_deployer_model::plan::{Field, MemberChange, Risk, Stage};
use terrace_deployer_model::report::Outcome;
use terrace_tests::bundles::{access, bound, bundle, holding, live, needing, object, stack, value};

use super::*;
use crate::connection::{apply, destroy_plan, plan};
use crate::options::ApplyOptions;

/// Connects to a directory. The tests have no other targets.
fn connect<'a>(
    target: &'a Target,
    access: &'a Access,
    label: &'a str,
) -> BoxFuture<'a, Result<Connected, Failure>> {
    let Target::Directory { path } = target else {
        unreachable!("{target:?} is not a directory");
    };
    terrace_deployer_directory::connect(access, path, label)
}

fn config() -> Artifact {
    object(
        "finance/web/settings",
        "v1",
        "ConfigMap",
        "data/settings",
        r#"{"data": {"a": "b"}}"#,
    )
}

fn claim() -> Artifact {
    object(
        "finance/db/claim",
        "v1",
        "PersistentVolumeClaim",
        "data/claim",
        "{}",
    )
}

fn lake() -> Artifact {
    stack(
        "finance",
        "lake",
        r#"{"Raw": {"Type": "AWS::S3::Bucket"}, "Role": {"Type": "AWS::IAM::Role"}}"#,
        &["Raw"],
    )
}

/// Applies the guards to a change and returns the addresses to approve, and the risk.
fn guarded(artifact: &Artifact, live: Option<&Live>, mut change: Change) -> (Vec<String>, Risk) {
    guard(artifact, live, &mut change);
    (
        change.loses_data.iter().map(ToString::to_string).collect(),
        change.risk,
    )
}

#[test]
fn replacing_a_resource_with_data_requires_approval() {
    let replace = || Change::of(Action::Replace, "");
    let (claim, config) = (claim(), config());
    let marked = live(&claim, &["finance/db/claim"]);
    let plain = live(&claim, &[]);
    let lost = vec!["finance/db/claim".to_owned()];
    assert_eq!(
        guarded(&claim, Some(&marked), replace()),
        (lost.clone(), Risk::DataLoss)
    );
    assert_eq!(
        guarded(&holding(claim.clone()), Some(&plain), replace()),
        (lost, Risk::DataLoss)
    );
    assert_eq!(guarded(&claim, Some(&plain), replace()), (vec![], Risk::Replace));
    assert_eq!(
        guarded(&config, Some(&marked), Change::of(Action::Update, "")),
        (vec![], Risk::None)
    );
}

#[test]
fn deleting_a_member_loses_its_data_unless_it_is_retained() {
    let lake = lake();
    let change = |action| {
        let mut change = Change::of(Action::Update, "");
        change.members.push(MemberChange {
            logical_id: "Raw".into(),
            address: Some("finance/lake/raw".parse().unwrap()),
            resource_type: "AWS::S3::Bucket".into(),
            origin: None,
            action,
            reason: String::new(),
            risk: Risk::None,
            losses: Vec::new(),
            fields: Vec::new(),
        });
        change
    };
    let at = live(&lake, &[]);
    // A backend may require approval for a retention, too, but it is not a loss.
    let mut kept = change(Action::Retain);
    kept.retains.insert("finance/lake/raw".parse().unwrap());
    assert_eq!(guarded(&lake, Some(&at), kept), (vec![], Risk::None));
    let mut replaced = change(Action::Replace);
    replaced.retains.insert("finance/lake/raw".parse().unwrap());
    assert_eq!(guarded(&lake, Some(&at), replaced), (vec![], Risk::None));
    for (action, lost, risk) in [
        (Action::Replace, 1, Risk::DataLoss),
        (Action::Delete, 1, Risk::DataLoss),
        (Action::Retain, 0, Risk::None),
        (Action::Update, 0, Risk::None),
    ] {
        let (lost_now, risk_now) = guarded(&lake, Some(&at), change(action));
        assert_eq!((lost_now.len(), risk_now), (lost, risk), "{action}");
    }
}

#[test]
fn only_selects_named_artifacts_and_their_dependencies() {
    let namespace = object("finance/tenant/namespace", "v1", "Namespace", "data", "{}");
    let config = needing(config(), &[&namespace]);
    let bundle = bundle([namespace, config, claim(), lake()]);
    let chosen = |only: &[&str]| -> Vec<String> {
        let only: Vec<Text> = only.iter().map(|text| (*text).into()).collect();
        let selection = Selection::of(&only, &bundle);
        selection
            .wanted
            .iter()
            .map(|id| id.as_str().rsplit('/').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(chosen(&[]).len(), 4);
    assert_eq!(chosen(&["finance/web"]), ["settings", "data"]);
    assert_eq!(chosen(&["finance/db/claim"]), ["claim"]);
    assert_eq!(
        chosen(&["finance/lake/role"]),
        ["directory:acme-development-finance-lake"]
    );
    assert_eq!(chosen(&["sales"]), [""; 0]);
}

/// Validates real plans against the published schema.
#[test]
fn plans_match_their_schema() {
    let schema: Json = serde_json::from_str(terrace_deployer_model::plan::PLAN_SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let check = |plan: &Plan| {
        let json = serde_json::to_value(plan).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&json)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, [""; 0]);
        assert_eq!(&serde_json::from_value::<Plan>(json).unwrap(), plan);
    };
    let folder = tempfile::tempdir().unwrap();
    let access = access(folder.path(), connect);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let make = |bundle: &Bundle| {
        let plan = runtime
            .block_on(plan(bundle, &access, &PlanOptions::everything()))
            .unwrap();
        check(&plan);
        plan
    };
    let lake = lake();
    let account = object(
        "finance/web/account",
        "v1",
        "ServiceAccount",
        "data/web",
        r#"{"role": ""}"#,
    );
    let account = bound(account, &["role"], &lake, "RoleArn", "finance/lake/role.arn");
    let mut all = bundle([config(), holding(claim()), lake, account]);
    all.set.push("web.image=web:2".into());
    let created = make(&all);
    runtime
        .block_on(apply(&created, &access, &ApplyOptions::default(), |_| {}))
        .unwrap();
    let mut changed = config();
    if let Body::Object(object) = &mut changed.body {
        object.manifest =
            value(r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}"#);
    }
    let mut fewer = make(&bundle([changed]));
    let destroyed = runtime.block_on(destroy_plan(&all, &access, &PlanOptions::everything()));
    check(&destroyed.unwrap());

    // Adds values that only live systems produce.
    let step = &mut fewer.steps[0];
    step.change.action = Action::Replace;
    step.change.risk = Risk::Replace;
    step.change.previewed = true;
    step.change.fields.push(Field {
        path: vec![Segment::Key("spec".into()), Segment::Index(0)],
        before: Some(value("null")),
        after: None,
        known_after: Some("finance/lake/role.arn".into()),
        forces_replacement: true,
    });
    step.stage = Some(Stage::First {
        keeps: BTreeSet::from(["Old".into()]),
    });
    let second = Step {
        stage: Some(Stage::Second),
        awaits: Some("0 of 1 pods are ready".into()),
        ..step.clone()
    };
    fewer.steps.push(second);
    fewer.take_over = true;
    fewer.adopt.push("finance/web".into());
    fewer
        .leaves
        .push("ConfigMap data/other is not deleted".to_owned());
    fewer.refusals.push(terrace_deployer_model::ownership::not_ours(
        &config(),
        Some(&terrace_deployer_model::ownership::ApparentOwner::Manager(
            "helm".into(),
        )),
        Ok(()),
    ));
    let container = "finance/base/namespace".parse().unwrap();
    let content = terrace_deployer_model::plan::Content {
        address: terrace_deployer_model::plan::Content::address_in(&container, "Secret/precious"),
        shown: "Secret precious".to_owned(),
        owner: Some("kubectl-create".into()),
        identities: BTreeSet::from(["uid".into()]),
    };
    fewer.steps[0].change.delete_contents(vec![content], &[container]);
    let change = &mut fewer.steps[0].change;
    change.retains.insert("finance/db/server".parse().unwrap());
    change.loses_identity.insert("finance/web/door".parse().unwrap());
    change.losses.push(terrace_deployer_model::plan::Loss {
        path: vec![Segment::Key("spec".into())],
        before: Some(value("1")),
        after: None,
        what: "older records are deleted".to_owned(),
    });
    check(&fewer);

    // The schema rejects invalid plans.
    for (path, wrong) in [
        ("/steps/0/action", Json::from("explode")),
        ("/steps/0/wave", Json::from(0)),
        ("/digest", Json::from("abc")),
        ("/bundle/artifacts/0/body/extra", Json::from(1)),
    ] {
        let mut json = serde_json::to_value(&fewer).unwrap();
        let (parent, key) = path.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[key] = wrong;
        assert!(!validator.is_valid(&json), "{path}");
    }
}

#[test]
fn a_stopped_apply_starts_no_more_steps_and_reports_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let access = access(folder.path(), connect);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let first = config();
    let second = needing(claim(), &[&first]);
    let bundle = bundle([first, second]);
    let made = runtime
        .block_on(plan(&bundle, &access, &PlanOptions::everything()))
        .unwrap();
    let (canceller, cancel) = Cancel::channel();
    let options = ApplyOptions {
        cancel,
        ..ApplyOptions::default()
    };
    // Stops as soon as the first step is complete.
    let events = |event: Event| {
        if let Event::Done { .. } = event {
            canceller.cancel();
        }
    };
    let error = runtime
        .block_on(apply(&made, &access, &options, events))
        .unwrap_err();
    assert_eq!(error.exit_code(), 3);
    expect![[r#"
        1 of 2 steps done

        not started:
          create PersistentVolumeClaim data/claim: the apply was stopped"#]]
    .assert_eq(&error.to_string());
    let Error::Partly(report) = error else { panic!() };
    assert_eq!(report.steps[0].1, Outcome::Done);

    let again = runtime
        .block_on(plan(&bundle, &access, &PlanOptions::everything()))
        .unwrap();
    assert_eq!(again.changes().count(), 1);
    assert_eq!(
        again.notes,
        ["release 1 by ana at 2026-11-21T03:30:45Z did not complete; this plan finishes it"]
    );
    let report = runtime
        .block_on(apply(&again, &access, &ApplyOptions::default(), |_| {}))
        .unwrap();
    assert!(report.is_complete());
}
