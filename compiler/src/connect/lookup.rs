//! What a name finds: the module's own resources, then its required modules, then the tenant's components, then the
//! platform's. Two answers at one level are an error.

use terrace_artifact::{Address, Text};

use super::Graph;
use crate::code::Code;
use crate::diagnostic::{listed, shown, those};
use crate::expression::Failure;
use crate::resolve::UseKind;
use crate::source::Span;
use crate::term::Reference;

/// What a name found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// One resource.
    Resource(usize),
    /// A component.
    Component(usize),
}

impl Graph<'_> {
    /// Finds what a reference in the component `from` names.
    pub(crate) fn find(&self, from: usize, reference: &Reference) -> Result<Found, Box<Failure>> {
        if reference.name.contains('/') {
            return self.find_address(from, &reference.name, reference.span);
        }
        if reference.local
            && let Some(found) = self.find_own(from, reference)?
        {
            return Ok(found);
        }
        // `ref('lake')['raw_bucket']` reads an output, the same as `.raw_bucket`: the key is the reader's to use.
        match self.find_component(from, reference)? {
            Some(at) => Ok(Found::Component(at)),
            None => Err(self.nothing(from, reference)),
        }
    }

    /// A resource by its address: the platform sees all, a tenant its own and the platform's.
    fn find_address(&self, from: usize, text: &str, span: Span) -> Result<Found, Box<Failure>> {
        let address = text.parse::<Address>().ok();
        let tenants = [self.instances[from].tenant.as_str(), "platform"];
        let hidden =
            |address: &Address| tenants[0] != "platform" && !tenants.contains(&address.tenant.as_str());
        if address.as_ref().is_some_and(hidden) {
            let message = format!("`{}` is another tenant's", shown(text));
            return Err(
                Failure::new(Code::UnknownReference, span, message, "cannot be seen from here").with_help(
                    "tenants do not see each other's: what both need is a component of the platform",
                ),
            );
        }
        let found = address.and_then(|address| {
            let instance = *self
                .by_component
                .get(&(address.tenant.clone(), address.component.clone()))?;
            let candidates = self.by_name.get(&(instance, address.resource.clone()))?;
            candidates
                .iter()
                .copied()
                .find(|at| self.resources[*at].address == address)
        });
        found.map(Found::Resource).ok_or_else(|| {
            let message = format!("no resource has the address `{}`", shown(text));
            let failure = Failure::new(Code::UnknownReference, span, message, "no such resource");
            let Ok(address) = text.parse::<Address>() else {
                return failure.with_help("an address has three parts: `finance/airflow/scheduler`");
            };
            let instance = self.by_component.get(&(address.tenant, address.component));
            match instance {
                Some(instance) => {
                    let resources = self.resources_of(*instance);
                    let mut names: Vec<&str> = resources
                        .map(|(_, resource)| resource.address.resource.as_str())
                        .collect();
                    names.dedup();
                    failure.with_help(those("its only resource is", "its resources are", names))
                }
                None => failure.with_help("there is no such component"),
            }
        })
    }

    fn find_own(&self, from: usize, reference: &Reference) -> Result<Option<Found>, Box<Failure>> {
        let Some(candidates) = self.by_name.get(&(from, reference.name.clone())) else {
            return Ok(None);
        };
        let keys = || {
            candidates
                .iter()
                .filter_map(|at| self.resources[*at].address.key.as_deref())
        };
        match &reference.key {
            None => match candidates.as_slice() {
                [one] if self.resources[*one].address.key.is_none() => Ok(Some(Found::Resource(*one))),
                _ => {
                    let message = format!("`{}` is repeated: a reference has to say which", reference.name);
                    let first = keys().next().unwrap_or("KEY");
                    Err(Failure::new(
                        Code::AmbiguousReference,
                        reference.span,
                        message,
                        format!("one of {}", listed(keys())),
                    )
                    .with_help(format!("write `ref('{}', '{first}')`", reference.name)))
                }
            },
            Some(key) => {
                let found = candidates
                    .iter()
                    .find(|at| self.resources[**at].address.key.as_ref() == Some(key));
                found.map(|at| Some(Found::Resource(*at))).ok_or_else(|| {
                    let message = format!("`{}` has no `{}`", reference.name, shown(key));
                    let word = self.word_of(reference, key);
                    let span = word.unwrap_or(reference.span);
                    let failure = Failure::new(Code::UnknownReference, span, message, "no such key");
                    match keys().next() {
                        Some(_) if word.is_some() && terrace_catalog::nearest(key, keys()).is_some() => {
                            failure.near(key, keys())
                        }
                        Some(_) => failure.with_help(those("its key is", "its keys are", keys())),
                        None => failure.with_help(format!("`{}` is not repeated", reference.name)),
                    }
                })
            }
        }
    }

    /// The component of a name, as seen from another one.
    fn find_component(&self, from: usize, reference: &Reference) -> Result<Option<usize>, Box<Failure>> {
        let instance = &self.instances[from];
        let name = &reference.name;
        let tenants: [&str; 2] = [&instance.tenant, "platform"];
        let levels = if instance.tenant == "platform" {
            &tenants[1..]
        } else {
            &tenants[..]
        };
        if instance.requires.contains(name) {
            for tenant in levels {
                let of_module: Vec<usize> = (0..self.instances.len())
                    .filter(|at| {
                        self.instances[*at].tenant == *tenant
                            && self.instances[*at].module.as_ref() == Some(name)
                    })
                    .filter(|at| *at != from)
                    .collect();
                match of_module.as_slice() {
                    [] => {}
                    [one] => return Ok(Some(*one)),
                    several => {
                        // The one that has the module's own name is the one that was meant.
                        if let Some(one) = several.iter().find(|at| self.instances[**at].component == *name) {
                            return Ok(Some(*one));
                        }
                        let names = listed(several.iter().map(|at| self.instances[*at].component.as_str()));
                        let message = format!("`{name}` is the module of several components");
                        return Err(
                            Failure::new(Code::AmbiguousReference, reference.span, message, names)
                                .with_help("give an input the one that is meant"),
                        );
                    }
                }
            }
        }
        for tenant in levels {
            if let Some(at) = self.by_component.get(&(Text::from(*tenant), name.clone())) {
                return Ok(Some(*at));
            }
        }
        Ok(None)
    }

    /// What is wrong with an output is told where the output is, not where it is read.
    pub(super) fn told_at_home(&self, from: usize, output: &Reference, read: Box<Failure>) -> Box<Failure> {
        let at_home = match self.find(from, output) {
            Err(failure) => Some(failure),
            Ok(Found::Component(component)) => self.output(component, output).err(),
            Ok(Found::Resource(at)) => {
                let found = self.attribute(&self.resources[at], &output.path, false, output.span);
                found.err()
            }
        };
        at_home.unwrap_or(read)
    }

    fn nothing(&self, from: usize, reference: &Reference) -> Box<Failure> {
        let instance = &self.instances[from];
        let mut names: Vec<&str> = Vec::new();
        if reference.local {
            names.extend(
                self.resources_of(from)
                    .map(|(_, resource)| resource.address.resource.as_str()),
            );
            names.extend(instance.requires.iter().map(Text::as_str));
        }
        let visible = |other: &&crate::resource::Instance| {
            let itself = std::ptr::eq(*other, instance);
            !itself && (other.tenant == instance.tenant || other.tenant == "platform")
        };
        names.extend(
            self.instances
                .iter()
                .filter(visible)
                .map(|other| other.component.as_str()),
        );
        names.dedup();
        let message = format!("nothing is named `{}`", shown(&reference.name));
        let name = reference.name.as_str();
        let found = self.word_of(reference, name);
        let span = found.unwrap_or(reference.span);
        if reference.local
            && let Some(left_out) = self.left_out(from, &reference.name)
        {
            let message = format!("`{}` is left out here", shown(&reference.name));
            return Failure::new(Code::UnknownReference, span, message, left_out)
                .with_help("ask the same before referring to it, with `when` or `if`");
        }
        let failure = Failure::new(Code::UnknownReference, span, message, "refers to nothing");
        if let Some((component, output)) = name.split_once('.')
            && names.contains(&component)
        {
            return failure.with_help(format!(
                "what a component or resource has is asked for behind the brackets: `ref('{component}').{output}`"
            ));
        }
        match terrace_catalog::nearest(name, names.iter().copied()) {
            _ if self.exists_elsewhere(&reference.name) => {
                failure.with_help(match instance.tenant.as_str() {
                    "platform" => {
                        "a tenant has a component of that name: what is the platform's own does not see it"
                    }
                    _ => "another tenant has a component of that name: tenants do not see each other's",
                })
            }
            Some(nearest) if found.is_some() => failure.near(name, std::iter::once(nearest)),
            Some(nearest) => failure.with_help(format!("`{nearest}` exists")),
            None if (1..=16).contains(&names.len()) => {
                failure.with_help(those("there is", "there are", names))
            }
            None => failure,
        }
    }

    /// Why a resource that its component declares has not come to be.
    fn left_out(&self, from: usize, name: &str) -> Option<&'static str> {
        let UseKind::Component { recipe, .. } = &self.uses[from].kind else {
            return None;
        };
        let declared = recipe
            .resources
            .iter()
            .find(|resource| resource.name.value == name)?;
        Some(match declared.for_each {
            Some(_) => "it is repeated over nothing",
            None => "its `when` is false",
        })
    }

    /// Where a reference writes out a word: its name, or its key.
    fn word_of(&self, reference: &Reference, word: &str) -> Option<Span> {
        let written = self.files.text(reference.span);
        let quoted = ['\'', '"'].iter().find_map(|quote| {
            let at = written.find(&format!("{quote}{word}{quote}"))?;
            Some(at + 1)
        });
        let at = quoted.or_else(|| written.find(word).filter(|_| written.matches(word).count() == 1))?;
        Some(reference.span.within(at..at + word.len()))
    }

    fn exists_elsewhere(&self, name: &str) -> bool {
        self.instances.iter().any(|instance| instance.component == name)
    }
}
