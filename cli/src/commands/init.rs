//! `terrace init`: creates a starter stack that compiles without changes, and settings for editors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use terrace_compiler::document::DocumentKind;
use terrace_compiler::validate::{schema, schema_names};
use terrace_deployer::LOCKFILE;

use crate::console::Console;
use crate::disk::in_words;
use crate::folder;
use crate::problem::{Problem, Status};

/// The files of the stack. `PLATFORM` in them is replaced by the name of the stack, and `DIRECTORIES` by the directories of its
/// documents.
const FILES: [(&str, &str); 7] = [
    ("platform.yaml", include_str!("init/platform.yaml")),
    (
        "environments/development.yaml",
        include_str!("init/development.yaml"),
    ),
    (
        "environments/production.yaml",
        include_str!("init/production.yaml"),
    ),
    ("tenants/finance.yaml", include_str!("init/finance.yaml")),
    ("components.yaml", include_str!("init/components.yaml")),
    (".vscode/settings.json", include_str!("init/settings.json")),
    (".vscode/extensions.json", include_str!("init/extensions.json")),
];

/// The directory where editors find the schemas.
const SCHEMAS: &str = ".terrace/schemas";

pub(crate) fn run(dir: &Path, console: &Console) -> Result<Status, Problem> {
    check_is_empty(dir)?;
    let name = platform_name(dir);
    let mut files: BTreeMap<String, String> = FILES
        .iter()
        .map(|(path, text)| {
            let text = text.replace("PLATFORM", &name);
            ((*path).to_owned(), text.replace("DIRECTORIES", &directories()))
        })
        .collect();
    for name in schema_names() {
        let text = schema(name).unwrap_or_default();
        files.insert(format!("{SCHEMAS}/{name}.schema.json"), text);
    }
    folder::write(dir, &files)?;
    for (path, _) in FILES {
        console.line(&format!("  {}", dir.join(path).display()));
    }
    console.line(&format!(
        "  {} ({} schemas)",
        dir.join(SCHEMAS).display(),
        schema_names().count()
    ));
    let stack = if dir == Path::new(".") {
        String::new()
    } else {
        format!(" {}", for_a_shell(&dir.display().to_string()))
    };
    console.line(&format!(
        "created stack `{name}`; to see what it would deploy:\n  terrace plan{stack} -e development"
    ));
    console.line(&format!(
        "`terrace apply` records where the stack is deployed in `{LOCKFILE}`: commit this file, too"
    ));
    Ok(Status::Done)
}

/// Returns the directories with documents, for a glob. Modules have their own schema, because a directory of modules also contains
/// other files.
fn directories() -> String {
    let kinds = DocumentKind::ALL
        .iter()
        .filter(|kind| **kind != DocumentKind::Module);
    let directories: Vec<&str> = kinds.filter_map(|kind| kind.directory()).collect();
    directories.join(",")
}

/// Quotes an argument for a shell if necessary.
fn for_a_shell(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Returns an error if the directory is not empty, so that no file is overwritten. An empty Git repository is allowed.
fn check_is_empty(dir: &Path) -> Result<(), Problem> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Problem::new(format!(
                "cannot read `{}`: {}",
                dir.display(),
                in_words(&error)
            )));
        }
    };
    let existing = entries
        .flatten()
        .map(|entry| entry.file_name())
        .find(|name| name != ".git");
    match existing {
        None => Ok(()),
        Some(name) => Err(Problem::new(format!(
            "directory `{}` is not empty: it contains `{}`",
            dir.display(),
            name.display()
        ))
        .help("pass a directory that does not exist yet")),
    }
}

/// Derives the name of the platform from the name of the directory: lower case letters, digits and single dashes.
fn platform_name(dir: &Path) -> String {
    let full: PathBuf = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let name = full
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let words = name.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let mut slug = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        // A name begins with a letter.
        let word = if slug.is_empty() {
            word.trim_start_matches(|c: char| c.is_ascii_digit())
        } else {
            word
        };
        if !slug.is_empty() && !word.is_empty() {
            slug.push('-');
        }
        slug.push_str(word);
    }
    slug.truncate(20);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "platform".to_owned()
    } else {
        slug.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_directories_of_documents_except_modules() {
        let directories = directories();
        assert!(directories.starts_with("environments,tenants,"), "{directories}");
        assert!(!directories.contains("modules"), "{directories}");
    }

    #[test]
    fn derives_the_platform_name_from_the_directory() {
        let cases = [
            ("shop", "shop"),
            ("a/My Shop_2", "my-shop-2"),
            ("2024-data", "data"),
            ("ключ", "platform"),
            ("a-very-long-name-for-a-folder", "a-very-long-name-for"),
        ];
        for (folder, name) in cases {
            assert_eq!(platform_name(Path::new(folder)), name);
        }
    }
}
