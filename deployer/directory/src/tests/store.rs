//! The state store of a directory: its ledger and its lock.

use terrace_deployer_model::state_store::{LockHolder, StateStore as _};

use super::*;
use crate::DirectoryStateStore;

#[test]
fn reports_a_changed_ledger_entry() {
    let folder = Folder::new();
    folder.deliver(&platform());
    folder.edit(".terrace/ledger/00000001", "\"ana\"", "\"ben\"");
    let shown = folder.shown(&platform());
    assert!(
        shown.contains("entry 2 of the ledger in OUT/.terrace does not match the previous entry"),
        "{shown}"
    );
}

#[test]
fn refuses_to_apply_while_another_process_holds_the_lock() {
    let folder = Folder::new();
    let home = DirectoryStateStore {
        folder: folder.path(""),
    };
    let holder = LockHolder {
        who: "ben".into(),
        run: "7".into(),
        since: "2026-11-21T03:30:00Z".into(),
    };
    let held = run(home.lock(&holder, &|_, _| {})).unwrap();
    let plan = folder.plan(&platform());
    let refused = folder.apply(&plan).unwrap_err();
    expect![[r#"
        ben has held the lock of this environment since 2026-11-21T03:30:00Z
          help: run the command again when the other apply has ended"#]]
    .assert_eq(&refused.to_string());
    run(held.release()).unwrap();
    folder.apply(&plan).unwrap();
}
