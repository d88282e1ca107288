//! What one grant allows: the actions of its word, on its target and on what is in it, and the key that this is encrypted with.

use super::super::Graph;
use super::super::lower::logical_id;
use super::catalog;
use super::meanings::{MEANINGS, Meaning, SAME};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, listed};
use crate::encryption;
use crate::expand::Stated;
use crate::expression::filters::pascal;
use crate::iam::{Condition, Policy, concat};
use crate::resource::Resource;
use crate::s3_url;
use crate::source::Span;
use crate::term::Term;

/// Actions that list what is in a bucket: a right on a part of it lists that part alone.
const LISTING: [&str; 3] = [
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
];

/// Adds what a grant allows to the policy of its role.
pub(super) fn add(
    graph: &Graph<'_>,
    grant: &Stated,
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
                format!("the database of `{}` is not known", target.address),
            )
            .at(
                graph.word(grant, "on"),
                "a right on a table is one on its database too",
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

/// What a word means for a type.
fn meaning_of(
    graph: &Graph<'_>,
    grant: &Stated,
    target: &Resource,
    may: &str,
    diagnostics: &mut Diagnostics,
) -> Option<&'static Meaning> {
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
        let diagnostic = Diagnostic::new(Code::InvalidGrant, format!("`{may}` means nothing for `{kind}`"))
            .at(place, format!("on `{}`", target.address));
        diagnostics.push(match words.is_empty() {
            true => {
                diagnostic.help("grants on this type are not in this version: write the policy as a resource")
            }
            false => diagnostic
                .nearest(place, may, words.iter().copied())
                .help(format!("on this type one may {}", listed(&words))),
        });
    }
    found
}

/// The pattern of the keys that a grant is limited to by its `prefix`; nothing where it has none. An error was reported.
fn part_of(
    graph: &Graph<'_>,
    grant: &Stated,
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
            format!("`{}` has no parts", target.address),
            "only a bucket has a `prefix`",
            "remove `prefix`",
        ));
        return Err(());
    }
    let pieces = match prefix {
        Term::String(_) => std::slice::from_ref(prefix),
        Term::Concat(parts) => parts,
        other => {
            diagnostics.push(refused(
                format!("a `prefix` is text, and this is {}", other.kind()),
                "not text",
                "write what the keys of the objects begin with: `incoming/`",
            ));
            return Err(());
        }
    };
    let first = pieces.first().and_then(Term::as_str);
    if first.is_some_and(|text| text.is_empty() || text.starts_with('/')) {
        diagnostics.push(refused(
            "a `prefix` begins with the first letter of the objects' keys".to_owned(),
            "no key begins so",
            "write it without the leading `/`; for the whole bucket, remove `prefix`",
        ));
        return Err(());
    }
    let wild = |text: &str| text.contains(['*', '?']) || text.contains("${");
    if pieces.iter().filter_map(Term::as_str).any(wild) {
        diagnostics.push(refused(
            "a `prefix` is plain text, without `*`, `?` and `${`".to_owned(),
            "IAM would read this as a pattern",
            "write what the keys begin with, in full: `incoming/`",
        ));
        return Err(());
    }
    Ok(Some(concat([prefix.clone(), "*".into()])))
}

/// A right on a resource.
struct Right<'g> {
    graph: &'g Graph<'g>,
    target: &'g Resource,
    meaning: &'static Meaning,
    /// The pattern of the keys of a bucket's objects that it is limited to.
    part: Option<Term>,
    span: Span,
}

impl Right<'_> {
    /// The id of its statements.
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

    /// The ARN of what is in the target, as far as the right goes.
    fn inner_arn(&self) -> Term {
        match &self.part {
            Some(part) => concat([self.arn(), "/".into(), part.clone()]),
            None => concat([self.arn(), self.meaning.suffix.into()]),
        }
    }

    /// Allows the actions of the word.
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

    /// Allows the use of the key that the target is encrypted with, for the target alone.
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

    /// Allows whoever may use an Athena workgroup to write and read the results of its queries.
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

/// Allows the use of the key that a resource is encrypted with, where it is a resource of this platform, for this resource alone.
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
    /// The key that a resource is encrypted with, where it is a resource of this platform.
    pub(in crate::connect) fn key_of<'g>(&'g self, resource: &'g Resource) -> Option<&'g Resource> {
        encryption::key(resource, |from, to| {
            self.follow(from.instance, to).map(|at| &self.resources[at])
        })
    }
}
