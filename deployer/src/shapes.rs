//! The shapes of Kubernetes objects, from the catalog.

use terrace_artifact::{Object, Segment};
use terrace_catalog::{Kind, ListType};

use crate::diff::{ListShape, Shapes};

/// How an object of this kind is compared. Of a kind that the catalog does not know, lists are ordered.
pub(crate) fn of(object: &Object) -> impl Shapes + use<> {
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
            // Replaced as a whole by the server; a reader still wants to see which item it is.
            Some(ListType::Atomic) | None => ListShape::Ordered,
        }
    }

    fn is_quantity(&self, path: &[Segment]) -> bool {
        self.0
            .and_then(|kind| kind.field(path))
            .is_some_and(|field| field.is_quantity)
    }
}
