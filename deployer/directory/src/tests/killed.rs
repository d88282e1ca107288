//! An apply that is killed: the next apply finishes it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use terrace_artifact::files;
use terrace_tests::bundles::{access, object};

use super::{Folder, connect, history, platform, run, settings, web};
use crate::fault;
use terrace_deployer_engine::Status;

/// Kills the apply before each of its changes of the disk in turn. The next apply must finish it.
#[test]
fn the_next_apply_finishes_a_killed_apply() {
    let mut fewer = platform();
    fewer.artifacts.retain(|artifact| artifact.id != web().id);
    for artifact in &mut fewer.artifacts {
        if artifact.id == settings("").id {
            artifact.body = settings("bye").body;
        }
    }
    fewer.artifacts.push(object(
        "sales/web/x",
        "v1",
        "ConfigMap",
        "sales/x",
        r#"{"data": {"a": "b"}}"#,
    ));
    fewer.artifacts.sort_by(|a, b| a.id.cmp(&b.id));
    let mut kills = 0;
    loop {
        let folder = Folder::new();
        folder.deliver(&platform());
        folder.write("kubernetes/finance/mine.yaml", "mine: true\n");
        let plan = folder.plan(&fewer);
        fault::after(Some(kills));
        let outcome = catch_unwind(AssertUnwindSafe(|| folder.apply(&plan)));
        fault::after(None);
        let killed = outcome.is_err();
        folder.apply(&folder.plan(&fewer)).unwrap();
        let mut found = folder.files();
        assert_eq!(
            found.remove("kubernetes/finance/mine.yaml").as_deref(),
            Some("mine: true\n")
        );
        let expected: BTreeMap<String, String> =
            files(&fewer).into_iter().map(|f| (f.path, f.text)).collect();
        assert_eq!(found, expected, "after {kills} changes");
        assert!(folder.plan(&fewer).is_empty());
        let history = run(history(&fewer, &access(folder.0.path(), connect))).unwrap();
        assert_eq!(history.last().map(|last| last.status), Some(Status::Deployed));
        if !killed {
            break;
        }
        kills += 1;
    }
    assert!(kills > 10, "{kills}");
}
