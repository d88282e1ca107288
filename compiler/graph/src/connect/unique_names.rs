//! Checks that names are unique in their target and not too long.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};
use terrace_artifact::Text;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};

use super::Graph;
use crate::lower::attributes::name_property;
use crate::lower::logical_id;

/// The maximum length of the name of a CloudFormation stack.
const LONGEST_STACK: usize = 128;

impl Graph<'_> {
    /// Reports names of two resources, missing targets, and stack names that are too long.
    pub fn check_names(&self, diagnostics: &mut Diagnostics) {
        let mut names: HashMap<(Option<&Text>, Name<'_>), usize> =
            HashMap::with_capacity(self.resources.len() * 2);
        let mut stacks: BTreeMap<(Option<&Text>, Text), usize> = BTreeMap::new();
        let mut stack_before = None;
        for (at, resource) in self.resources.iter().enumerate() {
            let instance = &self.instances[resource.instance];
            let (target, what) = match &resource.kind {
                ResourceKind::Kubernetes { .. } => (instance.cluster.as_ref(), "cluster"),
                ResourceKind::CloudFormation(_) => (instance.account.as_ref(), "AWS account"),
            };
            if target.is_none() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::UnknownTarget,
                        format!("component `{}` has no {what} in this environment", instance.component),
                    )
                    .at(instance.declared, format!("creates `{}`", resource.address))
                    .help(match what {
                        "cluster" => "add `kubernetes:` to the environment, select one of its clusters with `on: NAME`, or exclude the environment with `environments:`",
                        _ => "add `aws:` to the environment, select one of its accounts with `on: NAME`, or exclude the environment with `environments:`",
                    }),
                );
                continue;
            }
            self.names_of(resource, |name| {
                if let Some(other) = names.insert((target, name.clone()), at) {
                    self.collision(&name, other, at, diagnostics);
                }
            });
            // The resources of one stack are adjacent, so its name is composed once.
            let stack = Some((resource.instance, resource.part));
            if matches!(resource.kind, ResourceKind::CloudFormation(_)) && stack != stack_before {
                stack_before = stack;
                let stack = stacks
                    .entry((target, instance.stack_name(resource.part)))
                    .or_insert(at);
                if self.resources[*stack].instance != resource.instance {
                    self.one_stack(*stack, at, diagnostics);
                    *stack = at;
                }
            }
        }
        for ((_, name), at) in stacks {
            if name.len() > LONGEST_STACK {
                diagnostics.push(
                    Diagnostic::new(
                        Code::NameTooLong,
                        format!("the name of the CloudFormation stack is {} characters long", name.len()),
                    )
                    .at(self.instances[self.resources[at].instance].declared, "stack of this component")
                    .note(format!("`{name}` contains the names of the platform, environment, tenant and component; the maximum is {LONGEST_STACK} characters")),
                );
            }
        }
    }

    /// Reports two components whose CloudFormation stacks have the same name: `a-b` of the tenant `c`, and `b` of `c-a`.
    fn one_stack(&self, first: usize, second: usize, diagnostics: &mut Diagnostics) {
        let instance = |at: usize| &self.instances[self.resources[at].instance];
        let (other, one) = (instance(first), instance(second));
        let name = one.stack_name(self.resources[second].part);
        diagnostics.push(
            Diagnostic::new(
                Code::NameCollision,
                format!(
                    "the CloudFormation stacks of `{}/{}` and `{}/{}` resolve to the same name",
                    other.owner, other.component, one.owner, one.component
                ),
            )
            .at(one.declared, format!("its stack is `{}`", shown(&name)))
            .also(other.declared, "has a stack with the same name")
            .help("rename one of the two"),
        );
    }

    fn collision(&self, name: &Name<'_>, first: usize, second: usize, diagnostics: &mut Diagnostics) {
        let (other, resource) = (&self.resources[first], &self.resources[second]);
        // Logical IDs are derived from keys, not written by the user.
        let made = matches!(name, Name::Logical(..));
        let word = shown(name.word());
        let is = match made {
            true => format!("logical ID `{word}`"),
            false => format!("is named `{word}`"),
        };
        let mut diagnostic = Diagnostic::new(
            Code::NameCollision,
            format!(
                "`{}` and `{}` resolve to the same name",
                other.address, resource.address
            ),
        )
        .at(resource.declared, is);
        // If one line declares both, it is shown once. The addresses tell them apart.
        let together = other.declared == resource.declared;
        if !together {
            diagnostic = diagnostic.also(other.declared, "has the same name");
        }
        let diagnostic = match made {
            true => diagnostic
                .note("Terrace derives logical IDs from keys without `-` and `_`, so `a-b`, `a_b` and `aB` have the same logical ID")
                .help("change one of the two keys"),
            false => diagnostic.help(format!("add {} to the name", difference(other, resource))),
        };
        diagnostics.push(self.located(resource, diagnostic));
    }

    /// Calls `give` with every name of a resource that must be unique in its target.
    fn names_of<'a>(&self, resource: &'a Resource, mut give: impl FnMut(Name<'a>)) {
        match &resource.kind {
            ResourceKind::Kubernetes { .. } => {
                if let Some((group, kind, namespace, name)) = object_identity(resource, &resource.body) {
                    give(Name::Object(group, kind, namespace, name));
                }
            }
            ResourceKind::CloudFormation(type_name) => {
                give(Name::Logical(resource.instance, logical_id(resource)));
                let property = unique_in_account(type_name)
                    .then(|| terrace_catalog::cloudformation(type_name))
                    .flatten()
                    .and_then(|t| name_property(type_name, t));
                let name = property.and_then(|property| resource.body.get(property));
                if let Some(name) = name.and_then(Term::as_str) {
                    give(Name::InAccount(type_name, name));
                }
            }
        }
    }
}

