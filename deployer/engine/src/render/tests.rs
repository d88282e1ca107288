use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use terrace_artifact::{Address, ArtifactId, Segment};
use terrace_deployer_model::claim::StackOrigin;
use terrace_deployer_model::live::{Basis, Identity};
use terrace_deployer_model::plan::{Change, FORMAT};
use terrace_deployer_model::subject::Subject;
use terrace_tests::bundles::{bundle, value};

use super::*;

fn plan(steps: Vec<Step>) -> Plan {
    let bundle = bundle([]);
    let identity = |kind: &str, id: &str, shown: &str| Identity {
        kind: kind.into(),
        id: id.into(),
        shown: shown.into(),
    };
    Plan {
        format: FORMAT.into(),
        terrace: "0.1.0".into(),
        made: "2026-11-21T03:30:45Z".into(),
        who: "ana".into(),
        folder: ".".into(),
        origin: StackOrigin::default(),
        accept_origin: false,
        at: None,
        purpose: Purpose::Apply,
        digest: bundle.digest(),
        bundle,
        targets: BTreeMap::from([
            (
                "aws".into(),
                identity(
                    "aws",
                    "111122223333/eu-west-1",
                    "account 111122223333 in eu-west-1",
                ),
            ),
            (
                "kubernetes".into(),
                identity("kubernetes", "1", "cluster acme-dev at https://10.0.0.1:6443"),
            ),
        ]),
        home: "namespace terrace-system".into(),
        follows: None,
        only: Vec::new(),
        take_over: false,
        adopt: Vec::new(),
        refusals: Vec::new(),
        leaves: Vec::new(),
        steps,
        notes: Vec::new(),
    }
}

fn step(address: &str, kind: &str, place: &str, change: Change) -> Step {
    let address: Address = address.parse().unwrap();
    let (namespace, name) = place
        .split_once('/')
        .map_or((None, place), |(ns, name)| (Some(ns.into()), name));
    Step {
        artifact: ArtifactId::object("kubernetes", "v1", kind, namespace.as_deref(), name),
        target: "kubernetes".into(),
        wave: 1,
        owner: address.owner.clone(),
        component: address.component.clone(),
        subject: Subject {
            kind: kind.into(),
            namespace,
            name: name.into(),
        },
        addresses: vec![address],
        origin: None,
        after: BTreeSet::new(),
        stage: None,
        awaits: None,
        change,
        basis: Basis::absent(),
    }
}

fn field(path: &[&str], before: &str, after: &str) -> Field {
    let json = |text: &str| (!text.is_empty()).then(|| value(text));
    Field {
        path: path.iter().map(|key| Segment::Key((*key).into())).collect(),
        before: json(before),
        after: json(after),
        known_after: None,
        forces_replacement: false,
    }
}

#[track_caller]
fn check(plan: &Plan, want: Expect) {
    want.assert_eq(&render(plan, false));
}

