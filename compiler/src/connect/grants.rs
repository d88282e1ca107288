//! Stated edges become permissions: the least of IAM and RBAC that lets the edge work, and nothing else.

use std::collections::BTreeMap;

use terrace_artifact::{Address, Text};

use super::meanings::{MEANINGS, SAME};
use super::rbac::role_based;
use super::{Found, Graph};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, listed};
use crate::expand::Stated;
use crate::expression::filters::{pascal, slug};
use crate::resource::{Resource, ResourceKind};
use crate::source::Span;
use crate::term::{Reference, Term};

/// Where a resource keeps its role, by type.
const ROLES: [(&str, &str, &str); 6] = [
    ("AWS::Lambda::Function", "Role", "lambda.amazonaws.com"),
    ("AWS::Glue::Job", "Role", "glue.amazonaws.com"),
    ("AWS::Glue::Crawler", "Role", "glue.amazonaws.com"),
    (
        "AWS::StepFunctions::StateMachine",
        "RoleArn",
        "states.amazonaws.com",
    ),
    ("AWS::Scheduler::Schedule", "RoleArn", "scheduler.amazonaws.com"),
    (
        "AWS::KinesisFirehose::DeliveryStream",
        "RoleARN",
        "firehose.amazonaws.com",
    ),
];

/// Where a type keeps the key it is encrypted with.
const KEYS: [(&str, &[&str]); 4] = [
    ("AWS::Kinesis::Stream", &["StreamEncryption", "KeyId"]),
    ("AWS::SQS::Queue", &["KmsMasterKeyId"]),
    ("AWS::SNS::Topic", &["KmsMasterKeyId"]),
    ("AWS::DynamoDB::Table", &["SSESpecification", "KMSMasterKeyId"]),
];