/// Returns the identity of an object in a cluster: group, kind, namespace (empty for a cluster-scoped object) and name. Returns `None` for a
/// CloudFormation resource, and if the name is not known at compile time.
pub fn object_identity<'a>(
    resource: &'a Resource,
    body: &'a Term,
) -> Option<(&'a str, &'a str, &'a str, &'a str)> {
    let ResourceKind::Kubernetes { api_version, kind } = &resource.kind else {
        return None;
    };
    let metadata = |key: &str| body.at(&["metadata", key]).and_then(Term::as_str);
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    Some((
        group,
        kind,
        metadata("namespace").unwrap_or_default(),
        metadata("name")?,
    ))
}

/// Returns an expression or a suffix that makes two names differ.
fn difference(one: &Resource, other: &Resource) -> &'static str {
    let (one, other) = (&one.address, &other.address);
    if one.owner != other.owner {
        "`{{ tenant.name }}`"
    } else if one.component != other.component {
        "`{{ component.name }}`"
    } else if one.resource == other.resource {
        "`{{ each.key }}`"
    } else {
        "a distinguishing suffix"
    }
}

/// A name that must be unique in a target.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Name<'a> {
    /// Group, kind, namespace and name of an object.
    Object(&'a str, &'a str, &'a str, &'a str),
    /// The logical ID in the stack of an instance.
    Logical(usize, Text),
    /// The type, and the name that is unique in an account.
    InAccount(&'a str, &'a str),
}

impl Name<'_> {
    fn word(&self) -> &str {
        match self {
            Name::Object(.., name) | Name::InAccount(_, name) => name,
            Name::Logical(_, id) => id,
        }
    }
}

/// Types whose names are unique in an account (or, for buckets, anywhere).
fn unique_in_account(type_name: &str) -> bool {
    const TYPES: [&str; 18] = [
        "AWS::Athena::WorkGroup",
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::DynamoDB::Table",
        "AWS::Events::Rule",
        "AWS::Glue::Crawler",
        "AWS::Glue::Database",
        "AWS::Glue::Job",
        "AWS::IAM::Role",
        "AWS::KMS::Alias",
        "AWS::Kinesis::Stream",
        "AWS::Lambda::Function",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
        "AWS::Scheduler::ScheduleGroup",
        "AWS::StepFunctions::StateMachine",
    ];
    TYPES.contains(&type_name)
}
