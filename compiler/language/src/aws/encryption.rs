//! Encrypted resource types: the property with the key, and the encryption context that the service uses.
//!
//! The context limits a permission on a key to one resource. A principal that may decrypt the objects of a bucket cannot decrypt the records of a
//! stream with the same key.

use terrace_artifact::Text;
use terrace_syntax::source::Span;

use crate::aws::arn::{concat, pseudo};
use crate::aws::iam::Condition;
use crate::aws::resource_types::ResourceType;
use crate::resource::Resource;
use crate::value::term::{Reference, Term};

/// How a type is encrypted. Source of the contexts: the user guide of each service, "encryption context".
pub struct Encryption {
    /// The path of the key in the body. In a list, the first item applies.
    pub(super) key: &'static [&'static str],
    /// The permission on the key that users of the resource need. `None` if the service encrypts with its own identity.
    users: Option<KeyPermission>,
}

/// The permission on the key of a resource that its users need.
struct KeyPermission {
    /// The encrypted data, as a word for the IDs of statements.
    data: &'static str,
    limit: Limit,
}

/// The limit of a permission on a key to a resource.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    /// The key of the encryption context that contains the ARN of the resource.
    Context(&'static str),
    /// The key of the encryption context that contains the ARN of the resource, or that of one of its contents.
    ContextOfContents(&'static str),
    /// Only the service, which calls KMS for the users of the resource.
    Service(&'static str),
}

/// The use of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyUse {
    /// Reads encrypted data.
    Decrypt,
    /// Writes encrypted data. A writer also decrypts: a multipart upload reads its own parts, for example.
    Encrypt,
}

impl KeyUse {
    /// Returns the use as a word for the IDs of statements.
    pub fn word(self) -> &'static str {
        match self {
            KeyUse::Decrypt => "Decrypt",
            KeyUse::Encrypt => "Encrypt",
        }
    }

    /// Returns the actions on the key.
    pub fn actions(self) -> &'static [&'static str] {
        match self {
            KeyUse::Decrypt => &["kms:Decrypt"],
            KeyUse::Encrypt => &["kms:Decrypt", "kms:GenerateDataKey*"],
        }
    }
}

impl Encryption {
    /// Creates the encryption of a type whose users need a permission on the key.
    pub(super) const fn by_users(
        key: &'static [&'static str],
        data: &'static str,
        limit: Limit,
    ) -> Encryption {
        Encryption {
            key,
            users: Some(KeyPermission { data, limit }),
        }
    }

    /// Creates the encryption of a type whose service encrypts with its own identity.
    pub(super) const fn by_service(key: &'static [&'static str]) -> Encryption {
        Encryption { key, users: None }
    }

    fn of(resource: &Resource) -> Option<&'static Encryption> {
        ResourceType::of(resource)?.encryption.as_ref()
    }
}

/// Returns the key that a resource names: a reference, an ARN, an ID or an alias.
pub fn named_key(resource: &Resource) -> Option<&Term> {
    let path = Encryption::of(resource)?.key;
    path.iter().try_fold(&resource.body, |term, key| match term {
        Term::List(items) => items.first()?.get(key),
        term => term.get(key),
    })
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
pub fn encrypted_data(resource: &Resource) -> Option<&'static str> {
    Some(Encryption::of(resource)?.users.as_ref()?.data)
}

/// Returns the condition that limits a permission on a key to one resource. `arn` is that of the resource. `part` is the pattern of the object
/// keys, if the principal may not use the whole bucket.
pub fn condition(resource: &Resource, arn: &Term, part: Option<&Term>) -> Option<Condition> {
    let of_context = |context: &str| Text::from(format!("kms:EncryptionContext:{context}"));
    Some(match Encryption::of(resource)?.users.as_ref()?.limit {
        Limit::Context(context) => Condition::new("StringEquals", of_context(context), vec![arn.clone()]),
        // The context of a bucket is its own ARN if it uses a bucket key, otherwise the ARN of the object.
        Limit::ContextOfContents(context) => {
            let part = part.cloned().unwrap_or_else(|| "*".into());
            let objects = concat([arn.clone(), "/".into(), part]);
            Condition::new("StringLike", of_context(context), vec![arn.clone(), objects])
        }
        Limit::Service(service) => through(service, resource.declared),
    })
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
