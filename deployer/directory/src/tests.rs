mod adopted;
mod failed;
mod killed;
mod moved;
mod store;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use futures::future::BoxFuture;
use terrace_artifact::{Artifact, Bundle, Target, files};
use terrace_deployer_engine::{
    ApplyOptions, PlanOptions, Status, apply, destroy_plan, history, plan, render,
};
use terrace_deployer_model::access::Access;
use terrace_deployer_model::backend::Connected;
use terrace_deployer_model::error::{Error, Refusal};
use terrace_deployer_model::failure::Failure;
use terrace_deployer_model::plan::Plan;
use terrace_deployer_model::report::Report;
use terrace_tests::bundles::{access, bound, bundle, holding, needing, object, stack};

/// Connects to a directory. The tests have no other targets.
fn connect<'a>(
    target: &'a Target,
    access: &'a Access,
    label: &'a str,
) -> BoxFuture<'a, Result<Connected, Failure>> {
    let Target::Directory { path } = target else {
        unreachable!("{target:?} is not a directory");
    };
    crate::connect(access, path, label)
}

/// The directory of a stack.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("out").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(self.path(name), text.replace(from, to)).unwrap();
    }

    fn plan(&self, bundle: &Bundle) -> Plan {
        self.try_plan(bundle).unwrap()
    }

    fn try_plan(&self, bundle: &Bundle) -> Result<Plan, Error> {
        run(plan(
            bundle,
            &access(self.0.path(), connect),
            &PlanOptions::everything(),
        ))
    }

    fn apply(&self, plan: &Plan) -> Result<Report, Error> {
        run(apply(
            plan,
            &access(self.0.path(), connect),
            &ApplyOptions::default(),
            |_| {},
        ))
    }

    fn deliver(&self, bundle: &Bundle) {
        self.apply(&self.plan(bundle)).unwrap();
        self.holds(bundle);
    }

    /// Asserts that the directory contains exactly the files of the bundle, and that a new plan is empty.
    #[track_caller]
    fn holds(&self, bundle: &Bundle) {
        let expected: BTreeMap<String, String> =
            files(bundle).into_iter().map(|f| (f.path, f.text)).collect();
        assert_eq!(self.files(), expected);
        assert_eq!(
            self.shown(bundle),
            "plan for acme in development: no changes\n  where: directory OUT\n"
        );
    }

    /// Returns all files outside `.terrace`.
    fn files(&self) -> BTreeMap<String, String> {
        fn walk(root: &Path, at: &Path, found: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(root, &path, found);
                } else {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        let root = self.path("");
        let mut found = BTreeMap::new();
        if root.exists() {
            walk(&root, &root, &mut found);
        }
        found.retain(|name, _| !name.starts_with(".terrace/"));
        found
    }

    fn shown(&self, bundle: &Bundle) -> String {
        self.tidy(&render(&self.plan(bundle), false))
    }

    fn tidy(&self, text: &str) -> String {
        let out = self.0.path().join("out");
        text.replace(out.to_str().unwrap(), "OUT")
    }

    #[track_caller]
    fn plans(&self, bundle: &Bundle, expected: Expect) {
        expected.assert_eq(&self.shown(bundle));
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

fn web() -> Artifact {
    object(
        "finance/web/web",
        "apps/v1",
        "Deployment",
        "data/web",
        r#"{"spec": {"replicas": 2, "template": {"spec": {"containers": [
            {"name": "web", "image": "web:1", "env": [{"name": "MODE", "value": "NO"}]},
            {"name": "proxy", "image": "proxy:1"}]}}}}"#,
    )
}

fn settings(greeting: &str) -> Artifact {
    let data = format!(r#"{{"data": {{"greeting": "{greeting}", "other": "1_000"}}}}"#);
    object("finance/web/settings", "v1", "ConfigMap", "data/settings", &data)
}

fn namespace() -> Artifact {
    object("finance/tenant/namespace", "v1", "Namespace", "data", "{}")
}

fn lake(days: u32) -> Artifact {
    let json = format!(
        r#"{{"Raw": {{"Type": "AWS::S3::Bucket", "Properties": {{"BucketName": "raw", "LifecycleConfiguration":
            {{"Rules": [{{"Id": "x", "Status": "Enabled", "ExpirationInDays": {days}}}]}}}}}},
            "Role": {{"Type": "AWS::IAM::Role", "Properties": {{"RoleName": "lake"}}}}}}"#
    );
    stack("finance", "lake", &json, &["Raw"])
}

