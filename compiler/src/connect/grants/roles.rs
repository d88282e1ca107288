//! Who acts as which role: where a type names its role, which service takes it on, and the role that is made where there is none.

use terrace_artifact::{Address, Digest, Text};

use super::super::Graph;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expand::Stated;
use crate::expression::filters::slug;
use crate::iam::trust;
use crate::resource::{Resource, ResourceKind};
use crate::term::Term;

/// A type whose resources act as a role.
pub(super) struct Runner {
    type_name: &'static str,
    /// The service that acts as the role.
    service: &'static str,
    /// Where it names the role. A place below a section counts where the section is there.
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

/// The places are those of the CloudFormation schemas, which a test compares.
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

/// A delivery stream names a role for its source, for each of its destinations, and for what each of these keeps in S3.
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

/// What the type of a resource says about its role, where it acts as one.
pub(super) fn runner_of(resource: &Resource) -> Option<&'static Runner> {
    let type_name = resource.kind.cloudformation()?;
    RUNNERS.iter().find(|runner| runner.type_name == type_name)
}

impl Runner {
    /// The places that a body has for a role: those whose section is there.
    fn places_in<'b>(&'static self, body: &'b Term) -> impl Iterator<Item = &'static [&'static str]> + 'b {
        self.places.iter().copied().filter(|place| {
            let section = &place[..place.len() - 1];
            matches!(body.at(section), Some(Term::Map(_)))
        })
    }
}

impl Graph<'_> {
    /// The roles that a resource names.
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

/// The role of who is granted something: their own, or one that is made for them.
pub(super) fn role_of(
    graph: &mut Graph<'_>,
    grant: &Stated,
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
                format!("`{}` does not act as a role", resource.address),
                format!("`{type_name}` has no role"),
            )
            .help("grant to a role, or to what runs with one: a function, a job, a state machine"),
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
                                "nothing can be granted to it".to_owned(),
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
                        format!("the role of `{}` is written out", resource.address),
                        "nothing can be granted to a role that is not a resource of this platform".to_owned(),
                    )
                    .also(resource.declared, "declared here")
                    .help("refer to a role of the module, or leave it out: then one is made"),
                );
                return None;
            }
        }
    }
    let role = match roles.as_slice() {
        [] if empty.is_empty() => {
            diagnostics.push(
                refused(
                    format!("`{}` has no place for a role", resource.address),
                    "it has neither source nor destination".to_owned(),
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
                    format!("`{}` acts as several roles", resource.address),
                    "which of them is meant?".to_owned(),
                )
                .help(format!(
                    "grant to one of them: {}",
                    crate::diagnostic::listed(names)
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

/// Sets a value at a path, all but the last part of which is there.
fn set(body: &mut Term, path: &[&str], value: &Term) {
    let Some((last, section)) = path.split_last() else {
        return;
    };
    let section = section.iter().try_fold(body, |term, key| term.get_mut(key));
    if let Some(section) = section {
        section.set(*last, value.clone());
    }
}

/// A role for a resource that names none.
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

/// The longest name of a role or user, in bytes. Source: the IAM user guide, "IAM and AWS STS quotas".
const LONGEST_NAME: usize = 64;

/// The name of a role that is made: `PLATFORM-ENVIRONMENT-TENANT-COMPONENT-RESOURCE`, with the key where the resource has one. What is
/// too long for IAM ends in the digest of the whole.
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

    /// Whether the schema of a type has a field at a path.
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
    fn every_place_of_a_role_is_a_property_of_its_type() {
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
