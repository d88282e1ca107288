//! Renders values that are known after apply: intrinsic functions in the stack of the reader, and parameters for values from elsewhere.

use terrace_artifact::Text;
use terrace_language::expression::words::pascal;
use terrace_language::value::term::Term;

use crate::lower::attributes::Attribute;
use crate::lower::{Atom, Late, Lowering, logical_id};

impl Lowering<'_> {
    /// Renders a value with a single part.
    pub(super) fn intrinsic(&mut self, atom: Atom) -> Term {
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
        if !self.graph.same_artifact(self.at, late.resource) {
            return (self.parameter(late), None);
        }
        let id = logical_id(&self.graph.resources[late.resource]);
        match late.attribute {
            Attribute::GetAtt(name) => (id, Some(name)),
            _ => (id, None),
        }
    }

    /// Renders a string with parts that are known after apply.
    pub(super) fn substitution(&mut self, atoms: Vec<Atom>) -> Term {
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
