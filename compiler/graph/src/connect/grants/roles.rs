//! Finds the roles of grantees, and creates a role for a grantee that has none.

use terrace_artifact::{Address, Digest, Text};
use terrace_language::aws::iam::trust;
use terrace_language::aws::resource_types::{ExecutionRole, ResourceType};
use terrace_language::expression::words::slug;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, listed};

use super::super::Graph;
use crate::expand::DeclaredEdge;

/// Returns the role of the type of a resource, if it has one.
fn execution_role(resource: &Resource) -> Option<&'static ExecutionRole> {
    ResourceType::of(resource)?.role.as_ref()
}

/// Returns the paths of roles whose section is present in a body.
fn paths_in<'b>(
    role: &'static ExecutionRole,
    body: &'b Term,
) -> impl Iterator<Item = &'static [&'static str]> + 'b {
    role.paths.iter().copied().filter(|path| {
        let section = &path[..path.len() - 1];
        matches!(body.at(section), Some(Term::Map(_)))
    })
}

impl Graph<'_> {
    /// Returns the roles that a resource names.
    pub(in crate::connect) fn roles_named_by(&self, resource: &Resource) -> Vec<usize> {
        let Some(role) = execution_role(resource) else {
            return Vec::new();
        };
        let named = paths_in(role, &resource.body).filter_map(|path| match resource.body.at(path)? {
            Term::Reference(reference) => self.follow(resource.instance, reference),
            _ => None,
        });
        named.collect()
    }

    pub(super) fn is_role(&self, at: usize) -> bool {
        self.resources[at].kind.cloudformation() == Some("AWS::IAM::Role")
    }
}

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
    let Some(execution_role) = execution_role(&graph.resources[who]) else {
        diagnostics.push(without_role(graph, grant, who));
        return None;
    };
    let NamedRoles { roles, empty } = match named_roles(graph, grant, who, execution_role) {
        Ok(named) => named,
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            return None;
        }
    };
    let role = match roles.as_slice() {
        [] if empty.is_empty() => {
            let resource = &graph.resources[who];
            let message = format!("`{}` does not use a role", resource.address);
            let refused = refused(graph, grant, message, "has neither source nor destination");
            diagnostics.push(refused.also(resource.declared, "declared here"));
            return None;
        }
        [] => make_role(graph, who, execution_role.service),
        [role] => *role,
        [..] => {
            let names = roles.iter().map(|at| graph.resources[*at].address.to_string());
            let message = format!("`{}` uses several roles", graph.resources[who].address);
            diagnostics.push(
                refused(graph, grant, message, "ambiguous role")
                    .help(format!("name one of these roles in `who`: {}", listed(names))),
            );
            return None;
        }
    };
    let arn = graph.resources[role].attribute("arn", graph.resources[who].declared);
    for path in empty {
        set(&mut graph.resources[who].body, path, &arn);
    }
    Some(role)
}

/// The roles that a grantee names.
struct NamedRoles {
    /// The roles, each of them once.
    roles: Vec<usize>,
    /// The paths without a role.
    empty: Vec<&'static [&'static str]>,
}

/// Finds the roles that a grantee names. Permissions can be granted only to roles that are resources of the platform.
fn named_roles(
    graph: &Graph<'_>,
    grant: &DeclaredEdge,
    who: usize,
    execution_role: &'static ExecutionRole,
) -> Result<NamedRoles, Box<Diagnostic>> {
    let resource = &graph.resources[who];
    let foreign = || {
        let message = format!(
            "the role of `{}` is not a resource of this platform",
            resource.address
        );
        refused(
            graph,
            grant,
            message,
            "permissions cannot be granted to this role",
        )
    };
    let (mut roles, mut empty) = (Vec::new(), Vec::new());
    for path in paths_in(execution_role, &resource.body) {
        match resource.body.at(path) {
            None => empty.push(path),
            Some(Term::Reference(reference)) => {
                let role = graph
                    .follow(resource.instance, reference)
                    .filter(|at| graph.is_role(*at))
                    .ok_or_else(|| Box::new(foreign().also(reference.span, "its role")))?;
                if !roles.contains(&role) {
                    roles.push(role);
                }
            }
            Some(_) => {
                return Err(Box::new(foreign().also(resource.declared, "declared here").help(
                    "refer to a role of the module, or remove the role, so that Terrace creates one",
                )));
            }
        }
    }
    Ok(NamedRoles { roles, empty })
}

/// Reports a grantee to which permissions cannot be granted.
fn refused(graph: &Graph<'_>, grant: &DeclaredEdge, message: String, label: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::InvalidGrant, message).at(graph.word(grant, "who"), label)
}

/// Reports a grantee whose type has no role.
fn without_role(graph: &Graph<'_>, grant: &DeclaredEdge, who: usize) -> Diagnostic {
    let resource = &graph.resources[who];
    let type_name = resource.kind.cloudformation().unwrap_or_default();
    let message = format!("permissions cannot be granted to `{}`", resource.address);
    refused(graph, grant, message, format!("`{type_name}` has no execution role"))
        .help("grant the permission to a role, or to a resource that has one, such as a function, a job or a state machine")
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
fn make_role(graph: &mut Graph<'_>, who: usize, service: &'static str) -> usize {
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
    let kind = ResourceKind::CloudFormation("AWS::IAM::Role".into());
    let role = Resource {
        partition: resource.partition,
        ..Resource::generated(address, kind, body, span, resource.instance)
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
