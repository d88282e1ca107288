//! `terrace init`: a stack to start from, which compiles as it is, and what an editor needs to help with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use terrace_compiler::validate::{KINDS, schema};
use terrace_deployer::LOCKFILE;

use crate::console::Console;
use crate::disk::in_words;
use crate::folder;
use crate::problem::{Problem, Status};

/// The files of the stack; `PLATFORM` in them stands for its name.
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

/// Where editors find the schemas.
const SCHEMAS: &str = ".terrace/schemas";

pub(crate) fn run(dir: &Path, console: &Console) -> Result<Status, Problem> {
    refuse_what_is_there(dir)?;
    let name = platform_name(dir);
    let mut files: BTreeMap<String, String> = FILES
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.replace("PLATFORM", &name)))
        .collect();
    for kind in KINDS {
        let text = schema(kind).unwrap_or_default().to_owned();
        files.insert(format!("{SCHEMAS}/{kind}.schema.json"), text);
    }
    folder::write(dir, &files)?;
    for (path, _) in FILES {
        console.line(&format!("  {}", dir.join(path).display()));
    }
    console.line(&format!(
        "  {} ({} schemas)",
        dir.join(SCHEMAS).display(),
        KINDS.len()
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

/// A word that a shell reads as one.
fn for_a_shell(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Nothing that somebody wrote is written over. A repository that was just begun is as good as empty.
fn refuse_what_is_there(dir: &Path) -> Result<(), Problem> {
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
    let found = entries
        .flatten()
        .map(|entry| entry.file_name())
        .find(|name| name != ".git");
    match found {
        None => Ok(()),
        Some(name) => Err(Problem::new(format!(
            "directory `{}` is not empty: it contains `{}`",
            dir.display(),
            name.display()
        ))
        .help("pass a directory that does not exist yet")),
    }
}

/// The folder's name as a platform's: lower case letters, digits and single dashes.
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
    fn a_folder_names_its_platform() {
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
