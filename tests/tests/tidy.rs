//! Rules for all files of this repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use terrace_tests::tools;

/// Files that may have more than 600 lines, each with the reason.
const LONG: &[(&str, &str)] = &[];

#[test]
fn files_are_short_enough_to_read() {
    let long: Vec<String> = tools::tracked_files(&["rs", "py", "go"])
        .into_iter()
        .filter(|(path, text)| text.lines().count() > 600 && !LONG.iter().any(|(long, _)| long == path))
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert!(
        long.is_empty(),
        "split these files at the border between two ideas:\n{}",
        long.join("\n")
    );
    for (path, _) in LONG {
        assert!(
            tools::root().join(path).exists(),
            "{path} is listed as long, but does not exist"
        );
    }
}

#[test]
fn no_file_contains_a_path_of_a_machine() {
    let homes = ["/root/", "/work/", "/home/", "/Users/"];
    let mut found = Vec::new();
    for (path, text) in tools::tracked_files(&[]) {
        for (number, line) in text.lines().enumerate() {
            let machine = homes.iter().any(|home| {
                // `https://example.com/work/` and `module/work/` are not such paths.
                line.match_indices(home).any(|(at, _)| {
                    !line[..at]
                        .ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '}' | '*'))
                })
            });
            if machine && path != "tests/tests/tidy.rs" {
                found.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_file_contains_unfinished_work() {
    let words = [
        "TODO",
        "FIXME",
        "XXX:",
        "todo!(",
        "unimplemented!(",
        "#[ignore",
        "dbg!(",
    ];
    let mut found = Vec::new();
    for (path, text) in tools::tracked_files(&["rs", "py", "go", "sh", "toml", "yaml"]) {
        for (number, line) in text.lines().enumerate() {
            if path != "tests/tests/tidy.rs" && words.iter().any(|word| line.contains(word)) {
                found.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The crates of Terrace, each with the crates of Terrace that it may use. Cargo rejects cycles; this table also rejects a new dependency that
/// only makes the order of the phases stricter or looser.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("terrace-artifact", &[]),
    ("terrace-catalog", &["artifact"]),
    ("terrace-syntax", &["artifact", "catalog"]),
    ("terrace-language", &["artifact", "catalog", "syntax"]),
    (
        "terrace-pipelines",
        &["artifact", "catalog", "syntax", "language"],
    ),
    (
        "terrace-graph",
        &["artifact", "catalog", "syntax", "language", "pipelines"],
    ),
    (
        "terrace-checks",
        &["artifact", "catalog", "syntax", "language", "pipelines", "graph"],
    ),
    (
        "terrace-compiler",
        &["artifact", "syntax", "language", "graph", "checks"],
    ),
    ("terrace-diagnostics", &["artifact", "syntax"]),
    ("terrace-deployer-model", &["artifact", "catalog"]),
    (
        "terrace-deployer-directory",
        &["artifact", "catalog", "deployer-model"],
    ),
    (
        "terrace-deployer-kubernetes",
        &["artifact", "catalog", "deployer-model"],
    ),
    (
        "terrace-deployer-cloudformation",
        &["artifact", "catalog", "deployer-model"],
    ),
    (
        "terrace-deployer-engine",
        &["artifact", "catalog", "deployer-model"],
    ),
    (
        "terrace-deployer",
        &[
            "artifact",
            "deployer-model",
            "deployer-directory",
            "deployer-kubernetes",
            "deployer-cloudformation",
            "deployer-engine",
        ],
    ),
    (
        "terrace-cli",
        &["artifact", "catalog", "compiler", "deployer", "diagnostics"],
    ),
];

#[test]
fn crates_depend_on_each_other_as_designed() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("the metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let manifest = package["manifest_path"].as_str().expect("a path");
        let listed = DEPENDENCIES.iter().find(|(listed, _)| *listed == name);
        let Some((_, allowed)) = listed else {
            let is_part = ["/compiler/", "/deployer/"]
                .iter()
                .any(|part| manifest.contains(part));
            assert!(!is_part, "`{name}` is missing in the table of the crates");
            continue;
        };
        let dependencies = package["dependencies"]
            .as_array()
            .expect("a list of dependencies");
        let built_with = dependencies
            .iter()
            .filter(|dependency| dependency["kind"].is_null());
        for dependency in built_with.filter_map(|dependency| dependency["name"].as_str()) {
            let is_allowed = match dependency.strip_prefix("terrace-") {
                Some(ours) => allowed.contains(&ours),
                None => match dependency.split('-').next() {
                    Some("kube" | "k8s") => name == "terrace-deployer-kubernetes",
                    Some("aws") => name == "terrace-deployer-cloudformation",
                    _ => true,
                },
            };
            assert!(is_allowed, "`{name}` must not depend on `{dependency}`");
        }
    }
    let members = |name: &&str| packages.iter().any(|package| package["name"] == *name);
    let missing: Vec<&str> = DEPENDENCIES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !members(name))
        .collect();
    assert!(missing.is_empty(), "no crates with these names: {missing:?}");
}

#[test]
fn the_compiler_is_built_without_crates_that_access_the_outside() {
    let impure = [
        "tokio", "kube", "reqwest", "hyper", "rand", "chrono", "time", "jiff",
    ];
    let arguments = [
        "tree", "--edges", "normal", "--prefix", "none", "--format", "{lib}",
    ];
    let tree = cargo(&[&arguments[..], &["--package", "terrace-compiler"]].concat());
    let mut names = tree.lines().filter_map(|line| line.split_whitespace().next());
    assert!(
        names.clone().count() > 20,
        "the dependencies are no longer listed: {tree}"
    );
    let wrong = names.find(|name| {
        let is_client = ["kube_", "k8s_", "aws_"]
            .iter()
            .any(|start| name.starts_with(start));
        is_client || impure.contains(name)
    });
    assert_eq!(wrong, None, "the compiler must be a pure function");
}

#[test]
fn the_modules_of_the_model_have_no_cycles() {
    let mut uses = module_dependencies("deployer/model/src/");
    assert!(uses.len() > 15, "the modules are no longer found: {uses:?}");
    // Without cycles, removing the modules that use no remaining module removes all of them.
    loop {
        let free: Vec<String> = uses
            .iter()
            .filter(|(_, used)| used.iter().all(|name| !uses.contains_key(name)))
            .map(|(name, _)| name.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        uses.retain(|name, _| !free.contains(name));
    }
    assert!(uses.is_empty(), "these modules form or use a cycle: {uses:#?}");
}

/// Returns the modules directly below the root of a crate, each with the modules that it uses outside of its tests. A module
/// includes the files of its directory.
fn module_dependencies(root: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in tools::tracked_files(&["rs"]) {
        let Some(file) = path.strip_prefix(root) else {
            continue;
        };
        if file == "lib.rs" || file.ends_with("tests.rs") {
            continue;
        }
        let module = file.split(['/', '.']).next().unwrap_or(file);
        let used = uses.entry(module.to_owned()).or_default();
        let program = text.split("#[cfg(test)]").next().unwrap_or(&text);
        let lines = program
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for name in lines.flat_map(|line| line.split("crate::").skip(1)) {
            let end = name
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(name.len());
            used.insert(name[..end].to_owned());
        }
        used.remove(module);
    }
    uses
}

/// Code that must behave differently for two target languages belongs to the implementations of the traits in `targets/`, so that a third language
/// needs no change elsewhere. Other code creates resources of one language, and asks for a type by its name.
#[test]
fn only_the_table_of_target_languages_matches_on_the_kind_of_a_resource() {
    let table = [
        "compiler/language/src/targets/mod.rs",
        "compiler/language/src/resource.rs",
    ];
    let mut matches = Vec::new();
    for (path, text) in tools::tracked_files(&["rs"]) {
        if !path.starts_with("compiler/") || table.contains(&path.as_str()) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let names_language = ["CloudFormation", "Kubernetes"]
                .iter()
                .any(|language| line.contains(&format!("ResourceKind::{language}")));
            let is_pattern = ["=>", "let ResourceKind", "matches!"]
                .iter()
                .any(|word| line.contains(word));
            if names_language && is_pattern {
                matches.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    assert!(matches.is_empty(), "{}", matches.join("\n"));
}

/// Returns what cargo prints about this workspace.
fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(tools::root())
        .args(arguments)
        .args(["--offline", "--locked"]);
    tools::run(&mut command).expect("cargo describes the workspace")
}

#[test]
fn the_compiler_is_a_pure_function() {
    let impure = [
        "std::fs",
        "std::env",
        "std::net",
        "std::process",
        "std::time",
        "SystemTime",
        "Instant::now",
        "thread_rng",
    ];
    let mut found = Vec::new();
    for (path, text) in tools::tracked_files(&["rs"]) {
        let ours = ["artifact/src/", "catalog/src/", "compiler/"]
            .iter()
            .any(|start| path.starts_with(start));
        let program = text.split("#[cfg(test)]").next().unwrap_or(&text); // tests may read files
        if ours && !path.contains("/tests") {
            let lines = program
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"));
            let wrong = lines.filter(|(_, line)| impure.iter().any(|word| line.contains(word)));
            found.extend(wrong.map(|(number, line)| format!("{path}:{}: {line}", number + 1)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let source = fs::read_to_string(tools::root().join("compiler/syntax/src/code.rs")).expect("the codes");
    let codes: BTreeSet<String> = source
        .lines()
        .filter_map(|line| {
            [" Error \"", " Warning \"", " Note \""]
                .iter()
                .find_map(|severity| line.split_once(severity))
        })
        .filter_map(|(_, rest)| Some(format!("docs/codes/{}.md", rest.split_once('"')?.0)))
        .collect();
    assert!(
        codes.len() > 20,
        "compiler/syntax/src/code.rs contains too few codes: {codes:?}"
    );
    let pages: BTreeSet<String> = tools::tracked_files(&["md"])
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.starts_with("docs/codes/"))
        .collect();
    let without_page: Vec<_> = codes.difference(&pages).collect();
    let without_code: Vec<_> = pages.difference(&codes).collect();
    assert!(
        without_page.is_empty() && without_code.is_empty(),
        "codes without a page: {without_page:?}\npages without a code: {without_code:?}"
    );
}

#[test]
fn every_schema_is_json() {
    let schemas: Vec<_> = tools::tracked_files(&["json"])
        .into_iter()
        .filter(|(path, _)| path.starts_with("schemas/"))
        .collect();
    assert!(!schemas.is_empty(), "no schemas");
    for (path, text) in schemas {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&text) {
            panic!("{path}: {error}");
        }
    }
}

#[test]
fn every_relative_link_in_markdown_resolves() {
    let mut found = Vec::new();
    for (path, text) in tools::tracked_files(&["md"]) {
        let directory = Path::new(&path).parent().unwrap_or(Path::new(""));
        for piece in text.split("](").skip(1) {
            let Some(target) = piece
                .split([')', '#', ' '])
                .next()
                .filter(|target| !target.is_empty())
            else {
                continue;
            };
            if !target.contains("://")
                && !target.starts_with("mailto:")
                && !tools::root().join(directory).join(target).exists()
            {
                found.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(found.is_empty(), "broken links:\n{}", found.join("\n"));
}

/// `docs/safety.md` names the tests of each promise as `TEST PROGRAM OR MODULE::MODULE::NAME`.
#[test]
fn every_test_in_the_safety_page_exists() {
    let page = fs::read_to_string(tools::root().join("docs/safety.md")).expect("the page");
    let sources = tools::tracked_files(&["rs"]);
    let named: Vec<&str> = page
        .split('`')
        .filter(|word| word.contains("::") && !word.contains(char::is_whitespace))
        .collect();
    assert!(named.len() > 40, "the page names only {} tests", named.len());
    let is_test = |name: &str| {
        let (place, function) = name.rsplit_once("::").unwrap_or_default();
        let head = format!("fn {function}()");
        sources.iter().any(|(path, text)| {
            let path = path.trim_end_matches(".rs").replace(['/', '.'], "::");
            let in_place = place
                .split("::")
                .all(|module| module == "tests" || path.split("::").any(|part| part == module));
            let attributes = text.split(&head).next().unwrap_or_default().trim_end();
            let attributes = attributes.trim_end_matches("async").trim_end();
            let last = attributes.lines().last().unwrap_or_default().trim();
            in_place && text.contains(&head) && last.starts_with("#[") && last.contains("test")
        })
    };
    let missing: Vec<&str> = named.into_iter().filter(|name| !is_test(name)).collect();
    assert!(
        missing.is_empty(),
        "tests that do not exist:\n{}",
        missing.join("\n")
    );
}
