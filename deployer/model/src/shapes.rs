//! The shapes of Kubernetes objects, from the catalog.

use terrace_artifact::{Object, Segment};
use terrace_catalog::{Kind, ListType};

use crate::diff::{ListShape, Shapes};

/// Returns how an object of this kind is compared. Lists are ordered if the catalog does not contain the kind.
pub fn of(object: &Object) -> impl Shapes + use<> {
    OfKind(terrace_catalog::kubernetes(&object.api_version, &object.kind))
}

struct OfKind(Option<&'static Kind>);

impl Shapes for OfKind {
    fn list(&self, path: &[Segment]) -> ListShape {
        match self.0.and_then(|kind| kind.field(path)).map(|field| field.list) {
            Some(ListType::Map(keys)) => {
                ListShape::Keyed(keys.into_iter().map(|(key, _)| key.into()).collect())
            }
            Some(ListType::Set) => ListShape::Set,
            // The server replaces an atomic list as a whole, but the user needs to see which item changes.
            Some(ListType::Atomic) | None => ListShape::Ordered,
        }
    }

    fn is_quantity(&self, path: &[Segment]) -> bool {
        self.0
            .and_then(|kind| kind.field(path))
            .is_some_and(|field| field.is_quantity)
    }
}
