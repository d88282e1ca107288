//! Generates the policies of `granted_only` buckets and keys, which only principals in policies of the platform may use.
//!
//! IAM allows every principal that has the permission in any policy of the account. `granted_only` is a second lock. The policy of the resource
//! names the principals that the platform gives permissions on it: roles with grants, roles of pipelines, and the principals of policies that
//! are declared as resources. A bucket denies its data to all others, and a key does not allow others to use it.
//!
//! The policies name ARNs as strings, in the condition `aws:PrincipalArn`. A `Principal` would have to exist before the bucket and the key,
//! which are created first. The administrators of the account keep the access to the configuration of the bucket and to the policy of the key,
//! so that no mistake locks them out permanently. `docs/decisions/second-lock.md` describes the alternatives.

mod holders;

use std::collections::BTreeMap;

use terrace_artifact::{Address, Segment, Text};
use terrace_language::aws::arn::{concat, iam_arn};
use terrace_language::aws::iam;
use terrace_language::aws::iam::{Condition, Statement, overlap};
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::{Reference, Term};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};

use crate::connect::Graph;
use crate::lower::logical_id;
use holders::Holder;
pub(in crate::connect) use holders::PoliciesByRole;

const BUCKET: &str = "AWS::S3::Bucket";
const KEY: &str = "AWS::KMS::Key";

/// The permissions of one principal on a resource.
struct Right {
    principal: Principal,
    actions: Vec<Text>,
}

/// A principal: the ARN of a role or user, and its account.
#[derive(Clone, PartialEq)]
struct Principal {
    arn: Term,
    account: Term,
}

/// Principals of one account with the same permissions.
struct Alike {
    account: Term,
    arns: Vec<Term>,
}

/// A class of actions on a bucket.
struct Class {
    sid: &'static str,
    actions: &'static [&'static str],
    on_bucket: bool,
}

/// The actions that read and change the objects of a bucket. The others are for its configuration, which the administrators of the account
/// keep.
const CLASSES: [Class; 4] = [
    Class {
        sid: "OnlyReaders",
        actions: &["s3:GetObject*"],
        on_bucket: false,
    },
    Class {
        sid: "OnlyListers",
        actions: &["s3:ListBucket*", "s3:ListMultipartUploadParts"],
        on_bucket: true,
    },
    Class {
        sid: "OnlyWriters",
        actions: &[
            "s3:AbortMultipartUpload",
            "s3:DeleteObject",
            "s3:DeleteObjectTagging",
            "s3:PutObject*",
            "s3:ReplicateDelete",
            "s3:ReplicateObject",
            "s3:ReplicateTags",
            "s3:RestoreObject",
        ],
        on_bucket: false,
    },
    Class {
        sid: "OnlyAdmins",
        actions: &[
            "s3:BypassGovernanceRetention",
            "s3:DeleteObjectVersion",
            "s3:DeleteObjectVersionTagging",
        ],
        on_bucket: false,
    },
];

/// The actions that use a key. The others administer it.
const KEY_USE: [&str; 6] = [
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey*",
    "kms:ReEncrypt*",
];

/// Adds the allowed principals to the policies of `granted_only` resources. Returns the new policies of buckets without one.
pub(in crate::connect) fn lower(graph: &mut Graph<'_>, diagnostics: &mut Diagnostics) -> Vec<Resource> {
    let targets: Vec<usize> = (0..graph.resources.len())
        .filter(|at| graph.resources[*at].granted_only)
        .collect();
    if targets.is_empty() {
        return Vec::new();
    }
    let policies: BTreeMap<usize, usize>;
    let found = {
        let index = holders::Index::new(graph);
        policies = targets
            .iter()
            .filter_map(|target| Some((*target, index.policy_of(*target)?)))
            .collect();
        holders::find(&index, &targets)
    };
    let rights = rights(graph, found);
    let mut made = Vec::new();
    for target in targets {
        let rights = rights.get(&target).map_or(&[][..], Vec::as_slice);
        match graph.resources[target].kind.cloudformation() {
            Some(BUCKET) => {
                let policy = policies.get(&target).copied();
                made.extend(close_bucket(graph, target, policy, rights, diagnostics));
            }
            Some(KEY) => close_key(graph, target, rights, diagnostics),
            other => {
                let resource = &graph.resources[target];
                let kind = other.map_or("Kubernetes objects".to_owned(), |name| format!("`{name}`"));
                let message = format!("`granted_only` is not supported for {kind}");
                diagnostics.push(
                    Diagnostic::new(Code::InvalidGrant, message)
                        .at(resource.declared, "neither a bucket nor a key")
                        .help(format!(
                            "remove `granted_only`; only `{BUCKET}` and `{KEY}` support it"
                        )),
                );
            }
        }
    }
    made
}

