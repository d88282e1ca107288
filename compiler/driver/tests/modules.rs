//! Runs the test cases of the built-in modules and compares the results with the goldens. `UPDATE_EXPECT=1` accepts the
//! results; read the diff.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use terrace_compiler::library::MODULES;
use terrace_compiler::source::{MemorySources, SourceError, Sources};
use terrace_compiler::{Request, module_test};

struct Disk(PathBuf);

impl Sources for Disk {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, SourceError> {
        std::fs::read(self.0.join(path))
            .map(Into::into)
            .map_err(|_| SourceError::NotFound)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let mut files = Vec::new();
        walk(&self.0.join(folder), folder, &mut files).map_err(|_| SourceError::NotFound)?;
        files.sort();
        Ok(files)
    }
}

fn walk(folder: &Path, shown: &str, files: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let shown = if shown.is_empty() {
            name
        } else {
            format!("{shown}/{name}")
        };
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &shown, files)?;
        } else {
            files.push(shown);
        }
    }
    Ok(())
}

fn request() -> Request {
    Request {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        today: "2026-11-21".to_owned(),
        ..Request::default()
    }
}

fn folder(module: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../modules")
        .join(module)
}

/// Returns the directories of modules, in order of name.
fn modules() -> Vec<String> {
    let files = Disk(folder("")).list("").expect("the directory of the modules");
    files
        .iter()
        .filter_map(|path| path.strip_suffix("/module.yaml"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_module_is_built_in() {
    let known: Vec<&str> = MODULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(modules(), known);
}

#[test]
fn every_module_passes_its_cases() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    let only = std::env::var("MODULE").ok();
    let mut report = String::new();
    let modules = modules();
    for module in modules
        .iter()
        .filter(|name| only.as_deref().is_none_or(|only| only == *name))
    {
        let folder = folder(module);
        let tested = module_test::run(&Disk(folder.clone()), &request());
        for diagnostic in &tested.diagnostics {
            let place = diagnostic
                .primary
                .as_ref()
                .map(|label| tested.files.location(label.span));
            report += &format!("{module}: {place:?} {}\n", diagnostic.message);
        }
        if tested.cases.is_empty() {
            report += &format!("{module}: has no cases\n");
        }
        for case in &tested.cases {
            let name = format!("{module}/tests/{}", case.name);
            if let Some(wrong) = &case.wrong {
                let diagnostics = case.files.get(module_test::WORDS).map_or("", String::as_str);
                report += &format!("{name}: {wrong}\n{diagnostics}");
                continue;
            }
            let golden = folder.join("tests").join(&case.name);
            let mut accepted = BTreeMap::new();
            let disk = Disk(golden.clone());
            for path in disk.list("").unwrap_or_default() {
                let bytes = disk.read(&path).expect("a file that was listed");
                accepted.insert(path, String::from_utf8_lossy(&bytes).into_owned());
            }
            if accepted == case.files {
                continue;
            }
            if update {
                let _ = std::fs::remove_dir_all(&golden);
                for (path, text) in &case.files {
                    let path = golden.join(path);
                    std::fs::create_dir_all(path.parent().expect("a path with a parent"))
                        .expect("a directory");
                    std::fs::write(path, text).expect("a file");
                }
                continue;
            }
            for path in accepted
                .keys()
                .chain(case.files.keys().filter(|path| !accepted.contains_key(*path)))
            {
                match (accepted.get(path), case.files.get(path)) {
                    (Some(before), Some(now)) if before == now => {}
                    (Some(_), Some(_)) => report += &format!("{name}/{path}: differs\n"),
                    (Some(_), None) => report += &format!("{name}/{path}: is no longer produced\n"),
                    (None, _) => report += &format!("{name}/{path}: is new\n"),
                }
            }
        }
        // A directory without a case is left over from a deleted or renamed case.
        let list = Disk(folder).list("tests").unwrap_or_default();
        for path in list.iter().filter_map(|path| path.strip_prefix("tests/")) {
            if let Some((case, _)) = path.split_once('/')
                && !tested.cases.iter().any(|known| known.name == case)
            {
                report += &format!("{module}/tests/{path}: belongs to no case\n");
            }
        }
    }
    assert!(
        report.is_empty(),
        "\n{report}\nUPDATE_EXPECT=1 accepts the new output\n"
    );
}

#[test]
fn reports_cases_whose_result_differs_from_their_expectation() {
    let module = "
kind: Module
name: motto
version: 1.0.0
summary: a text
inputs: {text: {type: string, default: per aspera, description: what is written}}
checks: [{that: \"{{ inputs.text != 'no' }}\", message: not that one, at: text}]
resources: {motto: {type: v1/ConfigMap, metadata: {name: motto, namespace: default}, data: {text: \"{{ inputs.text }}\"}}}
";
    let sources = MemorySources::new([
        ("module.yaml", module),
        ("tests/defaults.yaml", "environment: {class: testing}\n"),
        (
            "tests/refused.yaml",
            "inputs: {text: 'no'}\nexpect: [failed-check]\n",
        ),
        (
            "tests/refused-in-vain.yaml",
            "inputs: {text: 'yes'}\nexpect: [failed-check]\n",
        ),
        ("tests/succeeds-in-vain.yaml", "inputs: {text: 'no'}\n"),
        ("tests/misspelt.yaml", "input: {}\n"),
        ("tests/defaults/other.yaml", "is no case"),
    ]);
    let tested = module_test::run(&sources, &request());
    assert!(tested.diagnostics.is_empty(), "{:?}", tested.diagnostics);
    let mut shown = String::new();
    for case in &tested.cases {
        shown += &format!(
            "{}: {}\n",
            case.name,
            case.wrong.as_deref().unwrap_or("as it says")
        );
        for (path, text) in &case.files {
            let is_diagnostics = path == "diagnostics.txt";
            shown += &format!("  {path}\n{}", if is_diagnostics { text } else { "" });
        }
    }
    expect_test::expect![[r#"
        defaults: as it says
          kubernetes/platform/motto.yaml
        misspelt: the case could not be run
          diagnostics.txt
        error[unknown-key]: unknown key `input` in `test`
          tests/misspelt.yaml:1:1
          help: did you mean `inputs`?
        refused: as it says
          diagnostics.txt
        error[failed-check]: not that one
          tests/refused.yaml:1:16: violates the check
          module.yaml: required by the module
          tests/refused.yaml: in module `motto`, used here
        refused-in-vain: expected `failed-check`, which was not reported
          kubernetes/platform/motto.yaml
        succeeds-in-vain: expected no errors, but the compiler reported `failed-check`
          diagnostics.txt
        error[failed-check]: not that one
          tests/succeeds-in-vain.yaml:1:16: violates the check
          module.yaml: required by the module
          tests/succeeds-in-vain.yaml: in module `motto`, used here
    "#]]
    .assert_eq(&shown);
    let object = |name: &str| {
        let case = tested.cases.iter().find(|case| case.name == name);
        case.expect("a case").files["kubernetes/platform/motto.yaml"].clone()
    };
    let defaults = object("defaults");
    expect_test::expect![[r#"
        apiVersion: v1
        kind: ConfigMap
        metadata:
          name: motto
          namespace: default
          labels:
            terrace.dev/stack: acme.production
          annotations:
            terrace.dev/address: platform/motto/motto
        data:
          text: per aspera
    "#]]
    .assert_eq(&defaults);
    assert_eq!(object("refused-in-vain"), defaults.replace("per aspera", "'yes'"));
}
