//! Files that existed before Terrace managed them: a plan refuses them, adopts them by name, and retains them when they
//! leave the stack.

use terrace_deployer_model::plan::Action;

use super::*;

const WEB: &str = "kubernetes/finance/web.yaml";

/// Creates a directory in which another tool has written the file `WEB` of the platform.
fn taken() -> Folder {
    let folder = Folder::new();
    let rendered = files(&platform());
    let web = rendered.iter().find(|file| file.path == WEB).unwrap();
    folder.write(WEB, &web.text.replace("greeting: hello", "greeting: theirs"));
    folder
}

fn adopting(folder: &Folder, bundle: &Bundle, names: &[&str]) -> Result<Plan, Error> {
    let options = PlanOptions {
        adopt: names.iter().map(|name| (*name).into()).collect(),
        ..PlanOptions::everything()
    };
    run(plan(bundle, &access(folder.0.path(), connect), &options))
}

#[test]
fn refuses_a_file_of_another_tool() {
    let folder = taken();
    let before = folder.files();
    let plan = folder.plan(&platform());
    let error = folder.apply(&plan).unwrap_err();
    expect![[r#"
        finance/web/settings: ConfigMap data/settings exists already, and this environment did not create it
          declared at components.yaml:3:1, defined at module:web/module.yaml:7:1
          help: to manage it in this environment from now on, adopt it: --adopt 'finance/web/settings'
            to leave it unchanged, rename the resource in the stack or remove it from the stack

        finance/web/web: Deployment data/web exists already, and this environment did not create it
          declared at components.yaml:3:1, defined at module:web/module.yaml:7:1
          help: to manage it in this environment from now on, adopt it: --adopt 'finance/web/web'
            to leave it unchanged, rename the resource in the stack or remove it from the stack"#]]
    .assert_eq(&error.to_string());
    assert_eq!(error.exit_code(), 4);
    assert_eq!(folder.files(), before);
}

#[test]
fn retains_an_adopted_file_that_leaves_the_stack() {
    let folder = taken();
    let plan = adopting(&folder, &platform(), &["finance/web"]).unwrap();
    expect![[r#"
        plan for acme in development: 3 to create, 2 to adopt
          where: directory OUT
          adopt: finance/web

        finance/lake
          + CloudFormation stack acme-development-finance-lake (2 resources)
              + finance/lake/raw AWS::S3::Bucket
              + finance/lake/role AWS::IAM::Role

        finance/tenant
          + Namespace data

        finance/web
          > ConfigMap data/settings  adopted: the directory already contains it; this environment manages it from now on
              data.greeting: "theirs" → "hello"
          > Deployment data/web  adopted: the directory already contains it; this environment manages it from now on

        3 to create, 2 to adopt
    "#]]
    .assert_eq(&folder.tidy(&render(&plan, false)));
    folder.apply(&plan).unwrap();
    folder.holds(&platform());

    // The component leaves the stack. Its file stays unchanged, and Terrace no longer manages it.
    let adopted = folder.files().remove(WEB).unwrap();
    let without = bundle([namespace(), lake(30)]);
    let plan = folder.plan(&without);
    let released = plan.changes().filter(|step| step.change.action == Action::Retain);
    assert_eq!(released.count(), 2, "{}", render(&plan, false));
    folder.apply(&plan).unwrap();
    assert_eq!(folder.files().get(WEB), Some(&adopted));
    assert!(folder.plan(&without).is_empty());
    folder.edit(WEB, "greeting: hello", "greeting: theirs");
    let again = folder.plan(&platform());
    assert_eq!(again.refusals.len(), 2, "the retained objects were not refused");
}

#[test]
fn retains_one_of_two_adopted_objects_in_a_file() {
    let folder = taken();
    let plan = adopting(&folder, &platform(), &["finance/web"]).unwrap();
    folder.apply(&plan).unwrap();
    let without = bundle([namespace(), web(), lake(30)]);
    folder.apply(&folder.plan(&without)).unwrap();
    let text = &folder.files()[WEB];
    assert!(
        text.contains("kind: ConfigMap") && text.contains("kind: Deployment"),
        "{text}"
    );
    assert!(folder.plan(&without).is_empty());
    // A change of the managed object in the file does not affect the retained one.
    let mut other = web();
    if let terrace_artifact::Body::Object(object) = &mut other.body {
        let spec = object.manifest.as_map_mut().unwrap().get_mut("spec").unwrap();
        spec.as_map_mut().unwrap().insert("replicas", 5);
    }
    folder
        .apply(&folder.plan(&bundle([namespace(), other, lake(30)])))
        .unwrap();
    let text = &folder.files()[WEB];
    assert!(
        text.contains("kind: ConfigMap") && text.contains("replicas: 5"),
        "{text}"
    );
}

#[test]
fn deletes_adopted_objects_only_with_approval() {
    let folder = taken();
    let plan = adopting(&folder, &platform(), &["finance/web"]).unwrap();
    folder.apply(&plan).unwrap();
    let without = bundle([namespace(), lake(30)]);
    let approved = ["finance/web/web", "finance/web/settings"].map(|address| address.parse().unwrap());
    let planning = PlanOptions {
        approved: approved.iter().cloned().collect(),
        ..PlanOptions::everything()
    };
    let plan = run(terrace_deployer_engine::plan(
        &without,
        &access(folder.0.path(), connect),
        &planning,
    ))
    .unwrap();
    assert!(
        plan.changes().all(|step| step.change.action == Action::Delete),
        "{}",
        render(&plan, false)
    );
    // The plan alone does not approve it.
    assert_eq!(folder.apply(&plan).unwrap_err().exit_code(), 4);
    let applying = ApplyOptions {
        approved: approved.into_iter().collect(),
        ..ApplyOptions::default()
    };
    run(apply(&plan, &access(folder.0.path(), connect), &applying, |_| {})).unwrap();
    folder.holds(&without);
}

#[test]
fn refuses_to_adopt_a_file_with_other_objects() {
    let folder = taken();
    let text = folder.files()[WEB].clone();
    folder.write(
        WEB,
        &format!("{text}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: precious, namespace: data}}\n"),
    );
    let plan = adopting(&folder, &platform(), &["finance/web"]).unwrap();
    let error = folder.apply(&plan).unwrap_err().to_string();
    assert!(
        error.contains("`kubernetes/finance/web.yaml` cannot be adopted: it also contains directory:core/Secret/data/precious"),
        "{error}"
    );
}

#[test]
fn rejects_the_adoption_of_an_unknown_name() {
    let folder = taken();
    let error = adopting(&folder, &platform(), &["finance/wed"]).unwrap_err();
    expect![[r#"
        `--adopt finance/wed` matches nothing in the stack
          help: did you mean `finance/web`?"#]]
    .assert_eq(&error.to_string());
    folder
        .apply(&adopting(&folder, &platform(), &["finance/web"]).unwrap())
        .unwrap();
    let again = adopting(&folder, &platform(), &["finance/web"]).unwrap();
    assert_eq!(
        again.notes,
        [
            "`--adopt finance/web` has no effect: its resources are managed by this environment already, or do not exist"
        ]
    );
}
