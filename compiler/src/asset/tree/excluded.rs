//! What is left out of an archive: a short list, and what a `.terraceignore` says, in the syntax of a `.gitignore`.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::super::Refusal;
use crate::code::Code;

/// The file that says what else is left out, in any directory from the stack's to the one of the file in question.
pub(super) const FILE: &str = ".terraceignore";

/// Left out wherever it is, unless a `.terraceignore` takes it back (`!.git`): what tools keep beside the files they
/// work on, and what would make each machine's archive another one.
pub(super) const ALWAYS: [&str; 6] = [".git", ".hg", ".svn", "__pycache__/", ".DS_Store", FILE];

/// What is left out where: the rules of the directories on the way to the one that is read.
pub(super) struct Exclusions {
    always: Gitignore,
    /// The outermost directory first.
    rules: Vec<Rules>,
}

/// The rules of one `.terraceignore`.
struct Rules {
    /// The directory that it is in, from the stack's directory.
    directory: String,
    file: String,
    matcher: Gitignore,
}

impl Default for Exclusions {
    fn default() -> Exclusions {
        let mut builder = GitignoreBuilder::new("");
        for pattern in ALWAYS {
            builder.add_line(None, pattern).expect("the list has patterns");
        }
        Exclusions {
            always: builder.build().expect("the list has patterns"),
            rules: Vec::new(),
        }
    }
}

impl Exclusions {
    /// Adds the rules of the file `file` in `directory`. Lines that are no pattern are refused.
    pub(super) fn add(&mut self, directory: &str, file: &str, bytes: &[u8], refusals: &mut Vec<Refusal>) {
        let wrong = |message: String, label: String| Refusal::new(Code::InvalidAsset, message, label);
        let Ok(text) = std::str::from_utf8(bytes) else {
            refusals.push(wrong(
                format!("`{file}` is not UTF-8"),
                "the asset is packed by its rules".to_owned(),
            ));
            return;
        };
        let mut builder = GitignoreBuilder::new("");
        for (at, line) in text.lines().enumerate() {
            if let Err(error) = builder.add_line(None, line) {
                let message = format!("line {} of `{file}` is not a pattern", at + 1);
                refusals.push(wrong(message, error.to_string()));
            }
        }
        match builder.build() {
            Ok(matcher) => self.rules.push(Rules {
                directory: directory.to_owned(),
                file: file.to_owned(),
                matcher,
            }),
            Err(error) => refusals.push(wrong(format!("`{file}` cannot be used"), error.to_string())),
        }
    }

    /// Forgets the rules of a directory that has been read.
    pub(super) fn leave(&mut self, directory: &str) {
        self.rules.retain(|rules| rules.directory != directory);
    }

    /// Who leaves a path out: the nearest rule that names it decides.
    pub(super) fn of(&self, path: &str, directory: bool) -> Option<String> {
        for rules in self.rules.iter().rev() {
            let below = path
                .strip_prefix(&rules.directory)
                .unwrap_or(path)
                .trim_start_matches('/');
            match rules.matcher.matched(below, directory) {
                Match::None => {}
                Match::Ignore(glob) => return Some(format!("`{}` in `{}`", glob.original(), rules.file)),
                Match::Whitelist(_) => return None,
            }
        }
        let listed = self.always.matched(path, directory).is_ignore();
        listed.then(|| "always left out".to_owned())
    }
}
