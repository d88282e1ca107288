//! Converts grants to permissions: the minimum of IAM and RBAC that the grant needs.

mod glue_catalog;
pub(in crate::connect) mod granted_only;
mod needs;
mod rbac;
mod roles;
mod statements;

use std::collections::BTreeMap;

use terrace_artifact::{Address, Text};
use terrace_language::aws::iam::Policy;
use terrace_language::expression::words::slug;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::{Reference, Term};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, listed};
use terrace_syntax::source::Span;

use super::{Found, Graph};
use crate::connect::grants::rbac::rbac_for_grant;
use crate::expand::DeclaredEdge;
pub(super) use roles::role_name;

/// The permissions that one role is granted.
#[derive(Default)]
struct Granted {
    policy: Policy,
    declared: Option<Span>,
}

/// Generates policies, roles and bindings for grants.
pub(super) fn lower(
    graph: &mut Graph<'_>,
    grants: &[DeclaredEdge],
    diagnostics: &mut Diagnostics,
) -> Vec<Resource> {
    let mut policies: BTreeMap<usize, Granted> = BTreeMap::new();
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
            made.extend(rbac_for_grant(
                graph,
                &namespaces,
                grant,
                who,
                on,
                &may,
                diagnostics,
            ));
            continue;
        }
        let Some(role) = roles::role_of(graph, grant, who, diagnostics) else {
            continue;
        };
        if !in_one_account(graph, grant, role, on, diagnostics) {
            continue;
        }
        let granted = policies.entry(role).or_default();
        granted.declared.get_or_insert(grant.span);
        statements::add(graph, grant, on, &may, &mut granted.policy, diagnostics);
    }
    needs::provide(graph, &policies);
    for (role, granted) in policies {
        if !granted.policy.is_empty() {
            made.push(policy_resource(graph, role, granted));
        }
    }
    order_after_policies(graph, &made);
    made
}

/// Reports a grant across accounts. Returns whether both sides are in one account.
fn in_one_account(
    graph: &Graph<'_>,
    grant: &DeclaredEdge,
    role: usize,
    on: usize,
    diagnostics: &mut Diagnostics,
) -> bool {
    let account = |at: usize| graph.places[graph.resources[at].instance].account.as_ref();
    let is_one = account(role) == account(on);
    if !is_one {
        let apart = graph.are_apart(role, on, "accounts").at(
            graph.word(grant, "on"),
            "the policy of this resource must allow the access, too",
        );
        diagnostics.push(apart.help(
            "declare the policies of both sides as resources; grants across accounts are not supported in this version",
        ));
    }
    is_one
}

/// Returns the resource that one side of a grant names.
pub(super) fn party(
    graph: &Graph<'_>,
    stated: &DeclaredEdge,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let reference = match stated.value.get(key)? {
        Term::Reference(reference) => reference.as_ref().clone(),
        Term::String(name) => named(name, graph.word(stated, key)),
        other => {
            diagnostics.push(
                Diagnostic::new(Code::InvalidGrant, format!("`{key}` must name a resource"))
                    .at(graph.word(stated, key), format!("found {}", other.kind())),
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
                        format!("`{key}` must be one of its resources"),
                    )
                    .help(match outputs.len() {
                        0 => "in the component, add an output that refers to the resource, and name this output".to_owned(),
                        _ => format!("name an output that refers to a resource: {}", listed(outputs)),
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

/// Parses a name without an expression around it: `consumer`, `bucket["raw"]`, `ref('x')`.
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

/// Returns the policy with the permissions that a role is granted.
fn policy_resource(graph: &Graph<'_>, role: usize, granted: Granted) -> Resource {
    let resource = &graph.resources[role];
    let instance = &graph.instances[resource.instance];
    let name: Text = format!("{}_grants", resource.address.resource).into();
    let span = granted.declared.unwrap_or(resource.declared);
    let mut policy_name = format!("{}-{}", instance.name, slug(&name));
    if let Some(key) = &resource.address.key {
        policy_name.push_str(&format!("-{}", slug(key)));
    }
    let mut policy = granted.policy;
    policy.sort_actions();
    let body = Term::map([
        ("PolicyName", Term::from(policy_name)),
        ("Roles", Term::List(vec![resource.attribute("ref", span)])),
        ("PolicyDocument", policy.finish()),
    ]);
    let address = Address {
        resource: name,
        ..resource.address.clone()
    };
    let kind = ResourceKind::CloudFormation("AWS::IAM::Policy".into());
    Resource {
        partition: resource.partition,
        ..Resource::generated(address, kind, body, span, resource.instance)
    }
}

/// Orders resources after the policies of their role, if AWS rejects their creation while the role lacks a permission.
fn order_after_policies(graph: &mut Graph<'_>, made: &[Resource]) {
    for at in 0..graph.resources.len() {
        let resource = &graph.resources[at];
        let is_checked = match resource.kind.cloudformation() {
            Some("AWS::Lambda::EventSourceMapping" | "AWS::KinesisFirehose::DeliveryStream") => true,
            Some("AWS::Lambda::Function") => resource.body.get("DeadLetterConfig").is_some(),
            _ => false,
        };
        if !is_checked {
            continue;
        }
        // A mapping does not name the role, only its function does. It is ordered after every policy of the stack.
        let roles: Vec<Term> = graph
            .roles_named_by(resource)
            .into_iter()
            .map(|role| graph.resources[role].attribute("ref", resource.declared))
            .collect();
        let is_needed = |policy: &&Resource| {
            let beside = (policy.instance, policy.partition) == (resource.instance, resource.partition);
            let gives = |role: &Term| {
                policy
                    .body
                    .get("Roles")
                    .is_some_and(|given| given.items().contains(role))
            };
            beside
                && policy.kind.cloudformation() == Some("AWS::IAM::Policy")
                && (roles.is_empty() || roles.iter().any(gives))
        };
        let needed = made.iter().filter(is_needed);
        let needed: Vec<(Text, Span)> = needed
            .map(|policy| (policy.address.resource.clone(), policy.declared))
            .collect();
        graph.resources[at].depends_on.extend(needed);
    }
}

/// Returns the pod specification of a workload.
pub fn pod_spec(body: &Term) -> Option<&Term> {
    match body.get("kind").and_then(Term::as_str)? {
        "Pod" => body.get("spec"),
        "CronJob" => body.at(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => body.at(&["spec", "template", "spec"]),
    }
}
