//! Encrypted resource types: the property with the key, and the encryption context that the service uses.
//!
//! The context limits a permission on a key to one resource. A principal that may decrypt the objects of a bucket cannot decrypt the records of a
//! stream with the same key.

use terrace_artifact::Text;
use terrace_syntax::source::Span;

use crate::aws::iam::{Condition, concat, pseudo};
use crate::resource::Resource;
use crate::value::term::{Reference, Term};

/// A type that can be encrypted with a key of the platform.
struct Encrypted {
    type_name: &'static str,
    /// The path of the key in the body. Empty for a bucket, whose path contains a list: see [`named_key`].
    key: &'static [&'static str],
    /// The encrypted data, as a word for the IDs of statements.
    what: &'static str,
    bound: Bound,
}

/// The limit of a permission on a key to a resource.
#[derive(Clone, Copy)]
enum Bound {
    /// The key of the encryption context that contains the ARN of the resource.
    Context(&'static str),
    /// Only the service, which calls KMS for the users of the resource.
    Service(&'static str),
    /// No limit: users of the resource need no permission on the key.
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

/// Source of the contexts: the user guide of each service, "encryption context". The context of DynamoDB contains the name of the table, which
/// a table of another account may have, too.
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
    // CloudWatch Logs encrypts with its own identity, not with that of the writer.
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

/// Returns the key that a resource names: a reference, an ARN, an ID or an alias.
pub fn named_key(resource: &Resource) -> Option<&Term> {
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

/// Returns the key that encrypts a resource, if the key is a resource of the platform. `follow` resolves a reference in the body of a resource. An
/// alias leads to its key.
pub fn key<'r>(
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

/// Returns the word for the data that is encrypted with the identity of the user, such as `Objects`, or `None` if the service encrypts with its
/// own identity.
pub fn what(resource: &Resource) -> Option<&'static str> {
    find(resource)
        .filter(|encrypted| encrypted.type_name != LOG_GROUP)
        .map(|encrypted| encrypted.what)
}

/// Returns the condition that limits a permission on a key to one resource. `arn` is that of the resource. `part` is the pattern of the object
/// keys, if the principal may not use the whole bucket.
pub fn condition(resource: &Resource, arn: &Term, part: Option<&Term>) -> Option<Condition> {
    let encrypted = find(resource)?;
    let context: Text = match encrypted.bound {
        Bound::Context(context) => format!("kms:EncryptionContext:{context}").into(),
        Bound::Service(service) => return Some(through(service, resource.declared)),
        Bound::Free => return None,
    };
    if encrypted.type_name != BUCKET {
        return Some(Condition::new("StringEquals", context, vec![arn.clone()]));
    }
    // The context is the ARN of the bucket if it uses a bucket key, otherwise the ARN of the object.
    let part = part.cloned().unwrap_or_else(|| "*".into());
    let objects = concat([arn.clone(), "/".into(), part]);
    Some(Condition::new("StringLike", context, vec![arn.clone(), objects]))
}

/// Returns the condition that the key is used through a service in the region of the resource.
fn through(service: &str, span: Span) -> Condition {
    let host = [
        format!("{service}.").into(),
        pseudo("AWS::Region", span),
        ".amazonaws.com".into(),
    ];
    Condition::new("StringEquals", "kms:ViaService", vec![concat(host)])
}
