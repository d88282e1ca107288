//! Pieces of values in the words of their target: `Fn::Sub` and parameters, or text with late bindings.

use terrace_artifact::Text;

use super::attribute::Attribute;
use super::lower::{Atom, Late, Lowering, logical_id};
use crate::code::Code;
use crate::diagnostic::shown;
use crate::expression::Failure;
use crate::expression::filters::pascal;
use crate::source::Span;
use crate::term::Term;

impl Lowering<'_> {
    /// Pieces as the target understands them.
    pub(super) fn render(&mut self, atoms: Vec<Atom>, span: Span) -> Term {
        let atoms: Vec<Atom> = atoms.into_iter().map(|atom| self.known(atom)).collect();
        if atoms.iter().all(|atom| matches!(atom, Atom::Text(_))) {
            let text: String = atoms
                .iter()
                .map(|atom| {
                    if let Atom::Text(text) = atom {
                        text.as_str()
                    } else {
                        ""
                    }
                })
                .collect();
            return Term::String(text.into());
        }
        if self.cloudformation {
            self.intrinsic(atoms)
        } else {
            self.binding(atoms, span)
        }
    }

    /// Takes what is known of an atom at compile time.
    fn known(&mut self, atom: Atom) -> Atom {
        match &atom {
            Atom::Pseudo(name, context) => {
                let place = &self.graph.places[*context];
                let own = &self.graph.places[self.resource().instance];
                // Inside the same account the intrinsic says it; anywhere else the value does, where it is known.
                if self.cloudformation && (place == own || place.account.is_none()) {
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
                self.out.assets.insert(asset.path.clone());
                match self.graph.assets.packed(&asset.path) {
                    Ok(found) => match asset.part.as_deref() {
                        Some("key") => Atom::Text(found.key.clone()),
                        Some("digest") => Atom::Text(found.digest.as_str().into()),
                        _ => atom,
                    },
                    Err(error) => {
                        let message = format!("the asset `{}` cannot be read", shown(&asset.path));
                        self.fail(
                            Failure::new(Code::MissingAsset, asset.span, message, error.to_string())
                                .with_help("the path is looked for from the stack's folder"),
                        );
                        Atom::Text(Text::default())
                    }
                }
            }
            _ => atom,
        }
    }

    fn intrinsic(&mut self, atoms: Vec<Atom>) -> Term {
        let mut single = None;
        let mut text = String::new();
        let count = atoms.len();
        for atom in atoms {
            match atom {
                Atom::Text(known) => text.push_str(&known.replace("${", "${!")),
                Atom::Pseudo(name, _) => {
                    text.push_str(&format!("${{{name}}}"));
                    single = Some(Term::map([("Ref", Term::String(name))]));
                }
                Atom::Late(late) if self.graph.same_stack(self.at, late.resource) => {
                    let id = logical_id(&self.graph.resources[late.resource]);
                    match &late.attribute {
                        Attribute::GetAtt(name) => {
                            text.push_str(&format!("${{{id}.{name}}}"));
                            single = Some(Term::map([(
                                "Fn::GetAtt",
                                Term::list([Term::String(id), Term::from(name)]),
                            )]));
                        }
                        _ => {
                            text.push_str(&format!("${{{id}}}"));
                            single = Some(Term::map([("Ref", Term::String(id))]));
                        }
                    }
                }
                Atom::Late(late) => {
                    let name = self.parameter(late);
                    text.push_str(&format!("${{{name}}}"));
                    single = Some(Term::map([("Ref", Term::String(name))]));
                }
                Atom::Secret(secret) => {
                    let key = secret
                        .key
                        .as_ref()
                        .map(|key| format!(":SecretString:{key}"))
                        .unwrap_or_default();
                    let reference = format!("{{{{resolve:secretsmanager:{}{key}}}}}", secret.name);
                    text.push_str(&reference);
                    single = Some(Term::String(reference.into()));
                }
                Atom::Asset(asset) => {
                    let bucket = "terrace-assets-${AWS::AccountId}-${AWS::Region}";
                    if asset.part.as_deref() == Some("url") {
                        let key = self
                            .graph
                            .assets
                            .packed(&asset.path)
                            .map(|found| found.key.clone());
                        text.push_str(&format!("s3://{bucket}/{}", key.unwrap_or_default()));
                    } else {
                        text.push_str(bucket);
                    }
                    single = Some(Term::map([("Fn::Sub", text.as_str())]));
                }
            }
        }
        match single {
            Some(term) if count == 1 => term,
            // A dynamic reference needs no substitution.
            _ if !text.contains("${") => Term::String(text.into()),
            _ => Term::map([("Fn::Sub", text)]),
        }
    }

    fn binding(&mut self, atoms: Vec<Atom>, span: Span) -> Term {
        let mut shown = String::new();
        for atom in &atoms {
            match atom {
                Atom::Text(text) => shown.push_str(text),
                Atom::Late(late) => shown.push_str(&format!("${{{}}}", late.shown)),
                Atom::Pseudo(name, _) => {
                    let what = match name.as_str() {
                        "AWS::AccountId" => "account",
                        "AWS::Region" => "region",
                        _ => "partition",
                    };
                    let message = format!("the {what} is not known in this environment");
                    self.fail(
                        Failure::new(
                            Code::UnknownTarget,
                            span,
                            message,
                            "a Kubernetes object needs it written out",
                        )
                        .with_help("give the environment `aws: {account: …, region: …}`"),
                    );
                }
                Atom::Secret(secret) => self.fail(Failure::new(
                    Code::LiteralSecret,
                    secret.span,
                    "a secret cannot be put into text in a Kubernetes object",
                    "the object would hold its value",
                )),
                Atom::Asset(asset) => self.fail(Failure::new(
                    Code::InvalidResource,
                    asset.span,
                    "an asset's place is not known to Kubernetes objects",
                    "in the bootstrap bucket of an account",
                )),
            }
        }
        self.out.bindings.push((self.path.clone(), atoms));
        // Still a late value to the checks; as text, what readers see in its place.
        Term::Concat(vec![Term::String(shown.into())].into())
    }

    /// The name of the parameter that brings a value into this stack.
    fn parameter(&mut self, late: Late) -> Text {
        let resource = &self.graph.resources[late.resource];
        let instance = &self.graph.instances[resource.instance];
        let attribute = match &late.attribute {
            Attribute::Field(path) => path
                .iter()
                .map(|part| pascal(part).to_string())
                .collect::<String>(),
            Attribute::GetAtt(name) => name.replace('.', ""),
            _ => String::new(),
        };
        let mut name: Text = format!(
            "{}{}{attribute}",
            pascal(&instance.component),
            logical_id(resource)
        )
        .into();
        if self.out.parameters.get(&name).is_some_and(|other| *other != late) {
            name = format!("{}{name}", pascal(&instance.tenant)).into();
        }
        self.out.parameters.insert(name.clone(), late);
        name
    }
}

/// The partition of a region.
fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
