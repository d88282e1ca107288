use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Text;

/// The owner of a component: the platform or one of its tenants.
///
/// The string form of the platform is `platform`, a name that no tenant can have. Owners are ordered by their string form.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// The platform, which owns the components without `tenants`.
    Platform,
    /// The tenant with this name.
    Tenant(Text),
}

impl Owner {
    /// The string form of the platform, the first part of addresses of its components.
    pub const PLATFORM: &str = "platform";

    /// Returns the string form.
    #[inline]
    pub fn as_str(&self) -> &str {
        match self {
            Owner::Platform => Owner::PLATFORM,
            Owner::Tenant(name) => name,
        }
    }

    /// Returns the name of the tenant, if the owner is one.
    #[inline]
    pub fn tenant(&self) -> Option<&Text> {
        match self {
            Owner::Platform => None,
            Owner::Tenant(name) => Some(name),
        }
    }

    /// Returns whether the owner is the platform.
    #[inline]
    pub fn is_platform(&self) -> bool {
        matches!(self, Owner::Platform)
    }

    /// Iterates over the owners in which a component of this owner looks up a name: the owner itself, then the platform.
    pub fn scopes(&self) -> impl Iterator<Item = &Owner> {
        let platform = (!self.is_platform()).then_some(&Owner::Platform);
        std::iter::once(self).chain(platform)
    }

    /// Returns whether a component of this owner may refer to the resources of `other`. The platform may refer to all
    /// resources, a tenant only to its own and to those of the platform.
    pub fn can_refer_to(&self, other: &Owner) -> bool {
        self.is_platform() || other.is_platform() || self == other
    }
}

impl From<&str> for Owner {
    fn from(text: &str) -> Owner {
        if text == Owner::PLATFORM {
            Owner::Platform
        } else {
            Owner::Tenant(text.into())
        }
    }
}

impl Ord for Owner {
    fn cmp(&self, other: &Owner) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Owner {
    fn partial_cmp(&self, other: &Owner) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Owner, D::Error> {
        Text::deserialize(deserializer).map(|text| Owner::from(text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_form_and_the_order_of_strings() {
        let names = ["finance", "platform", "risk"];
        let owners = names.map(Owner::from);
        assert!(owners.is_sorted());
        assert_eq!(owners[1], Owner::Platform);
        for (owner, name) in owners.iter().zip(names) {
            assert_eq!(owner.to_string(), name);
            let json = serde_json::to_string(owner).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Owner>(&json).unwrap(), *owner);
        }
    }

    #[test]
    fn hides_tenants_from_each_other_only() {
        let [finance, risk] = ["finance", "risk"].map(Owner::from);
        assert!(Owner::Platform.can_refer_to(&finance) && finance.can_refer_to(&Owner::Platform));
        assert!(finance.can_refer_to(&finance) && !finance.can_refer_to(&risk));
        assert_eq!(finance.scopes().collect::<Vec<_>>(), [&finance, &Owner::Platform]);
        assert_eq!(Owner::Platform.scopes().collect::<Vec<_>>(), [&Owner::Platform]);
    }
}
