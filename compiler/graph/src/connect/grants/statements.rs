//! Generates the statements of one grant: the actions on the target and its contents, and on the key that encrypts them.

use terrace_language::aws::encryption;
use terrace_language::aws::iam::{Condition, Policy, concat};
use terrace_language::aws::s3_url;
use terrace_language::expression::words::pascal;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, listed};
use terrace_syntax::source::Span;

use super::super::Graph;
use crate::connect::grants::glue_catalog as catalog;
use crate::connect::grants::iam_actions::{GrantActions, MEANINGS, SAME};
use crate::expand::DeclaredEdge;
use crate::lower::logical_id;

/// Actions that list a bucket. A permission with a prefix allows to list only this prefix.
const LISTING: [&str; 3] = [
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
];

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
    let Some(meaning) = meaning_of(graph, grant, target, may, diagnostics) else {
        return;
    };
    let Ok(part) = part_of(graph, grant, target, diagnostics) else {
        return;
    };
    let right = Right {
        graph,
        target,
        meaning,
        part,
        span: grant.span,
    };
    let name = right.name(may);
    if target.kind.cloudformation() == Some("AWS::Glue::Table")
        && catalog::arns(graph, target, grant.span).is_none()
    {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!("the database of `{}` is unknown", target.address),
            )
            .at(
                graph.word(grant, "on"),
                "a permission on a table includes its database",
            )
            .also(target.declared, "declared here")
            .help("refer to the database: `DatabaseName: \"{{ ref('DATABASE') }}\"`"),
        );
        return;
    }
    right.allow(&name, policy);
    right.allow_key(policy);
    right.allow_results(policy);
}

/// Returns the meaning of a permission for a type, or reports that there is none.
fn meaning_of(
    graph: &Graph<'_>,
    grant: &DeclaredEdge,
    target: &Resource,
    may: &str,
    diagnostics: &mut Diagnostics,
) -> Option<&'static GrantActions> {
    let type_name = target.kind.cloudformation().unwrap_or_default();
    let of_type = || MEANINGS.iter().filter(|meaning| meaning.type_name == type_name);
    let exact = of_type().find(|meaning| meaning.may == may);
    let alike = || {
        of_type().find(|m| {
            SAME.iter()
                .any(|(word, others)| *word == m.may && others.contains(&may))
        })
    };
    let found = exact.or_else(alike);
    if found.is_none() {
        let words: Vec<&str> = of_type().map(|meaning| meaning.may).collect();
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
        diagnostics.push(match words.is_empty() {
            true => diagnostic.help(
                "declare the policy as a resource; grants on this type are not supported in this version",
            ),
            false => diagnostic
                .nearest(place, may, words.iter().copied())
                .note(format!("the valid permissions are {}", listed(&words))),
        });
    }
    found
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

/// A permission on a resource.
struct Right<'g> {
    graph: &'g Graph<'g>,
    target: &'g Resource,
    meaning: &'static GrantActions,
    /// The pattern of the object keys that the permission is limited to.
    part: Option<Term>,
    span: Span,
}

impl Right<'_> {
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
            None => concat([self.arn(), self.meaning.suffix.into()]),
        }
    }

    /// Allows the actions of the permission.
    fn allow(&self, name: &str, policy: &mut Policy) {
        let (actions, inner) = (self.meaning.actions, self.meaning.inner);
        if let Some(arns) = catalog::arns(self.graph, self.target, self.span) {
            policy.allow(name, actions, arns);
            return;
        }
        if actions == inner {
            policy.allow(name, actions, [self.arn(), self.inner_arn()]);
            return;
        }
        let outer = if inner.is_empty() {
            name.to_owned()
        } else {
            format!("{name}Itself")
        };
        match &self.part {
            None if actions.is_empty() => {}
            None => policy.allow(outer, actions, [self.arn()]),
            Some(part) => {
                let (listing, others): (Vec<&str>, Vec<&str>) =
                    actions.iter().partition(|action| LISTING.contains(action));
                if !others.is_empty() {
                    policy.allow(outer, &others, [self.arn()]);
                }
                if !listing.is_empty() {
                    let of_part = Condition::new("StringLike", "s3:prefix", vec![part.clone()]);
                    policy.allow_if(format!("{name}Listing"), &listing, [self.arn()], vec![of_part]);
                }
            }
        }
        if !inner.is_empty() {
            policy.allow(name, inner, [self.inner_arn()]);
        }
    }

    /// Allows the use of the key that encrypts the target, for this target only.
    fn allow_key(&self, policy: &mut Policy) {
        let reads = matches!(self.meaning.may, "read" | "receive");
        allow_key(
            self.graph,
            self.target,
            self.part.as_ref(),
            reads,
            self.span,
            policy,
        );
    }

    /// Allows a user of an Athena workgroup to write and read the results of its queries.
    fn allow_results(&self, policy: &mut Policy) {
        const LOCATION: [&str; 3] = ["WorkGroupConfiguration", "ResultConfiguration", "OutputLocation"];
        let (graph, workgroup, span) = (self.graph, self.target, self.span);
        if workgroup.kind.cloudformation() != Some("AWS::Athena::WorkGroup") {
            return;
        }
        let location = workgroup.body.at(&LOCATION).and_then(s3_url::split);
        let Some(location) = location else { return };
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
        let objects = concat([
            arn.clone(),
            "/".into(),
            part.clone().unwrap_or_else(|| "*".into()),
        ]);
        policy.allow(
            format!("FindResultsIn{name}"),
            &["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"],
            [arn.clone()],
        );
        let of_part = part
            .clone()
            .map(|part| Condition::new("StringLike", "s3:prefix", vec![part]));
        policy.allow_if(
            format!("ListResultsIn{name}"),
            &["s3:ListBucket"],
            [arn],
            of_part.into_iter().collect(),
        );
        policy.allow(
            format!("WriteResultsTo{name}"),
            &[
                "s3:AbortMultipartUpload",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
            ],
            [objects],
        );
        allow_key(graph, bucket, part.as_ref(), false, span, policy);
    }
}

/// Allows the use of the key that encrypts a resource, for this resource only, if the key is a resource of the platform.
fn allow_key(
    graph: &Graph<'_>,
    target: &Resource,
    part: Option<&Term>,
    reads: bool,
    span: Span,
    policy: &mut Policy,
) {
    let (Some(key), Some(what)) = (graph.key_of(target), encryption::what(target)) else {
        return;
    };
    let (word, actions): (_, &[&str]) = if reads {
        ("Decrypt", &["kms:Decrypt"])
    } else {
        ("Encrypt", &["kms:Decrypt", "kms:GenerateDataKey*"])
    };
    let name = format!(
        "{word}{what}With{}{}",
        pascal(graph.identity(key)),
        logical_id(key)
    );
    let of_target = encryption::condition(target, &target.attribute("arn", span), part);
    policy.allow_if(
        name,
        actions,
        [key.attribute("arn", span)],
        of_target.into_iter().collect(),
    );
}

impl Graph<'_> {
    /// Returns the key that encrypts a resource, if the key is a resource of the platform.
    pub(in crate::connect) fn key_of<'g>(&'g self, resource: &'g Resource) -> Option<&'g Resource> {
        encryption::key(resource, |from, to| {
            self.follow(from.instance, to).map(|at| &self.resources[at])
        })
    }
}