/// Statements for one role, in the order in which they were stated.
#[derive(Default)]
struct Policy {
    statements: Vec<(Text, Vec<&'static str>, Vec<Term>)>,
    declared: Option<Span>,
}

/// Makes policies, roles and bindings of what was stated.
pub(super) fn lower(
    graph: &mut Graph<'_>,
    grants: &[Stated],
    diagnostics: &mut Diagnostics,
) -> Vec<Resource> {
    let mut policies: BTreeMap<usize, Policy> = BTreeMap::new();
    let mut made = Vec::new();
    if grants.is_empty() {
        return made;
    }
    let namespaces = graph.created_namespaces();
    for grant in grants {
        let text = |key: &str| {
            grant
                .value
                .get(key)
                .and_then(Term::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (Some(who), Some(on)) = (
            party(graph, grant, "who", diagnostics),
            party(graph, grant, "on", diagnostics),
        ) else {
            continue;
        };
        let may = text("may");
        if graph.resources[who].kind.kubernetes().is_some() {
            made.extend(role_based(graph, &namespaces, grant, who, on, &may, diagnostics));
            continue;
        }
        let Some(role) = role_of(graph, grant, who, diagnostics) else {
            continue;
        };
        if !in_one_account(graph, grant, role, on, diagnostics) {
            continue;
        }
        let policy = policies.entry(role).or_default();
        policy.declared.get_or_insert(grant.span);
        statements(graph, grant, on, &may, policy, diagnostics);
    }
    for (role, policy) in policies {
        if !policy.statements.is_empty() {
            made.push(policy_resource(graph, role, &policy));
        }
    }
    order_event_sources(graph, &made);
    made
}

/// Whether both sides of a grant are in one account. Across accounts the other side has to allow it as well.
fn in_one_account(
    graph: &Graph<'_>,
    grant: &Stated,
    role: usize,
    on: usize,
    diagnostics: &mut Diagnostics,
) -> bool {
    let account = |at: usize| graph.places[graph.resources[at].instance].account.as_ref();
    if account(role) == account(on) {
        return true;
    }
    diagnostics.push(
        Diagnostic::new(
            Code::InvalidGrant,
            format!(
                "`{}` is in another account than `{}`",
                graph.resources[on].address, graph.resources[role].address
            ),
        )
        .at(
            graph.word(grant, "on"),
            "its own policy would have to allow it, too",
        )
        .help(
            "grants across accounts are not in this version: write the policies of both sides as resources",
        ),
    );
    false
}

/// The resource that one side of a grant names.
pub(super) fn party(
    graph: &Graph<'_>,
    stated: &Stated,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let reference = match stated.value.get(key)? {
        Term::Reference(reference) => reference.as_ref().clone(),
        Term::String(name) => named(name, graph.word(stated, key)),
        other => {
            diagnostics.push(
                Diagnostic::new(Code::InvalidGrant, format!("`{key}` has to name a resource"))
                    .at(graph.word(stated, key), format!("this is {}", other.kind())),
            );
            return None;
        }
    };
    match graph.find(stated.instance, &reference) {
        Ok(Found::Resource(at)) => Some(at),
        Ok(Found::Component(component)) => match graph.follow(stated.instance, &reference) {
            Some(at) => Some(at),
            None => {
                let outputs = graph.instances[component]
                    .outputs
                    .iter()
                    .map(|(name, _)| name.as_str());
                diagnostics.push(
                    Diagnostic::new(
                        Code::InvalidGrant,
                        format!("`{}` is a component, not a resource", reference.name),
                    )
                    .at(
                        graph.word(stated, key),
                        format!("`{key}` has to be one of its resources"),
                    )
                    .help(match outputs.len() {
                        0 => "it has no output that could be named".to_owned(),
                        _ => format!("name an output that is a resource: {}", listed(outputs)),
                    }),
                );
                None
            }
        },
        Err(failure) => {
            diagnostics.push(failure.diagnostic());
            None
        }
    }
}

/// A name without an expression around it: `consumer`, `bucket["raw"]`, `ref('x')`.
pub(super) fn named(text: &str, span: Span) -> Reference {
    let quotes: &[char] = &['\'', '"', ' '];
    if let Some(inner) = text.strip_prefix("ref(").and_then(|rest| rest.split_once(')')) {
        let (arguments, path) = inner;
        let mut arguments = arguments.split(',').map(|argument| argument.trim_matches(quotes));
        let name = arguments.next().unwrap_or_default().into();
        let path = path
            .split('.')
            .filter(|part| !part.is_empty())
            .map(Text::from)
            .collect();
        return Reference {
            name,
            key: arguments.next().map(Into::into),
            path,
            local: true,
            span,
        };
    }
    let (name, key) = match text.split_once('[') {
        Some((name, key)) => (name, Some(key.trim_end_matches(']').trim_matches(quotes).into())),
        None => (text, None),
    };
    Reference {
        name: name.into(),
        key,
        path: Vec::new(),
        local: true,
        span,
    }
}

/// The role of who is granted something: their own, or one that is made for them.
fn role_of(
    graph: &mut Graph<'_>,
    grant: &Stated,
    who: usize,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let resource = &graph.resources[who];
    let type_name = resource.kind.cloudformation().unwrap_or_default();
    if type_name == "AWS::IAM::Role" {
        return Some(who);
    }
    let Some((_, property, service)) = ROLES.iter().find(|(name, ..)| *name == type_name) else {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!("`{}` acts for nobody", resource.address),
            )
            .at(graph.word(grant, "who"), format!("`{type_name}` has no role"))
            .help("grant to a role, or to what runs with one: a function, a job, a state machine"),
        );
        return None;
    };
    match resource.body.get(property) {
        Some(Term::Reference(reference)) => {
            let role = graph.follow(resource.instance, reference);
            let is_role = |at: &usize| graph.resources[*at].kind.cloudformation() == Some("AWS::IAM::Role");
            if role.as_ref().is_none_or(|at| !is_role(at)) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::InvalidGrant,
                        format!(
                            "the role of `{}` is not a resource of this platform",
                            resource.address
                        ),
                    )
                    .at(graph.word(grant, "who"), "nothing can be granted to it")
                    .also(reference.span, "its role"),
                );
            }
            role.filter(is_role)
        }
        Some(_) => {
            diagnostics.push(
                Diagnostic::new(
                    Code::InvalidGrant,
                    format!("the role of `{}` is written out", resource.address),
                )
                .at(
                    graph.word(grant, "who"),
                    "nothing can be granted to a role that is not a resource of this platform",
                )
                .also(resource.declared, "declared here")
                .help("refer to a role of the module, or leave it out: then one is made"),
            );
            None
        }
        None => Some(make_role(graph, who, property, service)),
    }
}