/// Returns the permissions on each target, in the order of the ARNs of the principals.
fn rights(graph: &mut Graph<'_>, found: Vec<holders::Found>) -> BTreeMap<usize, Vec<Right>> {
    for right in &found {
        if let Holder::Resource(at) = right.holder {
            holders::name(graph, at);
        }
    }
    let mut rights: BTreeMap<usize, Vec<Right>> = BTreeMap::new();
    for right in found {
        let Some(principal) = right.holder.principal(graph, right.target) else {
            continue;
        };
        let of_target = rights.entry(right.target).or_default();
        match of_target.iter_mut().find(|known| known.principal == principal) {
            Some(known) => known.actions.extend(right.actions),
            None => of_target.push(Right {
                principal,
                actions: right.actions,
            }),
        }
    }
    for of_target in rights.values_mut() {
        of_target.sort_by_cached_key(|right| right.principal.arn.shown());
        for right in of_target {
            right.actions.sort();
            right.actions.dedup();
        }
    }
    rights
}

/// Denies the data of a bucket to every principal without a permission on it.
fn close_bucket(
    graph: &mut Graph<'_>,
    bucket: usize,
    policy: Option<usize>,
    rights: &[Right],
    diagnostics: &mut Diagnostics,
) -> Option<Resource> {
    let span = graph.resources[bucket].declared;
    let arn = graph.resources[bucket].attribute("arn", span);
    let statements: Vec<Statement> = CLASSES.iter().map(|class| deny(class, &arn, rights)).collect();
    match policy {
        Some(at) => {
            let policy = &mut graph.resources[at];
            let document = policy.body.get_mut("PolicyDocument");
            if document
                .and_then(|document| iam::add_statements(document, statements))
                .is_none()
            {
                diagnostics.push(unreadable(&graph.resources[at]));
            }
            None
        }
        None => {
            let resource = &graph.resources[bucket];
            let body = Term::map([
                ("Bucket", resource.attribute("ref", span)),
                ("PolicyDocument", iam::document(statements)),
            ]);
            let address = Address {
                resource: format!("{}_policy", resource.address.resource).into(),
                ..resource.address.clone()
            };
            let kind = ResourceKind::CloudFormation("AWS::S3::BucketPolicy".into());
            Some(Resource {
                partition: resource.partition,
                ..Resource::generated(address, kind, body, span, resource.instance)
            })
        }
    }
}

/// Returns the statement that denies a class of actions to every principal without one of them.
fn deny(class: &Class, bucket: &Term, rights: &[Right]) -> Statement {
    let may = |right: &&Right| {
        let mut pairs = right
            .actions
            .iter()
            .flat_map(|action| class.actions.iter().map(move |of_class| (action, of_class)));
        pairs.any(|(action, of_class)| overlap(action, of_class))
    };
    let allowed: Vec<Term> = rights
        .iter()
        .filter(may)
        .map(|right| right.principal.arn.clone())
        .collect();
    let mut conditions = Vec::new();
    if !allowed.is_empty() {
        conditions.push(Condition::new("ArnNotLike", "aws:PrincipalArn", allowed));
    }
    // AWS services write replicated objects, inventories and logs.
    conditions.push(Condition::new(
        "BoolIfExists",
        "aws:PrincipalIsAWSService",
        vec!["false".into()],
    ));
    let objects = concat([bucket.clone(), "/*".into()]);
    let mut resources = vec![objects];
    if class.on_bucket {
        resources.insert(0, bucket.clone());
        // CloudFormation uses this permission to check whether the bucket exists.
        conditions.push(Condition::new(
            "ForAllValues:StringNotEquals",
            "aws:CalledVia",
            vec!["cloudformation.amazonaws.com".into()],
        ));
    }
    Statement::deny(class.actions)
        .sid(class.sid)
        .principal(iam::Principal::Everyone)
        .resources(resources)
        .conditions(conditions)
}