#[test]
fn renders_every_kind_of_change() {
    let with = |mut change: Change, fields: Vec<Field>| {
        change.fields = fields;
        change
    };
    let mut late = field(
        &["metadata", "annotations", "eks.amazonaws.com/role-arn"],
        "\"old\"",
        "",
    );
    late.known_after = Some("finance/lake/role.arn".into());
    let mut fixed = field(&["spec", "selector"], r#"{"app":"a"}"#, r#"{"app":"b"}"#);
    fixed.forces_replacement = true;
    let mut restart = with(
        Change::of(Action::Update, "`image` changes"),
        vec![
            field(&["spec", "replicas"], "2", "3"),
            field(&["spec", "paused"], "", "true"),
            field(&["spec", "x"], "1", ""),
        ],
    );
    restart.risk = Risk::Restart;
    let mut replace = with(
        Change::of(Action::Replace, "`spec.selector` cannot be changed"),
        vec![fixed],
    );
    replace.risk = Risk::Replace;
    let mut lost = Change::of(Action::Delete, "no longer in the stack");
    lost.risk = Risk::DataLoss;
    lost.loses_data.insert("finance/db/claim[\"a\"]".parse().unwrap());
    let mut noted = Change::of(Action::Create, "new");
    noted
        .notes
        .push("its namespace does not exist yet, so the server was not asked".to_owned());
    let mut made = plan(vec![
        step("finance/web/web", "Deployment", "data/web", restart),
        step(
            "finance/web/account",
            "ServiceAccount",
            "data/web",
            with(Change::of(Action::Update, "x"), vec![late]),
        ),
        step("finance/web/job", "Job", "data/migrate", replace),
        step("finance/db/claim[\"a\"]", "PersistentVolumeClaim", "data/a", lost),
        step("platform/base/quota", "ResourceQuota", "data/quota", noted),
        step(
            "finance/web/page",
            "ConfigMap",
            "data/page",
            Change::of(Action::Adopt, "it exists, and has no other manager"),
        ),
        step("finance/web/same", "ConfigMap", "data/same", Change::keep()),
    ]);
    made.bundle.set.push("web.image=web:2".into());
    made.notes
        .push("release 7 by ben of 2026-11-20T10:00:00Z did not complete; this plan finishes it".into());
    check(
        &made,
        expect![[r#"
            plan for acme in development: 1 to create, 1 to adopt, 2 to update, 1 to replace, 1 to delete, 1 unchanged
              where: account 111122223333 in eu-west-1, cluster acme-dev at https://10.0.0.1:6443
              set: web.image=web:2

            platform/base
              + ResourceQuota data/quota
                  note: its namespace does not exist yet, so the server was not asked

            finance/db
              - PersistentVolumeClaim data/a  deleted: no longer in the stack  [LOSES DATA]

            finance/web
              ~ Deployment data/web  updated  [restarts]
                  spec.replicas: 2 → 3
                  spec.paused: true  (new)
                  spec.x: 1  (removed)
              ~ ServiceAccount data/web  updated
                  metadata.annotations["eks.amazonaws.com/role-arn"]: "old" → (known after apply: finance/lake/role.arn)
              -/+ Job data/migrate  replaced: `spec.selector` cannot be changed
                  spec.selector: {"app":"a"} → {"app":"b"}  (forces replacement)
              > ConfigMap data/page  adopted: it exists, and has no other manager

            note: release 7 by ben of 2026-11-20T10:00:00Z did not complete; this plan finishes it

            warning: data would be lost; apply requires these approvals:
                --approve 'finance/db/claim["a"]'

            1 to create, 1 to adopt, 2 to update, 1 to replace, 1 to delete, 1 unchanged
        "#]],
    );
}

#[test]
fn does_not_ask_again_for_an_approval() {
    let address: Address = "finance/db/claim[\"a\"]".parse().unwrap();
    let mut lost = Change::of(Action::Delete, "no longer in the stack");
    lost.loses_data.insert(address.clone());
    let made = plan(vec![step(
        "finance/db/claim[\"a\"]",
        "PersistentVolumeClaim",
        "data/a",
        lost,
    )]);
    let shown = render_approved(&made, &BTreeSet::from([address]), false);
    assert!(!shown.contains("warning"), "{shown}");
    let line = "approved: the data of finance/db/claim[\"a\"] is lost\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn shortens_long_values_and_compares_strings_by_line() {
    let lines = |n: usize| (0..n).map(|i| format!("line {i}\\n")).collect::<String>();
    let mut change = Change::of(Action::Update, "x");
    change.fields = vec![
        field(
            &["image"],
            &format!("\"{}:1\"", "registry.example/".repeat(6)),
            "\"b\"",
        ),
        field(&["data", "script"], "\"a\\nb\\nc\\n\"", "\"a\\nx\\nc\\n\""),
        field(&["data", "long"], "\"\\n\"", &format!("\"{}\"", lines(20))),
    ];
    check(
        &plan(vec![step("finance/web/web", "ConfigMap", "data/web", change)]),
        expect![[r#"
            plan for acme in development: 1 to update
              where: account 111122223333 in eu-west-1, cluster acme-dev at https://10.0.0.1:6443

            finance/web
              ~ ConfigMap data/web  updated
                  image: "registry.example/registry.example/registry.example…registry.example/:1" → "b"
                  data.script:
                    - b
                    + x
                  data.long:
                    - 
                    + line 0
                    + line 1
                    + line 2
                    + line 3
                    + line 4
                    + line 5
                    + line 6
                    + line 7
                    + line 8
                    + line 9
                    + line 10
                    and 9 more lines

            1 to update
        "#]],
    );
}

#[test]
fn colors_do_not_change_the_text() {
    let made = plan(vec![step(
        "finance/web/web",
        "ConfigMap",
        "data/web",
        Change::of(Action::Create, "x"),
    )]);
    let mut plain = render(&made, true);
    for code in ["1", "2", "31", "32", "33", "0"] {
        plain = plain.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(plain, render(&made, false));
}

#[test]
fn lists_unchanged_artifacts_that_are_not_ready() {
    let mut waiting = step("finance/web/web", "Deployment", "data/web", Change::keep());
    waiting.awaits = Some("0 of 2 pods are available\nand more".to_owned());
    let kept = step("finance/web/page", "ConfigMap", "data/page", Change::keep());
    check(
        &plan(vec![waiting.clone(), kept.clone()]),
        expect![[r#"
        plan for acme in development: no changes, 1 not ready
          where: account 111122223333 in eu-west-1, cluster acme-dev at https://10.0.0.1:6443

        finance/web
          = Deployment data/web  not ready: 0 of 2 pods are available

        no changes, 1 not ready
    "#]],
    );
    let changed = step(
        "finance/web/job",
        "Job",
        "data/job",
        Change::of(Action::Create, "new"),
    );
    assert_eq!(
        totals(&plan(vec![waiting, kept, changed])),
        "1 to create, 1 not ready, 1 unchanged"
    );
}

#[test]
fn warns_about_an_approval_without_effect() {
    let mut lost = Change::of(Action::Delete, "no longer in the stack");
    lost.loses_data.insert("finance/db/claim".parse().unwrap());
    let plan = plan(vec![step(
        "finance/db/claim",
        "PersistentVolumeClaim",
        "data/a",
        lost,
    )]);
    let approved = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
    let shown = render_approved(&plan, &approved(&["finance/db/clam", "sales/web/page"]), false);
    expect![[r#"
        plan for acme in development: 1 to delete
          where: account 111122223333 in eu-west-1, cluster acme-dev at https://10.0.0.1:6443

        finance/db
          - PersistentVolumeClaim data/a  deleted: no longer in the stack

        warning: `--approve 'finance/db/clam'` has no effect: no change of `finance/db/clam` needs an approval; did you mean `finance/db/claim`?
        warning: `--approve 'sales/web/page'` has no effect: no change of `sales/web/page` needs an approval

        warning: data would be lost; apply requires these approvals:
            --approve 'finance/db/claim'

        1 to delete
    "#]].assert_eq(&shown);
    let shown = render_approved(&plan, &approved(&["finance/db/claim"]), false);
    assert!(!shown.contains("has no effect"), "{shown}");
}

/// A loss in place, retained data and a lost identity have separate lines and approvals.
#[test]
fn lists_losses_by_their_kind() {
    let address = |text: &str| -> Address { text.parse().unwrap() };
    let mut shrinks = Change::of(Action::Update, "x");
    shrinks.fields = vec![field(&["spec", "retention"], "\"30d\"", "\"2d\"")];
    shrinks.losses = vec![Loss {
        path: vec![Segment::Key("spec".into()), Segment::Key("retention".into())],
        before: Some("30d".into()),
        after: Some("2d".into()),
        what: "older metrics are deleted".to_owned(),
    }];
    shrinks.loses_data.insert(address("platform/metrics/store"));
    shrinks.risk = Risk::DataLoss;
    let mut service = Change::of(Action::Delete, "no longer in the stack");
    service.record_fate(
        &address("platform/web/door"),
        terrace_deployer_model::loss::Fate::OtherIdentity("the address of its load balancer"),
    );
    let mut set = Change::of(Action::Delete, "no longer in the stack");
    set.record_fate(
        &address("finance/db/server"),
        terrace_deployer_model::loss::Fate::Retained,
    );
    let made = plan(vec![
        step("platform/metrics/store", "Prometheus", "data/store", shrinks),
        step("platform/web/door", "Service", "data/door", service),
        step("finance/db/server", "StatefulSet", "data/server", set),
    ]);
    check(
        &made,
        expect![[r#"
            plan for acme in development: 1 to update, 2 to delete
              where: account 111122223333 in eu-west-1, cluster acme-dev at https://10.0.0.1:6443

            platform/metrics
              ~ Prometheus data/store  updated  [LOSES DATA]
                  spec.retention: "30d" → "2d"
                  loses data: `spec.retention` "30d" → "2d": older metrics are deleted

            platform/web
              - Service data/door  deleted: no longer in the stack  [LOSES IDENTITY]
                  note: `platform/web/door`: other systems use the address of its load balancer; a new resource gets a different one

            finance/db
              - StatefulSet data/server  deleted: no longer in the stack

            warning: data would be lost; apply requires these approvals:
                --approve 'platform/metrics/store'

            warning: data would be retained but no longer managed; apply requires these approvals:
                --approve 'finance/db/server'

            warning: an address or a credential that other systems use would change; apply requires these approvals:
                --approve 'platform/web/door'

            1 to update, 2 to delete
        "#]],
    );
    let one = render_approved(&made, &BTreeSet::from([address("platform/web/door")]), false);
    assert!(
        one.contains("approved: an address or a credential of platform/web/door changes\n"),
        "{one}"
    );
    assert_eq!(made.approvals().len(), 3);
}