/// A role for a resource that names none.
fn make_role(graph: &mut Graph<'_>, who: usize, property: &'static str, service: &str) -> usize {
    let resource = &graph.resources[who];
    let instance = &graph.instances[resource.instance];
    let name: Text = format!("{}_role", resource.address.resource).into();
    let address = Address {
        resource: name,
        ..resource.address.clone()
    };
    let mut role_name = format!("{}-{}", instance.name, slug(&resource.address.resource));
    if let Some(key) = &resource.address.key {
        role_name.push_str(&format!("-{}", slug(key)));
    }
    let trust = Term::map([
        ("Version", Term::from("2012-10-17")),
        (
            "Statement",
            Term::list([Term::map([
                ("Effect", Term::from("Allow")),
                ("Principal", Term::map([("Service", service)])),
                ("Action", "sts:AssumeRole".into()),
            ])]),
        ),
    ]);
    let body = Term::map([
        ("RoleName", Term::from(role_name)),
        ("AssumeRolePolicyDocument", trust),
    ]);
    let role = Resource {
        body,
        kind: ResourceKind::CloudFormation("AWS::IAM::Role".into()),
        depends_on: Vec::new(),
        attributes: Vec::new(),
        holds_data: false,
        part: resource.part,
        declared: resource.declared,
        instance: resource.instance,
        address: address.clone(),
    };
    let span = resource.declared;
    let reference = Reference {
        name: address.to_string().into(),
        key: None,
        path: vec!["arn".into()],
        local: false,
        span,
    };
    graph.resources[who].body.set(property, reference);
    graph.push(role)
}

fn statements(
    graph: &Graph<'_>,
    grant: &Stated,
    on: usize,
    may: &str,
    policy: &mut Policy,
    diagnostics: &mut Diagnostics,
) {
    let target = &graph.resources[on];
    let type_name = target.kind.cloudformation().unwrap_or_default();
    let of_type = || MEANINGS.iter().filter(|meaning| meaning.type_name == type_name);
    let exact = of_type().find(|meaning| meaning.may == may);
    let alike = || {
        of_type().find(|m| {
            SAME.iter()
                .any(|(word, others)| *word == m.may && others.contains(&may))
        })
    };
    let Some(meaning) = exact.or_else(alike) else {
        let words: Vec<&str> = of_type().map(|meaning| meaning.may).collect();
        let kind = target
            .kind
            .cloudformation()
            .or(target.kind.kubernetes())
            .unwrap_or_default();
        let diagnostic = Diagnostic::new(Code::InvalidGrant, format!("`{may}` means nothing for `{kind}`"))
            .at(graph.word(grant, "may"), format!("on `{}`", target.address));
        diagnostics.push(match words.is_empty() {
            true => {
                diagnostic.help("grants on this type are not in this version: write the policy as a resource")
            }
            false => diagnostic
                .nearest(graph.word(grant, "may"), may, words.iter().copied())
                .help(format!("on this type one may {}", listed(&words))),
        });
        return;
    };
    let arn = |suffix: &str| {
        let span = grant.span;
        let reference = Reference {
            name: target.address.to_string().into(),
            key: None,
            path: vec!["arn".into()],
            local: false,
            span,
        };
        if suffix.is_empty() {
            reference.into()
        } else {
            Term::Concat(vec![reference.into(), suffix.into()].into())
        }
    };
    let prefix = grant.value.get("prefix").and_then(Term::as_str);
    if prefix.is_some() && type_name != "AWS::S3::Bucket" {
        diagnostics.push(
            Diagnostic::new(Code::InvalidGrant, format!("`{}` has no parts", target.address))
                .at(graph.word(grant, "prefix"), "only a bucket has a `prefix`")
                .help("take `prefix` away"),
        );
    }
    let inner_suffix = match (prefix, type_name) {
        (Some(prefix), "AWS::S3::Bucket") => format!("/{}*", prefix.trim_start_matches('/')),
        _ => meaning.suffix.to_owned(),
    };
    let word = pascal(may);
    let name = format!(
        "{}{}",
        pascal(graph.identity(target)),
        super::lower::logical_id(target)
    );
    if let Some(arns) = super::catalog::arns(graph, target, grant.span) {
        policy.add(format!("{word}{name}"), meaning.actions, arns);
    } else if type_name == "AWS::Glue::Table" {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!("the database of `{}` is not known", target.address),
            )
            .at(
                graph.word(grant, "on"),
                "a right on a table is one on its database too",
            )
            .also(target.declared, "declared here")
            .help("refer to the database: `DatabaseName: \"{{ ref('DATABASE') }}\"`"),
        );
    } else if meaning.actions == meaning.inner {
        policy.add(
            format!("{word}{name}"),
            meaning.actions,
            vec![arn(""), arn(&inner_suffix)],
        );
    } else {
        if !meaning.actions.is_empty() {
            let inner = if meaning.inner.is_empty() { "" } else { "Itself" };
            policy.add(format!("{word}{name}{inner}"), meaning.actions, vec![arn("")]);
        }
        if !meaning.inner.is_empty() {
            policy.add(format!("{word}{name}"), meaning.inner, vec![arn(&inner_suffix)]);
        }
    }
    if let Some(key) = key_of(graph, target) {
        let key = &graph.resources[key];
        let span = grant.span;
        let reference = Reference {
            name: key.address.to_string().into(),
            key: None,
            path: vec!["arn".into()],
            local: false,
            span,
        };
        let reads = matches!(meaning.may, "read" | "receive");
        let actions: &[&str] = if reads {
            &["kms:Decrypt"]
        } else {
            &["kms:Decrypt", "kms:GenerateDataKey*"]
        };
        let word = if reads { "Decrypt" } else { "Encrypt" };
        let name = format!(
            "{word}With{}{}",
            pascal(graph.identity(key)),
            super::lower::logical_id(key)
        );
        policy.add(name, actions, vec![reference.into()]);
    }
}

