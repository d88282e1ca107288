//! `--only`, and resources that are no longer wanted.

use serde_json::json;
use terrace_tests::servers;

use crate::small::Small;

/// Runs a command that is limited to a component of the tenant.
fn limited(small: &Small, command: &str, component: &str, code: i32) -> terrace_tests::Run {
    let only = format!("{}/{component}", small.tenant());
    let mut arguments = vec![command, "-e", "live", "--only", &only];
    arguments.extend((command == "apply").then_some("--yes"));
    small.terrace().run(&arguments).expect(code)
}

#[test]
fn only_selects_a_component_and_its_dependencies() {
    let small = Small::applied();
    small.change();
    let misspelled = limited(&small, "plan", "alrets", 1).stderr;
    let expected = format!(
        "error: `--only {tenant}/alrets` matches nothing in the stack or among its deployed resources\n  help: did you mean `{tenant}/alerts`?\n",
        tenant = small.tenant()
    );
    assert_eq!(misspelled, expected);

    // A component without dependencies.
    let applied = limited(&small, "apply", "alerts", 0).stderr;
    let checked = format!(
        "checked: account {} in eu-west-1, cluster here at ",
        small.account.id()
    );
    assert!(applied.starts_with(&checked), "{applied}");
    assert_eq!(small.topics(), ["alerts", "pager"]);
    assert!(small.object("serviceaccount", "home-runner").is_none());

    // A component with dependencies: these come first, and all others remain unchanged.
    let plan = limited(&small, "plan", "home", 0).stdout;
    assert!(plan.contains("2 to create, 1 to update, 2 unchanged"), "{plan}");
    let _ = limited(&small, "apply", "home", 0);
    assert_eq!(small.topics(), ["alerts", "pager", "watch"]);
    assert!(small.object("serviceaccount", "home-runner").is_some());
    assert!(small.object("configmap", "notes-text").is_some());
    assert!(limited(&small, "plan", "home", 0).stdout.contains("no changes"));

    // A component that is no longer in the stack can be selected, too.
    let _ = limited(&small, "apply", "notes", 0);
    assert_eq!(small.object("configmap", "notes-text"), None);
    assert_eq!(small.topics(), ["alerts", "pager", "watch"]);

    // A plan without `--only` contains the rest.
    let rest = small.terrace().run(&["plan", "-e", "live"]).expect(0).stdout;
    assert!(rest.contains("1 to delete"), "{rest}");
    let _ = small.apply();
    small.assert_no_changes();
    small.assert_changed();
    small.destroy();
}

#[test]
fn finds_an_object_whose_kind_the_stack_no_longer_contains() {
    let small = Small::new();
    small.change();
    let _ = small.apply();
    // No other object is a ServiceAccount, and the last complete release did not contain one.
    small.drop_runner();
    let _ = limited(&small, "apply", "watch", 0);
    let _ = limited(&small, "apply", "alerts", 0);
    let shown = small.terrace().run(&["plan", "-e", "live"]).expect(0).stdout;
    assert!(
        shown.contains(&format!("- ServiceAccount {}/home-runner", small.namespace)),
        "{shown}"
    );
    let _ = small.apply();
    assert_eq!(small.object("serviceaccount", "home-runner"), None);
    small.assert_no_changes();
    small.destroy();
}

#[test]
fn a_lost_ledger_does_not_hide_unwanted_objects() {
    let small = Small::new();
    small.change();
    let _ = small.apply();
    small.drop_runner();
    let home = format!("--selector=terrace.dev/home={}.live", small.platform());
    let _ = servers::kubernetes().kubectl(&["delete", "secrets", "--namespace=terrace-system", &home]);
    let plan = small
        .terrace()
        .run(&["plan", "-e", "live", "--output=json"])
        .expect(0)
        .json();
    let deleted = plan["steps"].as_array().expect("steps").iter();
    let deleted: Vec<_> = deleted
        .filter(|step| step["action"] == "delete")
        .map(|step| step["subject"]["name"].clone())
        .collect();
    assert_eq!(deleted, [json!("home-runner")]);
    let _ = small.apply();
    small.assert_no_changes();
    small.destroy();
}
