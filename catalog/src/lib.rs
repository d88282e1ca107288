//! The types and fields that the targets accept, embedded in the program: the properties of every CloudFormation resource
//! type, and the fields of every Kubernetes kind and of the custom resources of supported operators.
//!
//! The compiler validates every resource body against the catalog, so that a misspelled field is reported at its source line
//! before a server sees it. The deployer uses the catalog to predict a change: which properties force a replacement, and
//! which keys merge a list. Data is unpacked on first use and then kept. `cargo xtask schemas` generates the data.

#![warn(missing_docs)]

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
#[doc(hidden)]
pub mod store;

pub use check::At;
#[doc(hidden)]
pub use cloudformation::Facts;
pub use cloudformation::{
    Replacement, ResourceType, cloudformation, nearest_type, types, validate_resource_attributes,
};
pub use data::{
    Classification, DataClass, Entry, HeldData, classes, data_of_kind, data_of_object, data_of_type,
    supports_snapshot,
};
pub use grammar::{
    LONGEST_LABEL, is_label, is_label_value, is_qualified_name, is_service_name, is_subdomain,
};
#[doc(hidden)]
pub use kubernetes::KindFacts;
pub use kubernetes::{FieldType, Kind, ListType, is_built_in_group, kinds, kubernetes, nearest_kind};
pub use loss::{
    IsKnownAfterApply, Line, Loss, loss_line_count, loss_lines, loss_when_deleted, losses_of_object,
    losses_of_type,
};
pub use nearest::nearest;
pub use pattern::Pattern;
pub use problem::{Problem, ProblemKind};
