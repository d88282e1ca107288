//! The attributes that `Fn::GetAtt` accepts. Usually these are the read-only properties; cfn-lint's source lists the exceptions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// The exceptions to the rule.
#[derive(Debug)]
pub(super) struct Attributes {
    /// The types whose properties are all attributes.
    all: BTreeSet<String>,
    /// The types with additional attributes.
    more: BTreeMap<String, Vec<String>>,
}

impl Attributes {
    /// Reads the exceptions from two literals in cfn-lint's `schema/_getatts.py`: a list of types, and a map of types to names.
    pub(super) fn read(path: &Path) -> Result<Attributes, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let literal = |start: &str, end: &str| {
            let (_, rest) = text
                .split_once(start)
                .ok_or_else(|| format!("{}: no `{start}`", path.display()))?;
            Ok::<_, String>(rest.split_once(end).map_or(rest, |(inside, _)| inside))
        };
        let all = quoted(literal("_all_property_types = [", "\n]")?)
            .map(str::to_owned)
            .collect();
        let mut more: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut current = String::new();
        for word in quoted(literal("_exceptions = {", "\n}")?) {
            if word.contains("::") {
                current = word.to_owned();
            } else {
                more.entry(current.clone()).or_default().push(word.to_owned());
            }
        }
        Ok(Attributes { all, more })
    }

    /// Returns the attributes of a type, with dots. A name that ends in `*` matches every name with that prefix.
    pub(super) fn of(&self, name: &str, schema: &Value, read_only: &[String]) -> Vec<String> {
        let mut attributes = Vec::new();
        match name {
            "AWS::CloudFormation::CustomResource" => attributes.push("*".to_owned()),
            "AWS::CloudFormation::Stack" => attributes.push("Outputs.*".to_owned()),
            _ if self.all.contains(name) => {
                for (property, value) in schema["properties"].as_object().into_iter().flatten() {
                    scalars(schema, value, property, &mut attributes);
                }
            }
            _ => attributes.extend(self.more.get(name).into_iter().flatten().cloned()),
        }
        for path in read_only.iter().filter(|path| !path.contains('*')) {
            let attribute = match path.as_str() {
                "Outputs" if name == "AWS::ServiceCatalog::CloudFormationProvisionedProduct" => {
                    "Outputs.*".to_owned()
                }
                _ => path.replace('/', "."),
            };
            if !attributes.contains(&attribute) {
                attributes.push(attribute);
            }
        }
        attributes
    }
}

/// Collects the paths of nested properties, down to scalars and lists of scalars.
fn scalars(schema: &Value, property: &Value, path: &str, attributes: &mut Vec<String>) {
    if let Some(reference) = property["$ref"].as_str() {
        if let Some(target) = schema.pointer(reference.trim_start_matches('#')) {
            scalars(schema, target, path, attributes);
        }
        return;
    }
    let is = |value: &Value, name: &str| {
        value["type"] == name
            || value["type"]
                .as_array()
                .is_some_and(|types| types.iter().any(|one| one == name))
    };
    if is(property, "object") {
        for (name, inner) in property["properties"].as_object().into_iter().flatten() {
            scalars(schema, inner, &format!("{path}.{name}"), attributes);
        }
    } else if !is(property, "array")
        || !["object", "array"]
            .iter()
            .any(|name| is(&property["items"], name))
    {
        attributes.push(path.to_owned());
    }
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}
