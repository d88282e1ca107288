//! Finds the roles of resources: the properties with the role, the service that assumes it, and the role that is created if there is none.

use terrace_artifact::{Address, Digest, Text};
use terrace_language::aws::iam::trust;
use terrace_language::expression::words::slug;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};

use super::super::Graph;
use crate::expand::DeclaredEdge;

/// A resource type with an execution role.
pub(super) struct Runner {
    type_name: &'static str,
    /// The service that assumes the role.
    service: &'static str,
    /// The paths of the role in the body. A path applies if its section is present.
    places: &'static [&'static [&'static str]],
}

const fn runner(
    type_name: &'static str,
    service: &'static str,
    places: &'static [&'static [&'static str]],
) -> Runner {
    Runner {
        type_name,
        service,
        places,
    }
}

/// A test compares the paths with the CloudFormation schemas.
const RUNNERS: [Runner; 7] = [
    runner("AWS::Lambda::Function", "lambda.amazonaws.com", &[&["Role"]]),
    runner("AWS::Glue::Job", "glue.amazonaws.com", &[&["Role"]]),
    runner("AWS::Glue::Crawler", "glue.amazonaws.com", &[&["Role"]]),
    runner(
        "AWS::Glue::TableOptimizer",
        "glue.amazonaws.com",
        &[&["TableOptimizerConfiguration", "RoleArn"]],
    ),
    runner(
        "AWS::StepFunctions::StateMachine",
        "states.amazonaws.com",
        &[&["RoleArn"]],
    ),
    runner(
        "AWS::Scheduler::Schedule",
        "scheduler.amazonaws.com",
        &[&["Target", "RoleArn"]],
    ),
    runner(
        "AWS::KinesisFirehose::DeliveryStream",
        "firehose.amazonaws.com",
        DELIVERY_STREAM,
    ),
];

/// The paths of roles in a delivery stream: for the source, for each destination, and for the S3 configuration of each.
const DELIVERY_STREAM: &[&[&str]] = &[
    &["KinesisStreamSourceConfiguration", "RoleARN"],
    &["MSKSourceConfiguration", "AuthenticationConfiguration", "RoleARN"],
    &["ExtendedS3DestinationConfiguration", "RoleARN"],
    &[
        "ExtendedS3DestinationConfiguration",
        "S3BackupConfiguration",
        "RoleARN",
    ],
    &[
        "ExtendedS3DestinationConfiguration",
        "DataFormatConversionConfiguration",
        "SchemaConfiguration",
        "RoleARN",
    ],
    &["S3DestinationConfiguration", "RoleARN"],
    &["IcebergDestinationConfiguration", "RoleARN"],
    &["IcebergDestinationConfiguration", "S3Configuration", "RoleARN"],
    &["RedshiftDestinationConfiguration", "RoleARN"],
    &["RedshiftDestinationConfiguration", "S3Configuration", "RoleARN"],
    &[
        "RedshiftDestinationConfiguration",
        "S3BackupConfiguration",
        "RoleARN",
    ],
    &["AmazonopensearchserviceDestinationConfiguration", "RoleARN"],
    &[
        "AmazonopensearchserviceDestinationConfiguration",
        "S3Configuration",
        "RoleARN",
    ],
    &[
        "AmazonopensearchserviceDestinationConfiguration",
        "VpcConfiguration",
        "RoleARN",
    ],
    &["AmazonOpenSearchServerlessDestinationConfiguration", "RoleARN"],
    &[
        "AmazonOpenSearchServerlessDestinationConfiguration",
        "S3Configuration",
        "RoleARN",
    ],
    &[
        "AmazonOpenSearchServerlessDestinationConfiguration",
        "VpcConfiguration",
        "RoleARN",
    ],
    &["SnowflakeDestinationConfiguration", "RoleARN"],
    &["SnowflakeDestinationConfiguration", "S3Configuration", "RoleARN"],
    &["SplunkDestinationConfiguration", "S3Configuration", "RoleARN"],
    &["HttpEndpointDestinationConfiguration", "RoleARN"],
    &[
        "HttpEndpointDestinationConfiguration",
        "S3Configuration",
        "RoleARN",
    ],
];

/// Returns the runner of the type of a resource, if it has a role.
pub(super) fn runner_of(resource: &Resource) -> Option<&'static Runner> {
    let type_name = resource.kind.cloudformation()?;
    RUNNERS.iter().find(|runner| runner.type_name == type_name)
}

impl Runner {
    /// Returns the paths of roles whose section is present in a body.
    fn places_in<'b>(&'static self, body: &'b Term) -> impl Iterator<Item = &'static [&'static str]> + 'b {
        self.places.iter().copied().filter(|place| {
            let section = &place[..place.len() - 1];
            matches!(body.at(section), Some(Term::Map(_)))
        })
    }
}

impl Graph<'_> {
    /// Returns the roles that a resource names.
    pub(in crate::connect) fn roles_named_by(&self, resource: &Resource) -> Vec<usize> {
        let Some(runner) = runner_of(resource) else {
            return Vec::new();
        };
        let named = runner
            .places_in(&resource.body)
            .filter_map(|place| match resource.body.at(place)? {
                Term::Reference(reference) => self.follow(resource.instance, reference),
                _ => None,
            });
        named.collect()
    }

