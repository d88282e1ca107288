//! Rules for all files of this repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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

#[test]
fn crates_depend_on_each_other_as_designed() {
    let pure = [
        "tokio", "kube", "reqwest", "hyper", "rand", "chrono", "time", "jiff",
    ];
    for crate_name in ["artifact", "catalog", "compiler"] {
        let found = dependencies(crate_name);
        let wrong = found.iter().filter(|name| {
            pure.contains(&name.as_str())
                || ["kube-", "k8s-", "aws-", "terrace-deployer", "terrace-cli"]
                    .iter()
                    .any(|start| name.starts_with(start))
        });
        let wrong: Vec<_> = wrong.collect();
        assert!(
            wrong.is_empty(),
            "{crate_name} must not do input or output, but depends on {wrong:?}"
        );
    }
    assert!(
        !dependencies("artifact")
            .iter()
            .any(|name| name.starts_with("terrace-")),
        "artifact must not depend on another crate of this repository"
    );
}

/// The crates of the deployer, each with the crates of this repository that it may depend on.
const DEPLOYER: &[(&str, &[&str])] = &[
    ("deployer/model", &["artifact", "catalog"]),
    ("deployer/directory", &["artifact", "catalog", "deployer-model"]),
    ("deployer/kubernetes", &["artifact", "catalog", "deployer-model"]),
    (
        "deployer/cloudformation",
        &["artifact", "catalog", "deployer-model"],
    ),
    ("deployer/engine", &["artifact", "catalog", "deployer-model"]),
    (
        "deployer",
        &[
            "artifact",
            "deployer-model",
            "deployer-directory",
            "deployer-kubernetes",
            "deployer-cloudformation",
            "deployer-engine",
        ],
    ),
];

#[test]
fn crates_of_the_deployer_depend_on_each_other_as_designed() {
    for (part, allowed) in DEPLOYER {
        let found = dependencies(part);
        let ours = found.iter().filter_map(|name| name.strip_prefix("terrace-"));
        let wrong: Vec<_> = ours.filter(|name| !allowed.contains(name)).collect();
        assert!(wrong.is_empty(), "{part} must not depend on {wrong:?}");
        let clients = found.iter().filter(|name| {
            let is_kubernetes = *name == "kube" || name.starts_with("kube-") || name.starts_with("k8s-");
            let is_aws = name.starts_with("aws-");
            (is_kubernetes && *part != "deployer/kubernetes")
                || (is_aws && *part != "deployer/cloudformation")
        });
        let clients: Vec<_> = clients.collect();
        assert!(clients.is_empty(), "{part} must not depend on {clients:?}");
    }
    for entry in fs::read_dir(tools::root().join("deployer")).expect("the deployer") {
        let entry = entry.expect("an entry");
        let name = format!("deployer/{}", entry.file_name().to_string_lossy());
        let is_listed = DEPLOYER.iter().any(|(listed, _)| *listed == name);
        assert!(
            is_listed || !entry.path().join("Cargo.toml").exists(),
            "{name} is missing in the table of the deployer's crates"
        );
    }
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
        let ours = ["artifact/src/", "catalog/src/", "compiler/src/"]
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
    let source = fs::read_to_string(tools::root().join("compiler/src/code.rs")).expect("the codes");
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
        "compiler/src/code.rs contains too few codes: {codes:?}"
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

/// Returns the names of the dependencies of one of our crates, without those of its tests.
fn dependencies(crate_name: &str) -> BTreeSet<String> {
    let path = tools::root().join(crate_name).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies") && !section.starts_with("dev-");
        } else if let (true, Some((name, _))) = (inside, line.split_once(['=', '.'])) {
            names.insert(name.trim().to_owned());
        }
    }
    names
}
