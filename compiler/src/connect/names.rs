//! Composed names: unique in their target, and short enough.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};
use terrace_artifact::Text;

use super::Graph;
use super::attribute::name_property;
use super::lower::logical_id;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, shown};
use crate::resource::{Resource, ResourceKind};
use crate::term::Term;

/// The longest name of a CloudFormation stack.
const LONGEST_STACK: usize = 128;

impl Graph<'_> {
    /// Reports names that two resources have, targets that are missing, and stacks whose names are too long.
    pub(crate) fn check_names(&self, diagnostics: &mut Diagnostics) {
        let mut names: HashMap<(Option<&Text>, Name<'_>), usize> =
            HashMap::with_capacity(self.resources.len() * 2);
        let mut stacks: BTreeMap<(Option<&Text>, Text), usize> = BTreeMap::new();
        let mut stack_before = None;
        for (at, resource) in self.resources.iter().enumerate() {
            let instance = &self.instances[resource.instance];
            let (target, what) = match &resource.kind {
                ResourceKind::Kubernetes { .. } => (instance.cluster.as_ref(), "a cluster"),
                ResourceKind::CloudFormation(_) => (instance.account.as_ref(), "an account"),
            };
            if target.is_none() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::UnknownTarget,
                        format!("`{}` needs {what}, and its environment has none to choose", instance.component),
                    )
                    .at(instance.declared, format!("it makes `{}`", resource.address))
                    .help(match what {
                        "a cluster" => "give the environment `kubernetes:`, say `on: NAME` where it has several, or keep the component out with `environments:`",
                        _ => "give the environment `aws:`, say `on: NAME` where it has several, or keep the component out with `environments:`",
                    }),
                );
                continue;
            }
            self.names_of(resource, |name| {
                if let Some(other) = names.insert((target, name.clone()), at) {
                    self.collision(&name, other, at, diagnostics);
                }
            });
            // The resources of one stack come one after the other: its name is composed once.
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
                    .at(self.instances[self.resources[at].instance].declared, "this component's stack")
                    .note(format!("`{name}` is composed of platform, environment, tenant and component; {LONGEST_STACK} are allowed")),
                );
            }
        }
    }

    /// Two components whose CloudFormation stacks come to have one name: `a-b` of the tenant `c`, and `b` of `c-a`.
    fn one_stack(&self, first: usize, second: usize, diagnostics: &mut Diagnostics) {
        let instance = |at: usize| &self.instances[self.resources[at].instance];
        let (other, one) = (instance(first), instance(second));
        let name = one.stack_name(self.resources[second].part);
        diagnostics.push(
            Diagnostic::new(
                Code::NameCollision,
                format!(
                    "the CloudFormation stacks of `{}/{}` and `{}/{}` come to have one name",
                    other.tenant, other.component, one.tenant, one.component
                ),
            )
            .at(one.declared, format!("its stack is `{}`", shown(&name)))
            .also(other.declared, "and so is one of this")
            .help("give one of the two another name"),
        );
    }

    fn collision(&self, name: &Name<'_>, first: usize, second: usize, diagnostics: &mut Diagnostics) {
        let (other, resource) = (&self.resources[first], &self.resources[second]);
        // Nobody writes logical ids: they are made of keys.
        let made = matches!(name, Name::Logical(..));
        let word = shown(name.word());
        let is = match made {
            true => format!("is `{word}` in the template"),
            false => format!("is named `{word}`"),
        };
        let mut diagnostic = Diagnostic::new(
            Code::NameCollision,
            format!(
                "`{}` and `{}` come to have one name",
                other.address, resource.address
            ),
        )
        .at(resource.declared, is);
        // What one line makes for several is marked once: the addresses say for whom.
        let together = other.declared == resource.declared;
        if !together {
            diagnostic = diagnostic.also(other.declared, "and so is this");
        }
        let told_apart = what_tells_apart(other, resource);
        let diagnostic = match (made, together) {
            (true, _) => diagnostic
                .note("logical ids are made of keys, and know no `-` and `_`: `a-b`, `a_b` and `aB` are one there")
                .help("give one of the two another key"),
            (false, true) => diagnostic.help(format!("put {told_apart} into the name")),
            (false, false) => {
                diagnostic.help(format!("put what tells them apart into the name: {told_apart}"))
            }
        };
        diagnostics.push(self.located(resource, diagnostic));
    }

    /// Gives everything by which a resource must be unique in its target.
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

/// What only one object of a cluster may have: group, kind, namespace (empty for a cluster-scoped object) and name. None for a
/// CloudFormation resource, and where the name is not known at compile time.
pub(crate) fn object_identity<'a>(
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

/// What would make two names differ, as an expression.
fn what_tells_apart(one: &Resource, other: &Resource) -> &'static str {
    let (one, other) = (&one.address, &other.address);
    if one.tenant != other.tenant {
        "`{{ tenant.name }}`"
    } else if one.component != other.component {
        "`{{ component.name }}`"
    } else if one.resource == other.resource {
        "`{{ each.key }}`"
    } else {
        "what each is for"
    }
}

/// Something that only one resource of a target may have.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Name<'a> {
    /// Group, kind, namespace and name of an object.
    Object(&'a str, &'a str, &'a str, &'a str),
    /// The logical id in the stack of an instance.
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