/// Allows the principals with permissions on a key to use it, each for its own actions.
fn close_key(graph: &mut Graph<'_>, key: usize, rights: &[Right], diagnostics: &mut Diagnostics) {
    if let Some(problem) = open_statement(graph, key) {
        diagnostics.push(problem);
        return;
    }
    let mut alike: BTreeMap<(String, Vec<&'static str>), Alike> = BTreeMap::new();
    for right in rights {
        let actions: Vec<&'static str> = KEY_USE
            .into_iter()
            .filter(|known| right.actions.iter().any(|action| overlap(action, known)))
            .collect();
        if !actions.is_empty() {
            let Principal { arn, account } = &right.principal;
            let known = alike.entry((account.shown(), actions)).or_insert_with(|| Alike {
                account: account.clone(),
                arns: Vec::new(),
            });
            known.arns.push(arn.clone());
        }
    }
    let span = graph.resources[key].declared;
    let mut sids: Vec<String> = Vec::new();
    let statements = alike.into_iter().map(|((_, actions), Alike { account, arns })| {
        let words = actions
            .iter()
            .map(|action| action.trim_start_matches("kms:").trim_end_matches('*'));
        let mut sid = format!("Granted{}", words.collect::<String>());
        // The same actions for principals of another account.
        let known = sids.iter().filter(|known| known.starts_with(&sid)).count();
        if known > 0 {
            sid.push_str(&(known + 1).to_string());
        }
        sids.push(sid.clone());
        let condition = Condition::new("ArnLike", "aws:PrincipalArn", arns);
        Statement::allow(actions)
            .sid(sid)
            .principal(iam::Principal::Arn(iam_arn(account, ["root".into()], span)))
            .resources(vec!["*".into()])
            .conditions(vec![condition])
    });
    let statements: Vec<Statement> = statements.collect();
    let policy = graph.resources[key].body.get_mut("KeyPolicy");
    if policy
        .and_then(|policy| iam::add_statements(policy, statements))
        .is_none()
    {
        diagnostics.push(unreadable(&graph.resources[key]));
    }
}

/// Reports a key whose policy allows every principal of the account, so that `granted_only` would restrict no principal.
fn open_statement(graph: &Graph<'_>, key: usize) -> Option<Diagnostic> {
    let resource = &graph.resources[key];
    let statements = iam::statements(resource.body.get("KeyPolicy"));
    let is_open = |statement: &Term| {
        let is_everyone = match statement.get("Principal") {
            Some(Term::String(all)) => all == "*",
            Some(principal) => iam::values(principal.get("AWS")).iter().any(|who| {
                let who = who.shown();
                who == "*" || (who.ends_with(":root") && who.contains("AWS::AccountId"))
            }),
            None => false,
        };
        let uses = iam::values(statement.get("Action"))
            .iter()
            .filter_map(Term::as_str);
        // `kms:DescribeKey` reveals only that the key exists.
        let known = || KEY_USE.iter().filter(|known| **known != "kms:DescribeKey");
        let mut uses = uses.flat_map(|action| known().map(move |known| overlap(action, known)));
        iam::allows(statement) && statement.get("Condition").is_none() && is_everyone && uses.any(|uses| uses)
    };
    let (at, statement) = statements
        .iter()
        .enumerate()
        .find(|(_, statement)| is_open(statement))?;
    let sid = statement.get("Sid").and_then(Term::as_str);
    let message = format!(
        "{} allows every principal of the account to use the key, so `granted_only` has no effect",
        sid.map_or("a statement of the key policy".to_owned(), |sid| format!(
            "the statement `{sid}`"
        ))
    );
    let path = [
        Segment::Key("KeyPolicy".into()),
        Segment::Key("Statement".into()),
        Segment::Index(at),
    ];
    Some(
        graph
            .at_field(resource, &path, Diagnostic::new(Code::InvalidGrant, message))
            .help("list the administrative actions, such as `kms:PutKeyPolicy`, instead of `kms:*`"),
    )
}

/// Reports a policy whose statements Terrace cannot extend.
fn unreadable(policy: &Resource) -> Diagnostic {
    Diagnostic::new(
        Code::InvalidGrant,
        format!("the policy `{}` has no list of statements", policy.address),
    )
    .at(policy.declared, "Terrace must add statements to it")
    .help("write the policy as a map with `Version` and `Statement`")
}

/// Returns the resource of a reference, or `None` for a pseudo parameter of CloudFormation.
fn leads(graph: &Graph<'_>, from: usize, reference: &Reference) -> Option<usize> {
    (!reference.name.starts_with("AWS::")).then(|| graph.follow(from, reference))?
}

/// Returns whether two resources are in one CloudFormation stack and the other has the logical ID.
fn is_beside(resource: &Resource, other: &Resource, id: &str) -> bool {
    (resource.instance, resource.partition) == (other.instance, other.partition) && logical_id(other) == id
}
