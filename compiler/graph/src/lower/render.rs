//! Renders the parts of values: as strings if they are known at compile time, otherwise in the form of the target.

use terrace_artifact::Text;
use terrace_catalog::At;
use terrace_language::expression::Failure;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::source::Span;

use crate::lower::{Atom, Lowering};

impl Lowering<'_> {
    /// Renders parts for the target.
    pub(crate) fn render(&mut self, atoms: Vec<Atom>, span: Span, at: &At<'_>) -> Term {
        let atoms: Vec<Atom> = atoms.into_iter().map(|atom| self.known(atom)).collect();
        let texts = atoms.iter().map(|atom| match atom {
            Atom::Text(text) => Some(text.as_str()),
            _ => None,
        });
        if let Some(text) = texts.collect::<Option<String>>() {
            return Term::String(text.into());
        }
        let target = self.target;
        target.render(self, atoms, span, at)
    }

    /// Replaces an atom with its value, if that is known at compile time.
    fn known(&mut self, atom: Atom) -> Atom {
        match &atom {
            Atom::Pseudo(name, context) => {
                let place = &self.graph.places[*context];
                let own = &self.graph.places[self.resource().instance];
                if self.target.resolves_pseudo_parameters(place, own) {
                    return atom;
                }
                let value = match name.as_str() {
                    "AWS::AccountId" => place.account.clone(),
                    "AWS::Region" => place.region.clone(),
                    "AWS::Partition" => place.region.as_ref().map(|region| partition(region).into()),
                    _ => None,
                };
                value.map_or(atom, Atom::Text)
            }
            Atom::Asset(asset) => {
                self.out.assets.entry(asset.path.clone()).or_insert(asset.span);
                if asset.part.is_none() {
                    let message = format!("`asset('{}')` cannot be used as a value", asset.path);
                    let failure =
                        Failure::new(Code::ExpressionType, asset.span, message, "requires an attribute");
                    self.fail(
                        failure.with_help("use one of its attributes: `bucket`, `key`, `url` or `digest`"),
                    );
                    return Atom::Text(Text::default());
                }
                match self.graph.assets.packed(&asset.path, asset.span) {
                    Ok(found) => match asset.part.as_deref() {
                        Some("key") => Atom::Text(found.key.clone()),
                        Some("digest") => Atom::Text(found.digest.as_str().into()),
                        _ => atom,
                    },
                    Err(refusals) => {
                        for refusal in refusals.iter() {
                            self.report(refusal.diagnostic(asset.span));
                        }
                        Atom::Text(Text::default())
                    }
                }
            }
            _ => atom,
        }
    }
}

/// Returns the partition of a region.
fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
