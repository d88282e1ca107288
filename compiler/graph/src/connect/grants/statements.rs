//! Generates the statements of one grant: the actions on the target and its contents, and on the key that encrypts them.

use terrace_language::aws::actions;
use terrace_language::aws::arn::concat;
use terrace_language::aws::encryption;
use terrace_language::aws::encryption::KeyUse;
use terrace_language::aws::iam::{Condition, Policy};
use terrace_language::aws::resource_types::{Permission, ResourceType};
use terrace_language::aws::s3_url;
use terrace_language::expression::words::pascal;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, listed};
use terrace_syntax::source::Span;

use super::super::Graph;
use crate::connect::grants::glue_catalog as catalog;
use crate::expand::DeclaredEdge;
use crate::lower::logical_id;

/// Actions that list a bucket. A permission with a prefix allows to list only this prefix.
const LISTING: [&str; 2] = ["s3:ListBucket", "s3:ListBucketVersions"];

/// Adds the statements of a grant to the policy of its role.
pub(super) fn add(
    graph: &Graph<'_>,
    grant: &DeclaredEdge,
    on: usize,
    may: &str,
    policy: &mut Policy,
    diagnostics: &mut Diagnostics,
) {
    let target = &graph.resources[on];
    let Some((resource_type, permission)) = permission_of(graph, grant, target, may, diagnostics) else {
        return;
    };
    let Ok(part) = part_of(graph, grant, target, diagnostics) else {
        return;
    };
    if target.kind.cloudformation() == Some("AWS::Glue::Table")
        && catalog::arns(graph, target, grant.span).is_none()
    {
        diagnostics.push(unknown_database(graph, grant, target));
        return;
    }
    let granted = GrantedPermission {
        graph,
        target,
        resource_type,
        permission,
        part,
        span: grant.span,
    };
    granted.allow(&granted.name(may), policy);
    granted.allow_key(policy);
    granted.allow_results(policy);
}

/// Returns the meaning of a permission for a type, or reports that there is none.
fn permission_of(
    graph: &Graph<'_>,
    grant: &DeclaredEdge,
    target: &Resource,
    may: &str,
    diagnostics: &mut Diagnostics,
) -> Option<(&'static ResourceType, &'static Permission)> {
    let resource_type = ResourceType::of(target);
    if let Some(found) = resource_type.and_then(|row| Some((row, row.permission(may)?))) {
        return Some(found);
    }
    let permissions = resource_type.map_or(&[][..], |row| row.permissions);
    let verbs = permissions.iter().map(|permission| permission.verb);
    let kind = target
        .kind
        .cloudformation()
        .or(target.kind.kubernetes())
        .unwrap_or_default();
    let place = graph.word(grant, "may");
    let diagnostic = Diagnostic::new(
        Code::InvalidGrant,
        format!("`{may}` is not a valid permission on `{kind}`"),
    )
    .at(place, format!("on `{}`", target.address));
    diagnostics.push(if permissions.is_empty() {
        diagnostic
            .help("declare the policy as a resource; grants on this type are not supported in this version")
    } else {
        diagnostic
            .nearest(place, may, verbs.clone())
            .note(format!("the valid permissions are {}", listed(verbs)))
    });
    None
}

/// Reports a grant on a table whose database is unknown.
fn unknown_database(graph: &Graph<'_>, grant: &DeclaredEdge, table: &Resource) -> Diagnostic {
    Diagnostic::new(
        Code::InvalidGrant,
        format!("the database of `{}` is unknown", table.address),
    )
    .at(
        graph.word(grant, "on"),
        "a permission on a table includes its database",
    )
    .also(table.declared, "declared here")
    .help("refer to the database: `DatabaseName: \"{{ ref('DATABASE') }}\"`")
}

