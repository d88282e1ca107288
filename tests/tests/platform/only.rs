//! `--only`, and what is found of what nobody wants any more.

use serde_json::json;
use terrace_tests::servers;

use crate::small::Small;

/// A run that is limited to a component of the tenant.
fn limited(small: &Small, command: &str, component: &str, code: i32) -> terrace_tests::Run {
    let only = format!("{}/{component}", small.tenant());
    let mut arguments = vec![command, "-e", "live", "--only", &only];
    arguments.extend((command == "apply").then_some("--yes"));
    small.terrace().run(&arguments).expect(code)
}

#[test]
fn only_what_is_named_and_what_it_needs() {
    let small = Small::applied();
    small.change();
    let misspelt = limited(&small, "plan", "alrets", 1).stderr;
    let said = format!(
        "error: `--only {tenant}/alrets` matches nothing in the stack or among its deployed resources\n  help: did you mean `{tenant}/alerts`?\n",
        tenant = small.tenant()
    );
    assert_eq!(misspelt, said);

    // One component, and nothing it needs.
    let applied = limited(&small, "apply", "alerts", 0).stderr;
    let checked = format!(
        "checked: account {} in eu-west-1, cluster here at ",
        small.account.id()
    );
    assert!(applied.starts_with(&checked), "{applied}");
    assert_eq!(small.topics(), ["alerts", "pager"]);
    assert!(small.object("serviceaccount", "home-runner").is_none());

    // One that needs others: these come first, and what is left over stays.
    let plan = limited(&small, "plan", "home", 0).stdout;
    assert!(plan.contains("2 to create, 1 to update, 2 unchanged"), "{plan}");
    let _ = limited(&small, "apply", "home", 0);
    assert_eq!(small.topics(), ["alerts", "pager", "watch"]);
    assert!(small.object("serviceaccount", "home-runner").is_some());
    assert!(small.object("configmap", "notes-text").is_some());
    assert!(limited(&small, "plan", "home", 0).stdout.contains("no changes"));

    // What is wanted no more can be named, too.
    let _ = limited(&small, "apply", "notes", 0);
    assert_eq!(small.object("configmap", "notes-text"), None);
    assert_eq!(small.topics(), ["alerts", "pager", "watch"]);

    // And the rest is what a plan of everything is left with.
    let rest = small.terrace().run(&["plan", "-e", "live"]).expect(0).stdout;
    assert!(rest.contains("1 to delete"), "{rest}");
    let _ = small.apply();
    small.is_settled();
    small.is_changed();
    small.destroy();
}

#[test]
fn what_a_limited_apply_left_is_found_though_nobody_wants_its_kind() {
    let small = Small::new();
    small.change();
    let _ = small.apply();
    // Nothing else is a ServiceAccount, and the last release that ended well is of a stack without it.
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
    small.is_settled();
    small.destroy();
}

#[test]
fn who_loses_history_loses_nothing_else() {
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
    small.is_settled();
    small.destroy();
}
