//! Reads declared and live templates: resources, guards and capabilities.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::types::Capability;
use terrace_artifact::{Address, ArtifactId, CloudFormationStack, Map, Segment, Text, Value};
use terrace_catalog::data_of_type;
use terrace_deployer_model::loss::holds_data;
pub(super) use terrace_deployer_model::loss::keeps;
pub(super) use terrace_deployer_model::template::{flat, references, shown};

/// Returns the resources of a template, by logical id.
pub(super) fn resources(template: &Value) -> impl Iterator<Item = (&Text, &Value)> {
    let map = template.get("Resources").and_then(Value::as_map);
    map.into_iter().flatten().map(|(id, resource)| (id, resource))
}

/// Returns the resource with a logical id.
pub(super) fn resource<'a>(template: &'a Value, logical_id: &str) -> Option<&'a Value> {
    template.at(&["Resources", logical_id])
}

/// Returns the type of a resource, such as `AWS::S3::Bucket`.
pub(super) fn resource_type(resource: &Value) -> &str {
    resource.get("Type").and_then(Value::as_str).unwrap_or_default()
}

/// Returns the address that the compiler recorded in the metadata of a resource.
pub(super) fn address(resource: &Value) -> Option<Address> {
    let address = resource.at(&["Metadata", "terrace", "address"])?;
    address.as_str()?.parse().ok()
}

/// Returns the mark in the metadata of a resource: whether it holds data.
pub(super) fn data_mark(resource: &Value) -> Option<bool> {
    match resource.at(&["Metadata", "terrace", "holds-data"])? {
        Value::Bool(mark) => Some(*mark),
        Value::String(mark) => Some(mark == "true"),
        _ => None,
    }
}

/// Returns the logical ids of the resources that hold data: by type, by mark, and by what the last release declared.
///
/// `is_ours`: only Terrace can have written this template, so its marks declare the same as a release.
pub(super) fn holding(
    template: &Value,
    released: Option<&CloudFormationStack>,
    is_ours: bool,
) -> BTreeSet<Text> {
    let holds = |(id, resource): &(&Text, &Value)| {
        let mark = data_mark(resource);
        let released = released.and_then(|stack| stack.members.get(*id));
        let released = released.map(|member| member.holds_data);
        let class = data_of_type(resource_type(resource)).class;
        holds_data(class, mark, released.or(mark.filter(|_| is_ours)))
    };
    resources(template)
        .filter(holds)
        .map(|(id, _)| id.clone())
        .collect()
}

/// Returns the artifacts that must be deleted after this stack, as the compiler recorded them in the metadata of the template.
pub(super) fn needs(template: &Value) -> BTreeSet<ArtifactId> {
    let needs = template
        .at(&["Metadata", "terrace", "needs"])
        .and_then(Value::as_list);
    needs
        .into_iter()
        .flatten()
        .filter_map(|id| serde_json::from_value(id.to_json()).ok())
        .collect()
}

/// Returns the capabilities that CloudFormation requires for this template.
pub(super) fn capabilities(template: &Value) -> Vec<Capability> {
    let mut named = false;
    let mut iam = false;
    for (_, resource) in resources(template) {
        if resource_type(resource).starts_with("AWS::IAM::") {
            iam = true;
            let properties = resource.get("Properties").and_then(Value::as_map);
            named |= properties
                .into_iter()
                .flat_map(Map::keys)
                .any(|key| key.ends_with("Name") && key != "PolicyName");
        }
    }
    let mut capabilities = Vec::new();
    if named {
        capabilities.push(Capability::CapabilityNamedIam);
    } else if iam {
        capabilities.push(Capability::CapabilityIam);
    }
    if template.get("Transform").is_some() {
        capabilities.push(Capability::CapabilityAutoExpand);
    }
    capabilities
}

/// Returns whether CloudFormation counts a change of this resource attribute as a change. It does not count the order of
/// creation, and fails a change set with such changes alone as empty. The same holds for the description, the metadata and
/// unused parameters of a template.
pub(super) fn has_effect(path: &[Segment]) -> bool {
    !matches!(path.first(), Some(Segment::Key(attribute)) if attribute == "DependsOn")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn derives_capabilities_from_the_resources() {
        let of = |resource: &str| {
            let template = value(&format!(r#"{{"Resources": {{"A": {resource}}}}}"#));
            let names: Vec<String> = capabilities(&template).iter().map(ToString::to_string).collect();
            names.join(" ")
        };
        assert_eq!(
            of(r#"{"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "q"}}"#),
            ""
        );
        assert_eq!(
            of(r#"{"Type": "AWS::IAM::Role", "Properties": {}}"#),
            "CAPABILITY_IAM"
        );
        assert_eq!(
            of(r#"{"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "p"}}"#),
            "CAPABILITY_IAM"
        );
        assert_eq!(
            of(r#"{"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r"}}"#),
            "CAPABILITY_NAMED_IAM"
        );
        assert_eq!(
            of(r#"{"Type": "AWS::IAM::ManagedPolicy", "Properties": {"ManagedPolicyName": "p"}}"#),
            "CAPABILITY_NAMED_IAM"
        );
    }
}
