//! The values that CloudFormation inserts into a definition during deployment.

use terrace_artifact::Text;
use terrace_language::expression::words::pascal;
use terrace_language::value::term::{Reference, Term};

/// The names in `${…}` and their values. A definition is static text with such names, so that it stays readable.
#[derive(Default, Debug)]
pub(crate) struct Substitutions {
    entries: Vec<(Text, Term)>,
}

impl Substitutions {
    /// Returns a term as text of the definition, with `${Name}` for values that are not known yet.
    pub(crate) fn inline(&mut self, term: &Term) -> String {
        match term {
            Term::Concat(parts) => parts.iter().map(|part| self.inline(part)).collect(),
            Term::Reference(_) | Term::Asset(_) => self.mark(term),
            Term::Map(entries) if is_intrinsic(entries) => self.mark(term),
            other => other.shown(),
        }
    }

    /// Returns a term as a value of the definition.
    pub(crate) fn value(&mut self, term: &Term) -> Term {
        match term {
            Term::Concat(_) | Term::Reference(_) | Term::Asset(_) => Term::from(self.inline(term)),
            Term::Map(entries) if is_intrinsic(entries) => Term::from(self.mark(term)),
            Term::Map(entries) => Term::Map(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), self.value(value)))
                    .collect(),
            ),
            Term::List(items) => Term::List(items.iter().map(|item| self.value(item)).collect()),
            Term::Duration(duration) => Term::from(duration.to_string()),
            Term::Quantity(quantity) => Term::from(quantity.to_string()),
            other => other.clone(),
        }
    }

    fn mark(&mut self, term: &Term) -> String {
        if let Some((name, _)) = self.entries.iter().find(|(_, known)| known == term) {
            return format!("${{{name}}}");
        }
        let mut candidates = names(term).into_iter();
        let free = |name: &Text| !self.entries.iter().any(|(taken, _)| taken == name);
        let name = candidates.find(free).unwrap_or_else(|| {
            let base = names(term).pop().unwrap_or_else(|| "Value".into());
            (2..)
                .map(|number: usize| Text::from(format!("{base}{number}")))
                .find(free)
                .unwrap_or(base)
        });
        self.entries.push((name.clone(), term.clone()));
        format!("${{{name}}}")
    }

    /// Returns `DefinitionSubstitutions`, in order of name.
    pub(crate) fn finish(mut self) -> Option<Term> {
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        (!self.entries.is_empty()).then_some(Term::Map(self.entries.into()))
    }
}

fn is_intrinsic(entries: &[(Text, Term)]) -> bool {
    matches!(entries, [(key, _)] if key.starts_with("Fn::") || key == "Ref")
}

/// Returns possible names for a term, the best first.
fn names(term: &Term) -> Vec<Text> {
    match term {
        Term::Reference(reference) => reference_names(reference),
        Term::Asset(asset) => {
            let part = asset.part.as_deref().unwrap_or_default();
            vec![pascal(&format!("{} {part}", asset.path))]
        }
        _ => vec!["Value".into()],
    }
}

/// Resource keys that only repeat the type of the resource.
const GENERAL: [&str; 10] = [
    "function",
    "job",
    "topic",
    "queue",
    "state_machine",
    "application",
    "workgroup",
    "role",
    "bucket",
    "bus",
];

fn reference_names(reference: &Reference) -> Vec<Text> {
    let attribute: String = reference
        .path
        .iter()
        .map(|part| {
            if part == "ref" {
                "name".to_owned()
            } else {
                part.to_string()
            }
        })
        .collect::<Vec<_>>()
        .join(" ");
    let key = reference.key.as_deref().unwrap_or_default();
    match reference.name.parse::<terrace_artifact::Address>() {
        Ok(address) => {
            let key = address.key.as_deref().unwrap_or_default();
            let whole = pascal(&format!(
                "{} {} {key} {attribute}",
                address.component, address.resource
            ));
            if GENERAL.contains(&address.resource.as_str()) {
                vec![pascal(&format!("{} {key} {attribute}", address.component)), whole]
            } else {
                vec![whole]
            }
        }
        Err(_) => {
            let name = reference.name.strip_prefix("AWS::").unwrap_or(&reference.name);
            vec![pascal(&format!("{name} {key} {attribute}"))]
        }
    }
}
