//! The refusal of an environment that another directory deploys.

use std::fmt;
use std::path::PathBuf;

use terrace_artifact::{Location, Text};

use super::{Place, StackOrigin};

/// The refusal of an environment that another directory deploys.
#[derive(Clone, PartialEq, Debug)]
pub struct OtherOrigin {
    /// The platform.
    pub platform: Text,
    /// The environment.
    pub environment: Text,
    /// The directory that deploys the environment.
    pub recorded: StackOrigin,
    /// The directory that this plan is made from.
    pub now: StackOrigin,
    /// The user who applied last, and the time.
    pub by: Option<(Text, Text)>,
    /// The target that both directories deploy to, and the line that names it.
    pub shared: Option<(Text, Option<Location>)>,
    /// The places, with the components that are deployed there.
    pub deployed: Vec<Place>,
    /// The stack's directory, as the user named it.
    pub folder: PathBuf,
}

impl OtherOrigin {
    /// Returns the line that names the target that both directories deploy to.
    pub fn declared(&mut self) -> Option<&mut Location> {
        self.shared.as_mut()?.1.as_mut()
    }
}

impl fmt::Display for OtherOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (platform, environment) = (&self.platform, &self.environment);
        write!(
            f,
            "environment `{environment}` of platform `{platform}` is deployed from another directory; nothing was changed"
        )?;
        write!(f, "\n  deployed from: {}", self.recorded)?;
        if let Some((who, when)) = &self.by {
            write!(f, ", last by {who} at {when}")?;
        }
        write!(f, "\n  this directory: {}", self.now)?;
        if let Some((place, declared)) = &self.shared {
            write!(f, "\n  both deploy to: {place}")?;
            if let Some(declared) = declared {
                write!(f, ", declared at {declared}")?;
            }
        }
        f.write_str("\n  the other directory has deployed:")?;
        for place in &self.deployed {
            write!(f, "\n    {place}: {}", place.contents())?;
        }
        f.write_str(
            "\n  help: if these are two platforms, change the `name` of this Platform or of this Environment; with the \
             same names, each directory deletes the resources of the other",
        )?;
        let folder = self.folder.display();
        write!(
            f,
            "\n  help: if the directory was moved, or the URL of its repository has changed, record the new origin:\n    \
             terrace plan {folder} -e {environment} --accept-origin\n    terrace apply {folder} -e {environment} --accept-origin"
        )?;
        if self.now.repository.is_none() || self.recorded.repository.is_none() {
            f.write_str(
                "\n  help: if both are checkouts of one repository and this one has no `.git`, set \
                 `TERRACE_ORIGIN=HOST/REPOSITORY//DIRECTORY`",
            )?;
        }
        Ok(())
    }
}
