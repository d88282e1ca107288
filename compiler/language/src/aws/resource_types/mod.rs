//! The resource types of AWS that grants name: what a grant on the type allows, how the type is encrypted, and which role it runs with. The
//! table has one complete row for each type.

mod rows;

use crate::resource::Resource;

use super::encryption::{Encryption, KeyUse};

/// The row of one resource type.
pub struct ResourceType {
    /// The name in CloudFormation: `AWS::S3::Bucket`.
    pub name: &'static str,
    /// The permissions that a grant on the type can give, in the order of the documentation.
    pub permissions: &'static [Permission],
    /// The suffix after the ARN of a resource that matches its contents: `/*`. Empty if no permission needs it.
    pub contents: &'static str,
    /// How the type is encrypted, if it can be encrypted with a key of the platform.
    pub encryption: Option<Encryption>,
    /// The role that the type runs with. Permissions can be granted to the resources of such a type.
    pub role: Option<ExecutionRole>,
}

/// What one verb of a grant allows on a type.
pub struct Permission {
    /// The value of `may`.
    pub verb: &'static str,
    /// The actions on the resource itself, as lists.
    pub on_resource: &'static [&'static [&'static str]],
    /// The actions on the contents of the resource, as lists.
    pub on_contents: &'static [&'static [&'static str]],
    /// The use of the key that encrypts the resource.
    pub key_use: KeyUse,
}

/// The role of a resource that a service runs.
pub struct ExecutionRole {
    /// The service that assumes the role.
    pub service: &'static str,
    /// The paths of the role in the body. A path applies if its section is present.
    pub paths: &'static [&'static [&'static str]],
}

/// The verbs that a grant may use for another verb, if the type has no permission with the verb itself.
const SYNONYMS: [(&str, &[&str]); 7] = [
    ("read_write", &["write"]),
    ("read", &["consume", "receive"]),
    ("write", &["send", "publish"]),
    ("receive", &["consume", "read"]),
    ("send", &["write", "publish"]),
    ("publish", &["write", "send"]),
    ("start", &["invoke"]),
];

impl ResourceType {
    /// Returns every row.
    pub fn all() -> &'static [ResourceType] {
        rows::ROWS
    }

    /// Returns the row of the type of a resource.
    pub fn of(resource: &Resource) -> Option<&'static ResourceType> {
        let name = resource.kind.cloudformation()?;
        rows::ROWS.iter().find(|row| row.name == name)
    }

    /// Returns the permission that a verb means for the type.
    pub fn permission(&self, verb: &str) -> Option<&'static Permission> {
        let means = |permission: &&Permission| {
            let synonyms = SYNONYMS.iter().find(|(other, _)| *other == permission.verb);
            synonyms.is_some_and(|(_, synonyms)| synonyms.contains(&verb))
        };
        let exact = self.permissions.iter().find(|permission| permission.verb == verb);
        exact.or_else(|| self.permissions.iter().find(means))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns whether the schema of a type has a field at a path. The path continues in the items of a list.
    fn has_field(type_name: &str, path: &[&str]) -> bool {
        let resource_type = terrace_catalog::cloudformation(type_name).expect("the type exists");
        let (nodes, root) = resource_type.nodes();
        let mut at = root;
        path.iter().all(|name| {
            if let Some(item) = nodes[at as usize].items {
                at = item;
            }
            match nodes[at as usize].field(name) {
                Some(field) => {
                    at = field.node;
                    true
                }
                None => false,
            }
        })
    }

    #[test]
    fn every_path_of_a_row_is_a_property_of_its_type() {
        for row in ResourceType::all() {
            let roles = row.role.iter().flat_map(|role| role.paths);
            let keys = row.encryption.iter().map(|encryption| &encryption.key);
            for path in roles.chain(keys) {
                assert!(has_field(row.name, path), "{} has no {path:?}", row.name);
            }
        }
    }

    #[test]
    fn no_row_and_no_verb_of_a_row_is_repeated() {
        let mut names = BTreeSet::new();
        for row in ResourceType::all() {
            assert!(names.insert(row.name), "{} has two rows", row.name);
            let mut verbs = BTreeSet::new();
            for permission in row.permissions {
                assert!(verbs.insert(permission.verb), "{} {}", row.name, permission.verb);
            }
        }
    }

    #[test]
    fn permissions_on_contents_have_a_suffix() {
        for row in ResourceType::all() {
            let inner = row
                .permissions
                .iter()
                .any(|permission| !permission.on_contents.is_empty());
            assert_eq!(inner, !row.contents.is_empty(), "{}", row.name);
        }
    }
}
