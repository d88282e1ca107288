//! Resolves names: first to resources of the module, then to its required modules, then to components of the tenant, then to components of
//! the platform. Two matches at one level are an error.

use terrace_artifact::{Address, Owner, Text};
use terrace_language::expression::Failure;
use terrace_language::value::term::Reference;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{did_you_mean, listed, shown, those};
use terrace_syntax::source::Span;

use super::Graph;
use crate::resolve::UseKind;

/// The target of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// One resource.
    Resource(usize),
    /// A component.
    Component(usize),
}

impl Graph<'_> {
    /// Finds the target of a reference in the component `from`.
    pub(crate) fn find(&self, from: usize, reference: &Reference) -> Result<Found, Box<Failure>> {
        if reference.name.contains('/') {
            return self.find_address(from, &reference.name, reference.span);
        }
        if reference.local
            && let Some(found) = self.find_own(from, reference)?
        {
            return Ok(found);
        }
        // `ref('lake')['raw_bucket']` reads an output like `.raw_bucket`, so the caller uses the key.
        match self.find_component(from, reference)? {
            Some(at) => Ok(Found::Component(at)),
            None => Err(self.nothing(from, reference)),
        }
    }

    /// Finds a resource by its address. The platform can refer to all resources, a tenant to its own and to those of the platform.
    fn find_address(&self, from: usize, text: &str, span: Span) -> Result<Found, Box<Failure>> {
        let address = text.parse::<Address>().ok();
        let hidden = |address: &Address| !self.instances[from].owner.can_refer_to(&address.owner);
        if address.as_ref().is_some_and(hidden) {
            let message = format!("`{}` belongs to another tenant", shown(text));
            return Err(Failure::new(
                Code::UnknownReference,
                span,
                message,
                "not accessible from this component",
            )
            .with_help("move resources that several tenants need to a component of the platform"));
        }
        let found = address.and_then(|address| {
            let instance = *self
                .by_component
                .get(&(address.owner.clone(), address.component.clone()))?;
            let candidates = self.by_name.get(&(instance, address.resource.clone()))?;
            candidates
                .iter()
                .copied()
                .find(|at| self.resources[*at].address == address)
        });
        found.map(Found::Resource).ok_or_else(|| {
            let message = format!("no resource has the address `{}`", shown(text));
            let failure = Failure::new(Code::UnknownReference, span, message, "");
            let Ok(address) = text.parse::<Address>() else {
                return failure
                    .with_help("write an address with three parts, such as `finance/airflow/scheduler`");
            };
            let instance = self.by_component.get(&(address.owner, address.component));
            match instance {
                Some(instance) => {
                    let resources = self.resources_of(*instance);
                    let mut names: Vec<&str> = resources
                        .map(|(_, resource)| resource.address.resource.as_str())
                        .collect();
                    names.dedup();
                    failure.with_help(those(
                        "use its only resource,",
                        "use one of its resources:",
                        names,
                    ))
                }
                None => {
                    failure.with_help("correct the tenant or the component: this component does not exist")
                }
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
                [only] if self.resources[*only].address.key.is_none() => Ok(Some(Found::Resource(*only))),
                _ => {
                    let message = format!("`{}` is repeated, so a reference needs a key", reference.name);
                    let first = keys().next().unwrap_or("KEY");
                    Err(Failure::new(
                        Code::AmbiguousReference,
                        reference.span,
                        message,
                        those("the key is", "the keys are", keys()),
                    )
                    .with_help(format!("write `ref('{}', '{first}')`", reference.name)))
                }
            },
            Some(key) => {
                let found = candidates
                    .iter()
                    .find(|at| self.resources[**at].address.key.as_ref() == Some(key));
                found.map(|at| Some(Found::Resource(*at))).ok_or_else(|| {
                    let message = format!("`{}` has no key `{}`", reference.name, shown(key));
                    let word = self.word_of(reference, key);
                    let span = word.unwrap_or(reference.span);
                    let failure = Failure::new(Code::UnknownReference, span, message, "");
                    match keys().next() {
                        Some(_) if word.is_some() && terrace_catalog::nearest(key, keys()).is_some() => {
                            failure.near(key, keys())
                        }
                        Some(_) => {
                            failure.with_help(those("use its only key,", "use one of its keys:", keys()))
                        }
                        None => {
                            failure.with_help(format!("remove the key: `{}` is not repeated", reference.name))
                        }
                    }
                })
            }
        }
    }

    /// Finds a component by name from another component.
    fn find_component(&self, from: usize, reference: &Reference) -> Result<Option<usize>, Box<Failure>> {
        let instance = &self.instances[from];
        let name = &reference.name;
        if instance.requires.contains(name) {
            for owner in instance.owner.scopes() {
                let of_module: Vec<usize> = (0..self.instances.len())
                    .filter(|at| {
                        self.instances[*at].owner == *owner
                            && self.instances[*at].module.as_ref() == Some(name)
                    })
                    .filter(|at| *at != from)
                    .collect();
                match of_module.as_slice() {
                    [] => {}
                    [only] => return Ok(Some(*only)),
                    several => {
                        // A component with the name of the module takes precedence.
                        if let Some(named) = several.iter().find(|at| self.instances[**at].component == *name)
                        {
                            return Ok(Some(*named));
                        }
                        let names = listed(several.iter().map(|at| self.instances[*at].component.as_str()));
                        let message = format!("several components use the module `{name}`");
                        return Err(
                            Failure::new(Code::AmbiguousReference, reference.span, message, names).with_help(format!(
                                "give one of these components the name of the module (`name: {name}`), or remove all but one"
                            )),
                        );
                    }
                }
            }
        }
        for owner in instance.owner.scopes() {
            if let Some(at) = self.by_component.get(&(owner.clone(), name.clone())) {
                return Ok(Some(*at));
            }
        }
        Ok(None)
    }

    /// Returns the failure at the place of an output, not at the place that reads it.
    pub(crate) fn at_output(&self, from: usize, output: &Reference, read: Box<Failure>) -> Box<Failure> {
        let failure = match self.find(from, output) {
            Err(failure) => Some(failure),
            Ok(Found::Component(component)) => self.output(component, output).err(),
            Ok(Found::Resource(at)) => {
                let found = self.attribute(&self.resources[at], &output.path, false, output.span);
                found.err()
            }
        };
        failure.unwrap_or(read)
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
        let visible = |other: &&terrace_language::resource::Instance| {
            let itself = std::ptr::eq(*other, instance);
            !itself && instance.owner.scopes().any(|owner| *owner == other.owner)
        };
        names.extend(
            self.instances
                .iter()
                .filter(visible)
                .map(|other| other.component.as_str()),
        );
        names.dedup();
        let message = format!("no component or resource is named `{}`", shown(&reference.name));
        let name = reference.name.as_str();
        let found = self.word_of(reference, name);
        let span = found.unwrap_or(reference.span);
        if reference.local
            && let Some(left_out) = self.left_out(from, &reference.name)
        {
            let message = format!("`{}` does not exist in this component", shown(&reference.name));
            return Failure::new(Code::UnknownReference, span, message, left_out)
                .with_help("add the same condition to the reference, with `when` or `if`");
        }
        let failure = Failure::new(Code::UnknownReference, span, message, "");
        if let Some((component, output)) = name.split_once('.')
            && names.contains(&component)
        {
            return failure.with_help(format!(
                "write the attribute after the parentheses: `ref('{component}').{output}`"
            ));
        }
        match terrace_catalog::nearest(name, names.iter().copied()) {
            _ if instance.component != name && self.exists_elsewhere(name) => {
                let (who, whose) = match &instance.owner {
                    Owner::Platform => ("the platform".to_owned(), "tenants"),
                    Owner::Tenant(tenant) => (format!("tenant `{tenant}`"), "other tenants"),
                };
                let message = format!("{who} cannot refer to `{name}`, which is a component of {whose}");
                Failure::new(Code::UnknownReference, span, message, "")
                    .with_help("to share the component, remove its `tenants`")
            }
            Some(nearest) if found.is_some() => failure.near(name, std::iter::once(nearest)),
            Some(nearest) => failure.with_help(did_you_mean(nearest)),
            None => {
                let mut failure = failure;
                if (1..=16).contains(&names.len()) {
                    failure.label = those("the only name in scope is", "the names in scope are", names);
                }
                failure
            }
        }
    }

    /// Returns the reason why a declared resource does not exist.
    fn left_out(&self, from: usize, name: &str) -> Option<&'static str> {
        let UseKind::Component { recipe, .. } = &self.uses[from].kind else {
            return None;
        };
        let declared = recipe
            .resources
            .iter()
            .find(|resource| resource.name.value == name)?;
        Some(match declared.for_each {
            Some(_) => "its `for_each` is empty",
            None => "its `when` is false",
        })
    }

    /// Returns the place of a word in a reference: its name or its key.
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
