//! The table of resource types agrees with the schemas and with the documentation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use terrace_language::aws::resource_types::{Permission, ResourceType};
use terrace_language::validate::schema;

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(relative)
}

/// Returns the verbs that the schema of a kind accepts in `may`.
fn verbs_of_schema(kind: &str) -> BTreeSet<String> {
    let schema: Json = serde_json::from_str(&schema(kind).unwrap()).unwrap();
    let verbs = &schema["definitions"]["grant"]["properties"]["may"]["anyOf"][0]["enum"];
    let verbs = verbs.as_array().unwrap().iter();
    verbs.map(|verb| verb.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_schemas_accept_every_verb_and_no_other() {
    for kind in ["component", "module"] {
        let accepted = verbs_of_schema(kind);
        let meant = |verb: &&String| {
            ResourceType::all()
                .iter()
                .any(|row| row.permission(verb).is_some())
        };
        let without_meaning: Vec<&String> = accepted.iter().filter(|verb| !meant(verb)).collect();
        assert!(without_meaning.is_empty(), "{kind}: {without_meaning:?}");
        for row in ResourceType::all() {
            for permission in row.permissions {
                assert!(
                    accepted.contains(permission.verb),
                    "the schema of {kind} does not accept `{}`, a permission on {}",
                    permission.verb,
                    row.name
                );
            }
        }
    }
}

/// Returns a permission with its synonyms: `` `receive` (`consume`, `read`) ``.
fn described(row: &ResourceType, permission: &Permission, verbs: &BTreeSet<String>) -> String {
    let means = |verb: &&String| {
        verb.as_str() != permission.verb
            && row
                .permission(verb)
                .is_some_and(|meant| meant.verb == permission.verb)
    };
    let synonyms: Vec<String> = verbs
        .iter()
        .filter(means)
        .map(|verb| format!("`{verb}`"))
        .collect();
    if synonyms.is_empty() {
        format!("`{}`", permission.verb)
    } else {
        format!("`{}` ({})", permission.verb, synonyms.join(", "))
    }
}

/// `UPDATE_EXPECT=1` writes the table of the page.
#[test]
fn the_language_reference_lists_every_permission() {
    let verbs = verbs_of_schema("component");
    let rows = ResourceType::all()
        .iter()
        .filter(|row| !row.permissions.is_empty());
    let lines = rows.map(|row| {
        let permissions = row.permissions.iter();
        let permissions: Vec<String> = permissions
            .map(|permission| described(row, permission, &verbs))
            .collect();
        format!("| `{}` | {} |\n", row.name, permissions.join(", "))
    });
    let table: String = ["| `on` | `may` |\n".to_owned(), "|---|---|\n".to_owned()]
        .into_iter()
        .chain(lines)
        .collect();
    let page = path("docs/language.md");
    let text = fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once("### Grants\n\n").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let expected = format!("{before}### Grants\n\n{table}\n{after}");
    expect_test::expect_file![page].assert_eq(&expected);
}
