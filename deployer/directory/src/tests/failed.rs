//! Writes that fail: the next plan contains them again.

use terrace_deployer_model::event::Event;

use super::*;

/// Applies a bundle while a directory replaces `file`, so that the file cannot be written. Restores the file afterwards.
fn blocked(folder: &Folder, bundle: &Bundle, file: &str) -> Error {
    let plan = folder.plan(bundle);
    let path = folder.path(file);
    let text = fs::read(&path).unwrap();
    let block = |event: Event| {
        if let Event::Begun { .. } = event {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
    };
    let applied = run(apply(
        &plan,
        &access(folder.0.path(), connect),
        &ApplyOptions::default(),
        block,
    ));
    fs::remove_dir(&path).unwrap();
    fs::write(&path, text).unwrap();
    applied.unwrap_err()
}

#[test]
fn plans_a_failed_write_again() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let changed = bundle([namespace(), web(), settings("good day"), lake(30)]);
    let error = blocked(&folder, &changed, "kubernetes/finance/web.yaml");
    assert_eq!(error.exit_code(), 3, "{error}");
    let plan = folder.plan(&changed);
    assert_eq!(plan.changes().count(), 1, "{}", render(&plan, false));
    folder.deliver(&changed);
}

#[test]
fn plans_a_failed_deletion_again() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let less = bundle([namespace(), web(), lake(30)]);
    let error = blocked(&folder, &less, "kubernetes/finance/web.yaml");
    assert_eq!(error.exit_code(), 3, "{error}");
    let plan = folder.plan(&less);
    assert_eq!(plan.changes().count(), 1, "{}", render(&plan, false));
    folder.deliver(&less);
}

#[test]
fn refuses_a_manifest_that_names_files_outside_the_directory() {
    let folder = Folder::new();
    folder.deliver(&platform());
    let precious = folder.0.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    for path in ["../precious", precious.to_str().unwrap()] {
        let manifest = folder.path(".terrace/manifest.json");
        let before = fs::read_to_string(&manifest).unwrap();
        let claims = format!("\"claims\": [{path:?}],\n  \"artifacts\"");
        fs::write(&manifest, before.replacen("\"artifacts\"", &claims, 1)).unwrap();
        let error = folder.try_plan(&bundle([namespace()])).unwrap_err();
        assert!(
            error.to_string().contains("is not a file in"),
            "{}",
            folder.tidy(&error.to_string())
        );
        fs::write(&manifest, before).unwrap();
    }
    folder.holds(&platform());
}