/// Returns the pattern of the keys that `prefix` limits a grant to, or `None` without `prefix`. Reports an invalid prefix.
fn part_of(
    graph: &Graph<'_>,
    grant: &DeclaredEdge,
    target: &Resource,
    diagnostics: &mut Diagnostics,
) -> Result<Option<Term>, ()> {
    let prefix = match grant.value.get("prefix") {
        None | Some(Term::Null | Term::Omit) => return Ok(None),
        Some(prefix) => prefix,
    };
    let refused = |message: String, label: &str, help: &str| {
        Diagnostic::new(Code::InvalidGrant, message)
            .at(graph.word(grant, "prefix"), label)
            .help(help)
    };
    if target.kind.cloudformation() != Some("AWS::S3::Bucket") {
        diagnostics.push(refused(
            format!("`prefix` is not supported for `{}`", target.address),
            "only buckets support `prefix`",
            "remove `prefix`",
        ));
        return Err(());
    }
    let pieces = match prefix {
        Term::String(_) => std::slice::from_ref(prefix),
        Term::Concat(parts) => parts,
        other => {
            diagnostics.push(refused(
                "`prefix` must be a string".to_owned(),
                &format!("found {}", other.kind()),
                "write the beginning of the object keys: `incoming/`",
            ));
            return Err(());
        }
    };
    let first = pieces.first().and_then(Term::as_str);
    if first.is_some_and(|text| text.is_empty() || text.starts_with('/')) {
        diagnostics.push(refused(
            "`prefix` must not be empty or start with `/`".to_owned(),
            "no object key starts like this",
            "remove the leading `/`; for the whole bucket, remove `prefix`",
        ));
        return Err(());
    }
    let wild = |text: &str| text.contains(['*', '?']) || text.contains("${");
    if pieces.iter().filter_map(Term::as_str).any(wild) {
        diagnostics.push(refused(
            "`prefix` must not contain `*`, `?` or `${`".to_owned(),
            "IAM would interpret this as a pattern",
            "write the beginning of the object keys in full: `incoming/`",
        ));
        return Err(());
    }
    Ok(Some(concat([prefix.clone(), "*".into()])))
}

/// A permission that a grant gives on a resource.
struct GrantedPermission<'g> {
    graph: &'g Graph<'g>,
    target: &'g Resource,
    resource_type: &'static ResourceType,
    permission: &'static Permission,
    /// The pattern of the object keys that the permission is limited to.
    part: Option<Term>,
    span: Span,
}

