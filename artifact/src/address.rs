use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Owner, Text};

/// The name of a resource in the platform: `finance/airflow/scheduler`, `platform/lake/bucket["raw"]`.
///
/// An address has three parts: the owner of the component, the component, and a resource with its optional `for_each` key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    /// The owner of the component: a tenant or the platform.
    pub owner: Owner,
    /// The component's name.
    pub component: Text,
    /// The resource's name in its module.
    pub resource: Text,
    /// The key of the iteration, for a resource with `for_each`.
    pub key: Option<Text>,
}

impl Address {
    /// The component in the address of a live object whose records do not name its component.
    pub const UNRECORDED: &str = "unknown";

    /// Returns whether `component` (`TENANT/COMPONENT`, such as `finance/airflow`) is this address's component.
    pub fn is_of(&self, component: &str) -> bool {
        component.split_once('/') == Some((self.owner.as_str(), &*self.component))
    }
}

/// The error for a string that is not an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an address has three parts: TENANT/COMPONENT/RESOURCE or TENANT/COMPONENT/RESOURCE[\"KEY\"]",
        )
    }
}

impl std::error::Error for AddressError {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.owner, self.component, self.resource)?;
        if let Some(key) = &self.key {
            write!(f, "[\"{key}\"]")?;
        }
        Ok(())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().filter(|p| !p.is_empty()).ok_or(AddressError);
        let (owner, component, rest) = (part()?, part()?, part()?);
        let (resource, key) = match rest.split_once('[') {
            None => (rest, None),
            Some((resource, key)) => {
                let key = key.strip_suffix(']').ok_or(AddressError)?;
                let key = key
                    .strip_prefix('"')
                    .and_then(|k| k.strip_suffix('"'))
                    .unwrap_or(key);
                (resource, Some(key.into()))
            }
        };
        if resource.is_empty() || resource.contains('/') {
            return Err(AddressError);
        }
        Ok(Address {
            owner: owner.into(),
            component: component.into(),
            resource: resource.into(),
            key,
        })
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        Text::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_only_its_own_component() {
        let address: Address = "finance/airflow/scheduler".parse().unwrap();
        assert!(address.is_of("finance/airflow"));
        for other in ["finance", "finance/air", "finance/airflow/", "risk/airflow"] {
            assert!(!address.is_of(other), "{other}");
        }
    }

    #[test]
    fn displayed_addresses_parse_to_the_same_address() {
        for text in [
            "finance/airflow/scheduler",
            "platform/lake/bucket[\"raw\"]",
            "platform/lake/bucket[\"a/b]\"]",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "a/b", "a//c", "a/b/", "a/b/c[\"d\"", "a/b/c/d"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text}");
        }
    }
}