impl Policy {
    fn add(&mut self, sid: String, actions: &[&'static str], resources: Vec<Term>) {
        let same = self.statements.iter_mut().find(|(other, ..)| *other == sid);
        match same {
            Some((_, _, known)) => {
                for resource in resources {
                    if !known.contains(&resource) {
                        known.push(resource);
                    }
                }
            }
            None => self.statements.push((sid.into(), actions.to_vec(), resources)),
        }
    }
}

/// The key that a resource is encrypted with, where it is a resource of this platform.
pub(crate) fn key_of(graph: &Graph<'_>, target: &Resource) -> Option<usize> {
    let type_name = target.kind.cloudformation()?;
    let term = if type_name == "AWS::S3::Bucket" {
        let rules = target
            .body
            .at(&["BucketEncryption", "ServerSideEncryptionConfiguration"])?;
        rules
            .items()
            .first()?
            .at(&["ServerSideEncryptionByDefault", "KMSMasterKeyID"])?
    } else {
        let (_, path) = KEYS.iter().find(|(name, _)| *name == type_name)?;
        target.body.at(path)?
    };
    let Term::Reference(reference) = term else {
        return None;
    };
    let at = graph.follow(target.instance, reference)?;
    (graph.resources[at].kind.cloudformation() == Some("AWS::KMS::Key")).then_some(at)
}

fn policy_resource(graph: &Graph<'_>, role: usize, policy: &Policy) -> Resource {
    let resource = &graph.resources[role];
    let instance = &graph.instances[resource.instance];
    let name: Text = format!("{}_grants", resource.address.resource).into();
    let statements = policy.statements.iter().map(|(sid, actions, resources)| {
        let actions = match actions.as_slice() {
            [one] => Term::from(*one),
            actions => Term::list(actions.iter().copied()),
        };
        let resources = match resources.as_slice() {
            [one] => one.clone(),
            resources => Term::List(resources.to_vec()),
        };
        Term::map([
            ("Sid", Term::from(sid)),
            ("Effect", "Allow".into()),
            ("Action", actions),
            ("Resource", resources),
        ])
    });
    let span = policy.declared.unwrap_or(resource.declared);
    let role_reference = Reference {
        name: resource.address.to_string().into(),
        key: None,
        path: vec!["ref".into()],
        local: false,
        span,
    };
    let mut policy_name = format!("{}-{}", instance.name, slug(&name));
    if let Some(key) = &resource.address.key {
        policy_name.push_str(&format!("-{}", slug(key)));
    }
    let body = Term::map([
        ("PolicyName", Term::from(policy_name)),
        ("Roles", Term::list([Term::from(role_reference)])),
        (
            "PolicyDocument",
            Term::map([
                ("Version", Term::from("2012-10-17")),
                ("Statement", Term::list(statements)),
            ]),
        ),
    ]);
    Resource {
        address: Address {
            resource: name,
            ..resource.address.clone()
        },
        kind: ResourceKind::CloudFormation("AWS::IAM::Policy".into()),
        body,
        depends_on: Vec::new(),
        attributes: Vec::new(),
        holds_data: false,
        part: resource.part,
        declared: span,
        instance: resource.instance,
    }
}

/// An event source mapping is refused while its function may not read the source: it comes after the policies.
fn order_event_sources(graph: &mut Graph<'_>, made: &[Resource]) {
    for resource in &mut graph.resources {
        if resource.kind.cloudformation() != Some("AWS::Lambda::EventSourceMapping") {
            continue;
        }
        let policies = made.iter().filter(|policy| {
            (policy.instance, policy.part) == (resource.instance, resource.part)
                && policy.kind.cloudformation() == Some("AWS::IAM::Policy")
        });
        for policy in policies {
            resource
                .depends_on
                .push((policy.address.resource.clone(), policy.declared));
        }
    }
}

/// The pod that a workload makes.
pub(crate) fn pod_spec(body: &Term) -> Option<&Term> {
    match body.get("kind").and_then(Term::as_str)? {
        "Pod" => body.get("spec"),
        "CronJob" => body.at(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => body.at(&["spec", "template", "spec"]),
    }
}
