//! Checks that names are unique in their place.

use foldhash::{HashMap, HashMapExt};
use terrace_artifact::Text;
use terrace_language::resource::Resource;
use terrace_language::target_languages;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};

use super::Graph;
use crate::targets::{TargetLowering, lowering_of};

impl Graph<'_> {
    /// Reports names of two resources, missing places, and wrong names of artifacts.
    pub fn check_names(&self, diagnostics: &mut Diagnostics) {
        let mut names: HashMap<(Option<&Text>, Name<'_>), usize> =
            HashMap::with_capacity(self.resources.len() * 2);
        for (at, resource) in self.resources.iter().enumerate() {
            let instance = &self.instances[resource.instance];
            let target = lowering_of(&resource.kind);
            let place = target.place(instance);
            if place.is_none() {
                let (place, help) = target.missing_place();
                diagnostics.push(
                    Diagnostic::new(
                        Code::UnknownTarget,
                        format!(
                            "component `{}` has no {place} in this environment",
                            instance.component
                        ),
                    )
                    .at(instance.declared, format!("creates `{}`", resource.address))
                    .help(help),
                );
                continue;
            }
            target.unique_names(resource, &mut |name| {
                if let Some(other) = names.insert((place, name.clone()), at) {
                    self.collision(&name, other, at, diagnostics);
                }
            });
        }
        for target in target_languages!(all as TargetLowering) {
            target.check_artifact_names(self, diagnostics);
        }
    }

    fn collision(&self, name: &Name<'_>, first: usize, second: usize, diagnostics: &mut Diagnostics) {
        let (other, resource) = (&self.resources[first], &self.resources[second]);
        // Logical IDs are derived from keys, not written by the user.
        let made = matches!(name, Name::Derived(..));
        let word = shown(name.word());
        let is = match made {
            true => format!("logical ID `{word}`"),
            false => format!("is named `{word}`"),
        };
        let mut diagnostic = Diagnostic::new(
            Code::NameCollision,
            format!(
                "`{}` and `{}` resolve to the same name",
                other.address, resource.address
            ),
        )
        .at(resource.declared, is);
        // If one line declares both, it is shown once. The addresses tell them apart.
        let together = other.declared == resource.declared;
        if !together {
            diagnostic = diagnostic.also(other.declared, "has the same name");
        }
        let diagnostic = match made {
            true => diagnostic
                .note("Terrace derives logical IDs from keys without `-` and `_`, so `a-b`, `a_b` and `aB` have the same logical ID")
                .help("change one of the two keys"),
            false => diagnostic.help(format!("add {} to the name", difference(other, resource))),
        };
        diagnostics.push(self.located(resource, diagnostic));
    }
}

/// Returns an expression or a suffix that makes two names differ.
fn difference(first: &Resource, other: &Resource) -> &'static str {
    let (first, other) = (&first.address, &other.address);
    if first.owner != other.owner {
        "`{{ tenant.name }}`"
    } else if first.component != other.component {
        "`{{ component.name }}`"
    } else if first.resource == other.resource {
        "`{{ each.key }}`"
    } else {
        "a distinguishing suffix"
    }
}

/// A name that must be unique in its place.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Name<'a> {
    /// A name that the stack sets, with the names that qualify it: those of its kind and of its scope.
    Set([&'a str; 3], &'a str),
    /// An identifier in the artifact of an instance, which Terrace derives from keys.
    Derived(usize, Text),
}

impl Name<'_> {
    fn word(&self) -> &str {
        match self {
            Name::Set(_, name) => name,
            Name::Derived(_, id) => id,
        }
    }
}