    pub(super) fn is_role(&self, at: usize) -> bool {
        self.resources[at].kind.cloudformation() == Some("AWS::IAM::Role")
    }
}

/// The label of a grantee whose role is not a resource.
const NOT_GRANTABLE: &str = "permissions cannot be granted to this role";

/// Returns the role of the grantee: its own, or one that is created for it.
pub(super) fn role_of(
    graph: &mut Graph<'_>,
    grant: &DeclaredEdge,
    who: usize,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    if graph.is_role(who) {
        return Some(who);
    }
    let resource = &graph.resources[who];
    let refused = |message: String, label: String| {
        Diagnostic::new(Code::InvalidGrant, message).at(graph.word(grant, "who"), label)
    };
    let Some(runner) = runner_of(resource) else {
        let type_name = resource.kind.cloudformation().unwrap_or_default();
        diagnostics.push(
            refused(
                format!("permissions cannot be granted to `{}`", resource.address),
                format!("`{type_name}` has no execution role"),
            )
            .help("grant the permission to a role, or to a resource that has one, such as a function, a job or a state machine"),
        );
        return None;
    };
    let mut roles: Vec<usize> = Vec::new();
    let mut empty: Vec<&[&str]> = Vec::new();
    for place in runner.places_in(&resource.body) {
        match resource.body.at(place) {
            None => empty.push(place),
            Some(Term::Reference(reference)) => {
                match graph
                    .follow(resource.instance, reference)
                    .filter(|at| graph.is_role(*at))
                {
                    Some(role) if roles.contains(&role) => {}
                    Some(role) => roles.push(role),
                    None => {
                        diagnostics.push(
                            refused(
                                format!(
                                    "the role of `{}` is not a resource of this platform",
                                    resource.address
                                ),
                                NOT_GRANTABLE.to_owned(),
                            )
                            .also(reference.span, "its role"),
                        );
                        return None;
                    }
                }
            }
            Some(_) => {
                diagnostics.push(
                    refused(
                        format!(
                            "the role of `{}` is not a resource of this platform",
                            resource.address
                        ),
                        NOT_GRANTABLE.to_owned(),
                    )
                    .also(resource.declared, "declared here")
                    .help("refer to a role of the module, or remove the role, so that Terrace creates one"),
                );
                return None;
            }
        }
    }
    let role = match roles.as_slice() {
        [] if empty.is_empty() => {
            diagnostics.push(
                refused(
                    format!("`{}` does not use a role", resource.address),
                    "has neither source nor destination".to_owned(),
                )
                .also(resource.declared, "declared here"),
            );
            return None;
        }
        [] => make_role(graph, who, runner.service),
        [role] => *role,
        [..] => {
            let names = roles.iter().map(|at| graph.resources[*at].address.to_string());
            diagnostics.push(
                refused(
                    format!("`{}` uses several roles", resource.address),
                    "ambiguous role".to_owned(),
                )
                .help(format!(
                    "name one of these roles in `who`: {}",
                    terrace_syntax::diagnostic::listed(names)
                )),
            );
            return None;
        }
    };
    let arn = graph.resources[role].attribute("arn", graph.resources[who].declared);
    for place in empty {
        set(&mut graph.resources[who].body, place, &arn);
    }
    Some(role)
}

/// Sets a value at a path whose section is present.
fn set(body: &mut Term, path: &[&str], value: &Term) {
    let Some((last, section)) = path.split_last() else {
        return;
    };
    let section = section.iter().try_fold(body, |term, key| term.get_mut(key));
    if let Some(section) = section {
        section.set(*last, value.clone());
    }
}

/// Creates a role for a resource without one.
fn make_role(graph: &mut Graph<'_>, who: usize, service: &str) -> usize {
    let resource = &graph.resources[who];
    let span = resource.declared;
    let name: Text = format!("{}_role", resource.address.resource).into();
    let address = Address {
        resource: name,
        ..resource.address.clone()
    };
    let body = Term::map([
        (
            "RoleName",
            Term::from(role_name(graph, &resource.address, resource.instance)),
        ),
        ("AssumeRolePolicyDocument", trust(service, Vec::new(), span)),
    ]);
    let role = Resource {
        body,
        kind: ResourceKind::CloudFormation("AWS::IAM::Role".into()),
        depends_on: Vec::new(),
        attributes: Vec::new(),
        holds_data: false,
        granted_only: false,
        part: resource.part,
        declared: span,
        instance: resource.instance,
        address,
    };
    graph.push(role)
}

/// The maximum length of the name of a role or user, in bytes. Source: the IAM user guide, "IAM and AWS STS quotas".
const LONGEST_NAME: usize = 64;

/// Returns the name of a role that Terrace creates: `PLATFORM-ENVIRONMENT-TENANT-COMPONENT-RESOURCE`, with the key if the resource has one. A
/// name that is too long for IAM is shortened and ends in a digest of the whole name.
pub(in crate::connect) fn role_name(graph: &Graph<'_>, address: &Address, instance: usize) -> String {
    let mut name = format!("{}-{}", graph.instances[instance].name, slug(&address.resource));
    if let Some(key) = &address.key {
        name.push('-');
        name.push_str(&slug(key));
    }
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let digest = Digest::of_bytes(name.as_bytes()).to_string();
    let kept: String = name.chars().take(LONGEST_NAME - 9).collect();
    format!("{kept}-{}", &digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether the schema of a type has a field at a path.
    fn has_field(type_name: &str, path: &[&str]) -> bool {
        let resource_type = terrace_catalog::cloudformation(type_name).expect("the type exists");
        let (nodes, root) = resource_type.nodes();
        let mut at = root;
        path.iter().all(|name| match nodes[at as usize].field(name) {
            Some(field) => {
                at = field.node;
                true
            }
            None => false,
        })
    }

    #[test]
    fn every_path_of_a_role_is_a_property_of_its_type() {
        for runner in &RUNNERS {
            for place in runner.places {
                assert!(
                    has_field(runner.type_name, place),
                    "{} has no {place:?}",
                    runner.type_name
                );
            }
        }
    }
}
