//! Rules for excluded files: a fixed list, and `.terraceignore` files in the syntax of `.gitignore`.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use terrace_syntax::code::Code;

use super::super::Refusal;

/// The file with further rules. It may be in any directory between that of the stack and that of an excluded file.
pub(super) const FILE: &str = ".terraceignore";

/// Files that are excluded in every directory, unless a `.terraceignore` includes them (`!.git`): files of tools, and files that would make the
/// archive different on each machine.
pub(super) const ALWAYS: [&str; 6] = [".git", ".hg", ".svn", "__pycache__/", ".DS_Store", FILE];

/// The rules of the directories on the path to the current one.
pub(super) struct Exclusions {
    always: Gitignore,
    /// The outermost directory first.
    rules: Vec<Rules>,
}

/// The rules of one `.terraceignore`.
struct Rules {
    /// The directory of the file, relative to the directory of the stack.
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
    /// Adds the rules of the file `file` in `directory`. Reports lines that are not a pattern.
    pub(super) fn add(&mut self, directory: &str, file: &str, bytes: &[u8], refusals: &mut Vec<Refusal>) {
        let refusal = |message: String, label: String| Refusal::new(Code::InvalidAsset, message, label);
        let Ok(text) = std::str::from_utf8(bytes) else {
            refusals.push(refusal(
                format!("`{file}` is not UTF-8"),
                "the rules of this file apply to the asset".to_owned(),
            ));
            return;
        };
        let mut builder = GitignoreBuilder::new("");
        for (at, line) in text.lines().enumerate() {
            if let Err(error) = builder.add_line(None, line) {
                let message = format!("line {} of `{file}` is not a valid pattern", at + 1);
                refusals.push(refusal(message, error.to_string()));
            }
        }
        match builder.build() {
            Ok(matcher) => self.rules.push(Rules {
                directory: directory.to_owned(),
                file: file.to_owned(),
                matcher,
            }),
            Err(error) => refusals.push(refusal(format!("`{file}` cannot be used"), error.to_string())),
        }
    }

    /// Removes the rules of a directory that has been read.
    pub(super) fn leave(&mut self, directory: &str) {
        self.rules.retain(|rules| rules.directory != directory);
    }

    /// Returns the rule that excludes a path. The rule in the nearest directory decides.
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
        listed.then(|| "always excluded".to_owned())
    }
}
