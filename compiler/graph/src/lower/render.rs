//! Renders the parts of values for their target: `Fn::Sub` and parameters, or strings with bindings.

use terrace_artifact::Text;
use terrace_catalog::At;
use terrace_language::expression::Failure;
use terrace_language::expression::words::pascal;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::source::Span;

use crate::lower::attributes::Attribute;
use crate::lower::{Atom, Late, Lowering, logical_id};

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
        if !self.cloudformation {
            return self.binding(atoms, span, at);
        }
        match <[Atom; 1]>::try_from(atoms) {
            Ok([atom]) => self.intrinsic(atom),
            Err(atoms) => self.substitution(atoms),
        }
    }

    /// Replaces an atom with its value, if that is known at compile time.
    fn known(&mut self, atom: Atom) -> Atom {
        match &atom {
            Atom::Pseudo(name, context) => {
                let place = &self.graph.places[*context];
                let own = &self.graph.places[self.resource().instance];
                // Inside the same account, the intrinsic function is used. Elsewhere the value is used, if it is known.
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
                self.out.assets.entry(asset.path.clone()).or_insert(asset.span);
                if asset.part.is_none() {
                    let message = format!("`asset('{}')` is not a value", asset.path);
                    let failure = Failure::new(
                        Code::ExpressionType,
                        asset.span,
                        message,
                        "this is the whole asset",
                    );
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

    /// Renders a value with a single part.
    fn intrinsic(&mut self, atom: Atom) -> Term {
        match atom {
            Atom::Pseudo(name, _) => Term::map([("Ref", Term::String(name))]),
            Atom::Late(late) => match self.late(late) {
                (id, Some(attribute)) => {
                    let names = [Term::String(id), Term::String(attribute)];
                    Term::map([("Fn::GetAtt", Term::list(names))])
                }
                (id, None) => Term::map([("Ref", Term::String(id))]),
            },
            atom => self.substitution(vec![atom]),
        }
    }

    /// Returns the name of a late value in the template: the logical ID of a resource in the same stack with its attribute, or the parameter for
    /// the value.
    fn late(&mut self, late: Late) -> (Text, Option<Text>) {
        if !self.graph.same_stack(self.at, late.resource) {
            return (self.parameter(late), None);
        }
        let id = logical_id(&self.graph.resources[late.resource]);
        match late.attribute {
            Attribute::GetAtt(name) => (id, Some(name)),
            _ => (id, None),
        }
    }

    /// Renders a string with parts that are known after apply.
    fn substitution(&mut self, atoms: Vec<Atom>) -> Term {
        let mut text = String::new();
        for atom in atoms {
            match atom {
                Atom::Text(known) if known.contains("${") => text.push_str(&known.replace("${", "${!")),
                Atom::Text(known) => text.push_str(&known),
                Atom::Pseudo(name, _) => text.extend(["${", &name, "}"]),
                Atom::Late(late) => match self.late(late) {
                    (id, Some(attribute)) => text.extend(["${", &id, ".", &attribute, "}"]),
                    (id, None) => text.extend(["${", &id, "}"]),
                },
                Atom::Secret(secret) => {
                    text.extend(["{{resolve:secretsmanager:", &secret.name]);
                    if let Some(key) = &secret.key {
                        text.extend([":SecretString:", key]);
                    }
                    text.push_str("}}");
                }
                Atom::Asset(asset) => {
                    let bucket = "terrace-assets-${AWS::AccountId}-${AWS::Region}";
                    match (
                        asset.part.as_deref(),
                        self.graph.assets.packed(&asset.path, asset.span),
                    ) {
                        (Some("url"), Ok(packed)) => text.extend(["s3://", bucket, "/", &packed.key]),
                        _ => text.push_str(bucket),
                    }
                }
            }
        }
        // A dynamic reference needs no substitution.
        match text.contains("${") {
            true => Term::map([("Fn::Sub", text)]),
            false => Term::String(text.into()),
        }
    }

    fn binding(&mut self, atoms: Vec<Atom>, span: Span, at: &At<'_>) -> Term {
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
                    let message = format!("the {what} of this environment is unknown");
                    self.fail(
                        Failure::new(
                            Code::UnknownTarget,
                            span,
                            message,
                            "a Kubernetes object needs it at compile time",
                        )
                        .with_help("add `aws: {account: …, region: …}` to the environment"),
                    );
                }
                Atom::Secret(secret) => self.fail(Failure::new(
                    Code::LiteralSecret,
                    secret.span,
                    "a secret cannot be part of a string in a Kubernetes object",
                    "the object would contain its value",
                )),
                Atom::Asset(asset) => self.fail(Failure::new(
                    Code::InvalidResource,
                    asset.span,
                    "an asset cannot be used in a Kubernetes object",
                    "assets are stored in the bootstrap bucket of an AWS account",
                )),
            }
        }
        self.out.bindings.push((at.path(), atoms));
        // The checks still see a late value. Its string is for messages.
        Term::Concat(vec![Term::String(shown.into())].into())
    }

    /// Returns the name of the stack parameter for a value, and adds the parameter.
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
            pascal(&instance.identity),
            logical_id(resource)
        )
        .into();
        if self.out.parameters.get(&name).is_some_and(|other| *other != late) {
            name = format!("{}{name}", pascal(instance.owner.as_str())).into();
        }
        self.out.parameters.insert(name.clone(), late);
        name
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
