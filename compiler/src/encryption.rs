//! What is encrypted with a key: where each type names its key, and the encryption context under which its service uses it.
//!
//! The context binds a right on a key to one resource: who may decrypt the objects of a bucket cannot decrypt the records of a
//! stream with the same key.

use terrace_artifact::Text;

use crate::iam::{Condition, concat, pseudo};
use crate::resource::Resource;
use crate::source::Span;
use crate::term::{Reference, Term};

/// A type that can be encrypted with a key of the platform.
struct Encrypted {
    type_name: &'static str,
    /// Where it names the key; a bucket has a list on the way, see [`named_key`].
    key: &'static [&'static str],
    /// What is encrypted, as the ids of statements say it.
    what: &'static str,
    bound: Bound,
}

/// What binds a right on a key to a resource.
#[derive(Clone, Copy)]
enum Bound {
    /// The key of the encryption context under which its service always gives the resource's ARN.
    Context(&'static str),
    /// The service alone, which calls KMS for whoever uses the resource.
    Service(&'static str),
    /// Nothing: who uses the resource needs no right on the key.
    Free,
}

const fn encrypted(
    type_name: &'static str,
    key: &'static [&'static str],
    what: &'static str,
    bound: Bound,
) -> Encrypted {
    Encrypted {
        type_name,
        key,
        what,
        bound,
    }
}

/// Contexts: each service's user guide, "encryption context". DynamoDB gives the table's name, which another account's table may have
/// too.
const ENCRYPTED: [Encrypted; 8] = [
    encrypted(BUCKET, &[], "Objects", Bound::Context("aws:s3:arn")),
    encrypted(
        "AWS::Kinesis::Stream",
        &["StreamEncryption", "KeyId"],
        "Records",
        Bound::Context("aws:kinesis:arn"),
    ),
    encrypted(
        "AWS::SQS::Queue",
        &["KmsMasterKeyId"],
        "Messages",
        Bound::Context("aws:sqs:arn"),
    ),
    encrypted(
        "AWS::SNS::Topic",
        &["KmsMasterKeyId"],
        "Notifications",
        Bound::Context("aws:sns:topicArn"),
    ),
    encrypted(
        "AWS::DynamoDB::Table",
        &["SSESpecification", "KMSMasterKeyId"],
        "Items",
        Bound::Service("dynamodb"),
    ),
    encrypted(
        "AWS::SecretsManager::Secret",
        &["KmsKeyId"],
        "Secrets",
        Bound::Context("SecretARN"),
    ),
    encrypted(
        "AWS::StepFunctions::StateMachine",
        &["EncryptionConfiguration", "KmsKeyId"],
        "Executions",
        Bound::Context("aws:states:stateMachineArn"),
    ),
    // CloudWatch Logs encrypts in its own name, and not in that of who writes.
    encrypted(LOG_GROUP, &["KmsKeyId"], "Logs", Bound::Free),
];

const BUCKET: &str = "AWS::S3::Bucket";
const LOG_GROUP: &str = "AWS::Logs::LogGroup";

fn find(resource: &Resource) -> Option<&'static Encrypted> {
    let type_name = resource.kind.cloudformation()?;
    ENCRYPTED
        .iter()
        .find(|encrypted| encrypted.type_name == type_name)
}

/// What a resource names as its key: a reference, an ARN, an id or an alias.
pub(crate) fn named_key(resource: &Resource) -> Option<&Term> {
    let encrypted = find(resource)?;
    if encrypted.type_name != BUCKET {
        return resource.body.at(encrypted.key);
    }
    let rules = resource
        .body
        .at(&["BucketEncryption", "ServerSideEncryptionConfiguration"])?;
    rules
        .items()
        .first()?
        .at(&["ServerSideEncryptionByDefault", "KMSMasterKeyID"])
}

/// The key that a resource is encrypted with, where it is a resource of the platform. `follow` finds what a reference in the body of
/// a resource leads to; an alias leads to its key.
pub(crate) fn key<'r>(
    resource: &'r Resource,
    follow: impl Fn(&'r Resource, &'r Reference) -> Option<&'r Resource>,
) -> Option<&'r Resource> {
    let lead = |from: &'r Resource, term: &'r Term| match term {
        Term::Reference(reference) => follow(from, reference),
        _ => None,
    };
    let found = lead(resource, named_key(resource)?)?;
    match found.kind.cloudformation()? {
        "AWS::KMS::Key" => Some(found),
        "AWS::KMS::Alias" => lead(found, found.body.get("TargetKeyId")?),
        _ => None,
    }
}

/// What of a resource is encrypted in the name of who uses it, as the ids of statements say it: `Objects`. Nothing where the service
/// encrypts in its own name.
pub(crate) fn what(resource: &Resource) -> Option<&'static str> {
    find(resource)
        .filter(|encrypted| encrypted.type_name != LOG_GROUP)
        .map(|encrypted| encrypted.what)
}

/// The condition under which a principal that may use a resource may use its key. `arn` is the resource's; `part` is the pattern of
/// the keys of a bucket's objects that it may use, where these are not all.
pub(crate) fn condition(resource: &Resource, arn: &Term, part: Option<&Term>) -> Option<Condition> {
    let encrypted = find(resource)?;
    let context: Text = match encrypted.bound {
        Bound::Context(context) => format!("kms:EncryptionContext:{context}").into(),
        Bound::Service(service) => return Some(through(service, resource.declared)),
        Bound::Free => return None,
    };
    if encrypted.type_name != BUCKET {
        return Some(Condition::new("StringEquals", context, vec![arn.clone()]));
    }
    // With a bucket key, the context is the bucket's ARN, else the object's.
    let part = part.cloned().unwrap_or_else(|| "*".into());
    let objects = concat([arn.clone(), "/".into(), part]);
    Some(Condition::new("StringLike", context, vec![arn.clone(), objects]))
}

/// Only through a service of the resource's region.
fn through(service: &str, span: Span) -> Condition {
    let host = [
        format!("{service}.").into(),
        pseudo("AWS::Region", span),
        ".amazonaws.com".into(),
    ];
    Condition::new("StringEquals", "kms:ViaService", vec![concat(host)])
}