fn platform() -> Bundle {
    let namespace = namespace();
    let settings = needing(settings("hello"), &[&namespace]);
    let web = needing(web(), &[&namespace, &settings]);
    bundle([namespace, settings, web, lake(30)])
}

#[test]
fn lists_created_objects_without_fields() {
    let folder = Folder::new();
    folder.plans(
        &platform(),
        expect![[r#"
            plan for acme in development: 5 to create
              where: directory OUT

            finance/lake
              + CloudFormation stack acme-development-finance-lake (2 resources)
                  + finance/lake/raw AWS::S3::Bucket
                  + finance/lake/role AWS::IAM::Role

            finance/tenant
              + Namespace data

            finance/web
              + ConfigMap data/settings
              + Deployment data/web

            5 to create
        "#]],
    );
    assert!(!folder.path("").exists(), "the plan created the directory");
}

#[test]
fn a_second_apply_changes_nothing() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let again = folder.apply(&folder.plan(&platform())).unwrap();
    assert_eq!(again.release, None);
}

#[test]
fn shows_only_the_changed_fields() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let mut changed = platform();
    for artifact in &mut changed.artifacts {
        match &artifact.id {
            id if *id == web().id => {
                let mut next = web();
                next.needs = artifact.needs.clone();
                if let terrace_artifact::Body::Object(object) = &mut next.body {
                    let json = object
                        .manifest
                        .to_string()
                        .replace("proxy:1", "proxy:2")
                        .replace(":2,", ":3,");
                    object.manifest = terrace_tests::bundles::value(&json);
                }
                *artifact = next;
            }
            id if *id == lake(30).id => *artifact = lake(60),
            _ => {}
        }
    }
    folder.plans(
        &changed,
        expect![[r#"
            plan for acme in development: 2 to update, 3 unchanged
              where: directory OUT

            finance/lake
              ~ CloudFormation stack acme-development-finance-lake (1 resource)  updated
                  ~ finance/lake/raw AWS::S3::Bucket  updated
                      LifecycleConfiguration.Rules[0].ExpirationInDays: 30 → 60

            finance/web
              ~ Deployment data/web  updated  [restarts]
                  spec.replicas: 2 → 3
                  spec.template.spec.containers[1].image: "proxy:1" → "proxy:2"

            2 to update, 3 unchanged
        "#]],
    );
    folder.deliver(&changed);
}

#[test]
fn deletes_files_of_removed_components_and_retains_other_files() {
    let folder = Folder::new();
    folder.deliver(&platform());
    folder.write("kubernetes/finance/README.md", "mine");
    let fewer = bundle([namespace(), lake(30)]);
    folder.plans(
        &fewer,
        expect![[r#"
            plan for acme in development: 2 to delete, 3 unchanged
              where: directory OUT

            finance/web
              - Deployment data/web  deleted: no longer in the stack
              - ConfigMap data/settings  deleted: no longer in the stack

            2 to delete, 3 unchanged
        "#]],
    );
    folder.apply(&folder.plan(&fewer)).unwrap();
    assert_eq!(
        folder.files().into_keys().collect::<Vec<_>>(),
        [
            "cloudformation/finance/lake.json",
            "kubernetes/finance/README.md",
            "kubernetes/finance/tenant.yaml",
            "lifecycle/finance/lake.json"
        ]
    );
}

#[test]
fn distinguishes_components_with_a_common_name_prefix() {
    let folder = Folder::new();
    let extra = object(
        "finance/web-extra/x",
        "v1",
        "ConfigMap",
        "data/x",
        r#"{"data": {"a": "b"}}"#,
    );
    folder.deliver(&bundle([web(), settings("a"), extra.clone()]));
    folder.deliver(&bundle([web(), extra.clone()]));
    folder.deliver(&bundle([extra]));
}

#[test]
fn shows_and_reverts_edits_of_managed_files() {
    let folder = Folder::new();
    folder.deliver(&platform());
    folder.edit("kubernetes/finance/web.yaml", "greeting: hello", "greeting: bye");
    folder.edit(
        "kubernetes/finance/web.yaml",
        "image: web:1",
        "image: web:1\n        tty: true",
    );
    folder.edit("cloudformation/finance/lake.json", "\"lake\"", "\"pond\"");
    folder.edit("lifecycle/finance/lake.json", "30", "1");
    fs::remove_file(folder.path("kubernetes/finance/tenant.yaml")).unwrap();
    folder.plans(
        &platform(),
        expect![[r#"
            plan for acme in development: 1 to create, 3 to update, 1 unchanged
              where: directory OUT

            finance/lake
              ~ CloudFormation stack acme-development-finance-lake (1 resource)  updated
                  ~ finance/lake/role AWS::IAM::Role  updated
                      RoleName: "pond" → "lake"

            finance/tenant
              + Namespace data

            finance/web
              ~ ConfigMap data/settings  updated
                  data.greeting: "bye" → "hello"
              ~ Deployment data/web  updated  [restarts]
                  spec.template.spec.containers[0].tty: true  (removed)

            1 to create, 3 to update, 1 unchanged
        "#]],
    );
    folder.deliver(&platform());
}

#[test]
fn restores_an_edited_review_file() {
    let folder = Folder::new();
    folder.deliver(&platform());
    folder.edit("lifecycle/finance/lake.json", "30", "1");
    let plan = folder.plan(&platform());
    let reasons: Vec<&str> = plan.changes().map(|step| &*step.change.reason).collect();
    assert_eq!(
        reasons,
        ["`lifecycle/finance/lake.json` was edited or is missing"]
    );
    folder.deliver(&platform());
}

#[test]
fn shows_the_deletion_of_an_object_added_to_a_managed_file() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let path = folder.path("kubernetes/finance/web.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let more = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: mine\n  namespace: data\n";
    fs::write(&path, format!("{text}{more}")).unwrap();
    folder.plans(
        &platform(),
        expect![[r#"
            plan for acme in development: 1 to delete, 5 unchanged
              where: directory OUT

            finance/web
              - ConfigMap data/mine  deleted: no longer in the stack

            1 to delete, 5 unchanged
        "#]],
    );
    folder.deliver(&platform());
}

#[test]
fn replaces_a_file_that_is_not_valid_yaml() {
    let folder = Folder::new();
    folder.deliver(&platform());
    for (text, problem) in [("a: [", ""), ("", "it contains no document")] {
        folder.write("kubernetes/finance/web.yaml", text);
        let plan = folder.plan(&platform());
        assert_eq!(plan.changes().count(), 2, "{}", render(&plan, false));
        let expected = format!("`kubernetes/finance/web.yaml` is not a valid manifest ({problem}");
        for step in plan.changes() {
            assert!(
                step.change.reason.starts_with(&expected),
                "{}",
                step.change.reason
            );
        }
        folder.deliver(&platform());
    }
}

#[test]
fn recognizes_its_files_after_the_state_was_lost() {
    let folder = Folder::new();
    folder.deliver(&platform());
    fs::remove_dir_all(folder.path(".terrace")).unwrap();
    folder.deliver(&platform());
    folder.deliver(&bundle([namespace(), lake(30)]));
}

#[test]
fn refuses_a_directory_of_another_environment() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let mut other = platform();
    other.environment.name = "staging".into();
    let error = folder.try_plan(&other).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    expect![[r#"
        directory `OUT` belongs to `acme.development`, not to `acme.staging`
          help: give each environment its own `directory`"#]]
    .assert_eq(&folder.tidy(&error.to_string()));
}

#[test]
fn lists_values_that_only_a_live_system_knows() {
    let folder = Folder::new();
    let lake = lake(30);
    let account = object(
        "finance/web/account",
        "v1",
        "ServiceAccount",
        "data/web",
        r#"{"automountServiceAccountToken": false, "role": ""}"#,
    );
    let account = bound(account, &["role"], &lake, "RoleArn", "finance/lake/role.arn");
    let bundle = bundle([lake, account]);
    folder.apply(&folder.plan(&bundle)).unwrap();
    folder.plans(
        &bundle,
        expect![[r#"
            plan for acme in development: no changes
              where: directory OUT

            note: ServiceAccount data/web: `role` stays `${finance/lake/role.arn}`: this environment writes to a directory, which has no live values
        "#]],
    );
    assert!(folder.files()["kubernetes/finance/web.yaml"].contains("role: '${finance/lake/role.arn}'"));
}

#[test]
fn requires_approval_for_each_resource_that_loses_data() {
    let folder = Folder::new();
    let claim = object(
        "finance/db/claim",
        "v1",
        "PersistentVolumeClaim",
        "data/claim",
        "{}",
    );
    folder.deliver(&bundle([holding(claim), lake(30)]));
    let empty = bundle([]);
    let plan = folder.plan(&empty);
    expect![[r#"
        plan for acme in development: 3 to delete
          where: directory OUT

        finance/db
          - PersistentVolumeClaim data/claim  deleted: no longer in the stack  [LOSES DATA]
              note: `finance/db/claim` holds data that is lost with it: files of the volume

        finance/lake
          - CloudFormation stack acme-development-finance-lake (2 resources)  deleted: no longer in the stack  [LOSES DATA]
              - finance/lake/raw AWS::S3::Bucket  deleted: no longer in the stack  [LOSES DATA]
              - finance/lake/role AWS::IAM::Role  deleted: no longer in the stack
              note: `finance/lake/raw` holds data that is lost with it: objects

        warning: data would be lost; apply requires these approvals:
            --approve 'finance/db/claim'
            --approve 'finance/lake/raw'

        3 to delete
    "#]]
    .assert_eq(&folder.tidy(&render(&plan, false)));
    let before = folder.files();
    let mut half = ApplyOptions::default();
    half.approved.insert("finance/db/claim".parse().unwrap());
    let refused = run(apply(&plan, &access(folder.0.path(), connect), &half, |_| {})).unwrap_err();
    expect![[r#"
        the plan would lose data without your approval; nothing was changed
          AWS::S3::Bucket `Raw` of CloudFormation stack acme-development-finance-lake: deleted, and its data is lost
            the stack no longer declares it
          help: to approve each change, add these options:
            --approve 'finance/lake/raw'"#]]
    .assert_eq(&refused.to_string());
    assert_eq!((refused.exit_code(), folder.files()), (4, before));

    half.approved.insert("finance/lake/raw".parse().unwrap());
    run(apply(&plan, &access(folder.0.path(), connect), &half, |_| {})).unwrap();
    assert!(folder.files().is_empty());
}

#[test]
fn refuses_a_stale_or_forged_plan() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let mut changed = platform();
    for artifact in &mut changed.artifacts {
        if artifact.id == settings("").id {
            artifact.body = settings("bye").body;
        }
    }
    let saved = serde_json::to_string(&folder.plan(&changed)).unwrap();
    let saved: Plan = serde_json::from_str(&saved).unwrap();
    folder.edit("kubernetes/finance/web.yaml", "image: web:1", "image: web:9");
    let before = folder.files();
    let Err(Error::Refused(Refusal::Stale(moved))) = folder.apply(&saved) else {
        panic!("the stale plan was applied");
    };
    let moved: Vec<&str> = moved.iter().map(|moved| moved.artifact.as_str()).collect();
    assert_eq!(moved, ["directory:apps/Deployment/data/web"]);
    assert_eq!(folder.files(), before);

    let mut forged = folder.plan(&changed);
    forged.bundle.artifacts.pop();
    let refused = folder.apply(&forged).unwrap_err();
    assert!(
        matches!(refused, Error::Refused(Refusal::NotAPlan(_))),
        "{refused}"
    );
}

#[test]
fn destroy_retains_the_history_and_other_files() {
    let folder = Folder::new();
    folder.deliver(&bundle([namespace(), settings("a")]));
    folder.write("notes.txt", "mine");
    let access = access(folder.0.path(), connect);
    let bundle = bundle([namespace(), settings("a")]);
    let plan = run(destroy_plan(&bundle, &access, &PlanOptions::everything())).unwrap();
    folder.apply(&plan).unwrap();
    assert_eq!(folder.files().into_keys().collect::<Vec<_>>(), ["notes.txt"]);
    let history = run(history(&bundle, &access)).unwrap();
    let statuses: Vec<_> = history
        .releases
        .iter()
        .map(|r| (r.id.as_str(), r.status))
        .collect();
    assert_eq!(statuses, [("1", Status::Deployed), ("2", Status::Deployed)]);
    assert_eq!(history.broken_at, None);
}

#[test]
fn requires_approval_to_retain_a_resource_that_holds_data() {
    let folder = Folder::new();
    let kept = |raw: &str| {
        let json = format!(r#"{{{raw} "Role": {{"Type": "AWS::IAM::Role"}}}}"#);
        bundle([stack("finance", "lake", &json, &["Raw"])])
    };
    folder.deliver(&kept(
        r#""Raw": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"},"#,
    ));
    folder.plans(
        &kept(""),
        expect![[r#"
            plan for acme in development: 1 to retain, 1 unchanged
              where: directory OUT

            finance/lake
              ~ CloudFormation stack acme-development-finance-lake (1 resource)  updated
                  < finance/lake/raw AWS::S3::Bucket  retained: no longer in the stack, and its deletion policy retains it

            warning: data would be retained but no longer managed; apply requires these approvals:
                --approve 'finance/lake/raw'

            1 to retain, 1 unchanged
        "#]],
    );
}
