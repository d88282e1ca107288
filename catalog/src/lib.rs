//! What the targets accept, embedded in the program: the properties of every CloudFormation resource type, the fields of
//! every Kubernetes kind, and of the custom resources of the operators we write for.
//!
//! The compiler holds a body against it before it is emitted, so that a misspelt field is found where it was written and
//! not by a server. The deployer asks it what a change will mean: which properties force a replacement, which lists merge
//! by which keys. Everything is unpacked when it is first asked for, and kept. `cargo xtask schemas` makes the data.

mod check;
mod cloudformation;
mod compare;
mod data;
mod grammar;
mod immutable;
mod intrinsic;
mod kubernetes;
mod loss;
mod metadata;
mod nearest;
#[doc(hidden)]
pub mod node;
mod pattern;
mod problem;
mod quantity;
#[doc(hidden)]
pub mod store;

pub use check::At;
#[doc(hidden)]
pub use cloudformation::Facts;
pub use cloudformation::{
    Replacement, ResourceType, cloudformation, nearest_type, types, validate_resource_attributes,
};
pub use data::{
    Classification, DataClass, Holding, classes, data_of_kind, data_of_object, data_of_type,
    supports_snapshot,
};
pub use grammar::{
    LONGEST_LABEL, is_label, is_label_value, is_qualified_name, is_service_name, is_subdomain,
};
#[doc(hidden)]
pub use kubernetes::KindFacts;
pub use kubernetes::{FieldType, Kind, ListType, kinds, kubernetes, nearest_kind};
pub use loss::{
    IsOpen, Line, Loss, loss_line_count, loss_lines, loss_when_deleted, losses_of_object, losses_of_type,
};
pub use nearest::nearest;
pub use pattern::Pattern;
pub use problem::{Problem, ProblemKind};
pub use quantity::{amount, canonical, canonical_resource, is_quantity};
