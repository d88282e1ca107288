//! The state store of a directory: its ledger and its lock.

use terrace_deployer_engine::{History, Release};
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

/// Replaces a file of the state store, and returns the error of the next plan.
fn error_after_damage(folder: &Folder, file: &str) -> String {
    folder.write(file, "[]");
    let error = folder.try_plan(&platform()).unwrap_err();
    folder.tidy(&error.to_string())
}

#[test]
fn names_the_command_that_deletes_a_damaged_ledger_entry() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let error = error_after_damage(&folder, ".terrace/ledger/00000001");
    assert!(
        error.contains("`ledger/00000001` in OUT/.terrace cannot be read: ")
            && error.contains("\n    rm 'OUT/.terrace/ledger/00000001'"),
        "{error}"
    );
}

#[test]
fn names_the_command_that_deletes_a_damaged_identity_record() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let records = fs::read_dir(folder.path(".terrace/identities")).unwrap();
    let record = records
        .last()
        .expect("a record of identities")
        .unwrap()
        .file_name();
    let record = format!(".terrace/identities/{}", record.to_str().unwrap());
    let error = error_after_damage(&folder, &record);
    assert!(
        error.contains("does not match the digest in its name")
            && error.contains(&format!("\n    rm 'OUT/{record}'")),
        "{error}"
    );
}

#[test]
fn names_the_apply_that_wrote_a_ledger_entry_first() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let home = DirectoryStateStore {
        folder: folder.path(""),
    };
    let read = || run(History::read(&home)).unwrap();
    let (mut first, mut second) = (read(), read());
    let release = |history: &History, who: &str| Release {
        id: history.next_id(),
        who: who.into(),
        ..history.last().unwrap().clone()
    };
    let (of_ben, of_ana) = (release(&first, "ben"), release(&second, "ana"));
    run(first.append(&home, &of_ben)).unwrap();
    let failure = run(second.append(&home, &of_ana)).unwrap_err();
    assert_eq!(
        folder.tidy(&failure.message),
        format!(
            "ledger entry `ledger/00000003` in OUT/.terrace exists already: ben wrote it for release 2, which began at {}",
            of_ben.began
        )
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
