//! The refusal of an environment that no longer names a place where it is deployed.

use std::fmt;
use std::path::PathBuf;

use terrace_artifact::{Location, Text};

use super::Place;

/// The refusal of an environment that no longer names a place where it is deployed.
#[derive(Clone, PartialEq, Debug)]
pub struct LostTargets {
    /// The environment that the plan is for.
    pub environment: Text,
    /// The platform and environment that are deployed there, if either has a new name in the stack.
    pub renamed_from: Option<(Text, Text)>,
    /// The places that would be left behind.
    pub left: Vec<Left>,
    /// The places that the environment names, each with the line that names it.
    pub named: Vec<(Text, Location)>,
    /// The stack's directory, as the user named it.
    pub folder: PathBuf,
}

/// A place that would be left behind.
#[derive(Clone, PartialEq, Debug)]
pub struct Left {
    /// The place.
    pub place: Place,
    /// The argument that names the place in a command.
    pub argument: Text,
    /// Whether the place contains the state store.
    pub has_history: bool,
    /// The record that names the place: `terrace.lock`, `the claim in account …`.
    pub source: String,
}

impl LostTargets {
    /// Returns the lines that name the places of the environment.
    pub fn locations(&mut self) -> impl Iterator<Item = &mut Location> {
        self.named.iter_mut().map(|(_, location)| location)
    }

    /// Writes the commands for an environment that changed its places.
    fn help_moved(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, environment) = (self.folder.display(), &self.environment);
        for (purpose, command, flag) in [
            ("delete these resources", "destroy", "--at "),
            ("keep these resources and stop managing them", "forget", ""),
        ] {
            write!(f, "\n  help: to {purpose}:")?;
            for left in &self.left {
                let place = &left.argument;
                write!(
                    f,
                    "\n    terrace {command} {folder} -e {environment} {flag}{place}"
                )?;
            }
        }
        if self.left.iter().any(|left| left.place.is_directory()) {
            return Ok(());
        }
        f.write_str(
            "\n  help: to move the environment, name the old place together with the new one (under `accounts:` or `clusters:`) \
             for one apply; it creates everything in the new place, then deletes it from the old one",
        )
    }
}

impl fmt::Display for LostTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.renamed_from {
            None => write!(
                f,
                "environment `{}` no longer names every place where it is deployed; nothing was changed",
                self.environment
            )?,
            Some((platform, environment)) => write!(
                f,
                "environment `{environment}` of platform `{platform}` is deployed, but this stack no longer contains it; \
                 nothing was changed\n  under a new name, Terrace would create everything again"
            )?,
        }
        f.write_str("\n  an apply would leave these resources deployed but unmanaged:")?;
        for left in &self.left {
            write!(f, "\n    {}: {}", left.place, left.place.contents())?;
            if left.has_history {
                f.write_str("; the history of the environment")?;
            }
            write!(f, " (recorded in {})", left.source)?;
        }
        if !self.named.is_empty() {
            write!(f, "\n  environment `{}` names only:", self.environment)?;
            for (place, location) in &self.named {
                write!(f, "\n    {place}, declared at {location}")?;
            }
        }
        let Some((_, environment)) = &self.renamed_from else {
            return self.help_moved(f);
        };
        write!(
            f,
            "\n  help: to delete these resources, restore the old name, run `terrace destroy`, then change the name\n  \
             help: to keep these resources and stop managing them:\n    terrace forget {} -e {environment}",
            self.folder.display()
        )
    }
}