impl GrantedPermission<'_> {
    /// Returns the ID of the statements.
    fn name(&self, may: &str) -> String {
        format!(
            "{}{}{}",
            pascal(may),
            pascal(self.graph.identity(self.target)),
            logical_id(self.target)
        )
    }

    fn arn(&self) -> Term {
        self.target.attribute("arn", self.span)
    }

    /// Returns the ARN of the contents of the target that the permission covers.
    fn inner_arn(&self) -> Term {
        match &self.part {
            Some(part) => concat([self.arn(), "/".into(), part.clone()]),
            None => concat([self.arn(), self.resource_type.contents.into()]),
        }
    }

    /// Allows the actions of the permission.
    fn allow(&self, name: &str, policy: &mut Policy) {
        let (on_resource, on_contents) = (self.permission.on_resource, self.permission.on_contents);
        let actions = || on_resource.iter().copied().flatten();
        if let Some(arns) = catalog::arns(self.graph, self.target, self.span) {
            policy.allow(name, actions(), arns);
            return;
        }
        if on_resource == on_contents {
            policy.allow(name, actions(), [self.arn(), self.inner_arn()]);
            return;
        }
        if !on_resource.is_empty() {
            let itself = if on_contents.is_empty() {
                name.to_owned()
            } else {
                format!("{name}Itself")
            };
            match &self.part {
                None => policy.allow(itself, actions(), [self.arn()]),
                Some(part) => {
                    let (listing, others) = split_listing(actions());
                    if !others.is_empty() {
                        policy.allow(itself, others, [self.arn()]);
                    }
                    if !listing.is_empty() {
                        let of_part = vec![prefix_condition(part.clone())];
                        policy.allow_if(format!("{name}Listing"), listing, [self.arn()], of_part);
                    }
                }
            }
        }
        if !on_contents.is_empty() {
            let actions = on_contents.iter().copied().flatten();
            policy.allow(name, actions, [self.inner_arn()]);
        }
    }

    /// Allows the use of the key that encrypts the target, for this target only.
    fn allow_key(&self, policy: &mut Policy) {
        let (target, part) = (self.target, self.part.as_ref());
        self.allow_key_of(target, part, self.permission.key_use, policy);
    }

    /// Allows the use of the key that encrypts a resource, for this resource only, if the key is a resource of the platform.
    fn allow_key_of(&self, resource: &Resource, part: Option<&Term>, key_use: KeyUse, policy: &mut Policy) {
        let (graph, span) = (self.graph, self.span);
        let (Some(key), Some(data)) = (graph.key_of(resource), encryption::encrypted_data(resource)) else {
            return;
        };
        let name = format!(
            "{}{data}With{}{}",
            key_use.word(),
            pascal(graph.identity(key)),
            logical_id(key)
        );
        let of_resource = encryption::condition(resource, &resource.attribute("arn", span), part);
        policy.allow_if(
            name,
            key_use.actions(),
            [key.attribute("arn", span)],
            of_resource.into_iter().collect(),
        );
    }

    /// Allows a user of an Athena workgroup to write and read the results of its queries.
    fn allow_results(&self, policy: &mut Policy) {
        let (graph, workgroup, span) = (self.graph, self.target, self.span);
        if workgroup.kind.cloudformation() != Some("AWS::Athena::WorkGroup") {
            return;
        }
        let Some(location) = s3_url::results_of(workgroup) else {
            return;
        };
        let bucket = match location.bucket {
            Term::Reference(reference) => graph.follow(workgroup.instance, &reference),
            _ => None,
        };
        let Some(bucket) = bucket.map(|at| &graph.resources[at]) else {
            return;
        };
        let name = format!("{}{}", pascal(graph.identity(bucket)), logical_id(bucket));
        let arn = bucket.attribute("arn", span);
        let part = (!location.prefix.is_empty()).then(|| Term::from(format!("{}*", location.prefix)));
        let pattern = part.clone().unwrap_or_else(|| "*".into());
        let objects = concat([arn.clone(), "/".into(), pattern]);
        let (listing, others) = split_listing(actions::LIST_UPLOADS);
        policy.allow(format!("FindResultsIn{name}"), others, [arn.clone()]);
        let of_part = part.clone().map(prefix_condition).into_iter().collect();
        policy.allow_if(format!("ListResultsIn{name}"), listing, [arn], of_part);
        policy.allow(format!("WriteResultsTo{name}"), actions::WRITE_RESULTS, [objects]);
        self.allow_key_of(bucket, part.as_ref(), KeyUse::Encrypt, policy);
    }
}

/// Splits actions into those that list a bucket and the others.
fn split_listing<'a>(
    actions: impl IntoIterator<Item = &'a &'static str>,
) -> (Vec<&'static str>, Vec<&'static str>) {
    actions.into_iter().partition(|action| LISTING.contains(action))
}

/// Returns the condition that limits listing to the keys that match a pattern.
fn prefix_condition(pattern: Term) -> Condition {
    Condition::new("StringLike", "s3:prefix", vec![pattern])
}

impl Graph<'_> {
    /// Returns the key that encrypts a resource, if the key is a resource of the platform.
    pub(in crate::connect) fn key_of<'g>(&'g self, resource: &'g Resource) -> Option<&'g Resource> {
        encryption::key(resource, |from, to| {
            self.follow(from.instance, to).map(|at| &self.resources[at])
        })
    }
}
