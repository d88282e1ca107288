//! The contract between the compiler, which creates a [`Bundle`], and the deployer, which makes live systems match it.
//!
//! This crate contains only plain data: no IO, no clock, no randomness. A bundle can be built on one machine, saved,
//! reviewed, and applied on another machine.

#![warn(missing_docs)]

mod address;
pub mod base64;
mod bundle;
mod decimal;
mod digest;
mod entries;
mod json;
mod layout;
mod owner;
mod quantity;
mod value;
mod yaml;

pub use address::{Address, AddressError};
pub use bundle::{
    Artifact, ArtifactId, Asset, Binding, Body, Bundle, Class, CloudFormationStack, Environment, Location,
    Member, Object, Origin, Part, Partition, Segment, Source, Target, show_parts, show_path,
};
pub use decimal::{Decimal, DecimalError};
pub use digest::Digest;
pub use entries::{Accepted, CachedResults, CachedTexts, Entries, Entry};
pub use json::{to_json_compact, to_json_pretty};
pub use layout::{File, Sheet, files, sheets};
pub use owner::Owner;
pub use quantity::{Quantity, compare_quantities, is_quantity, same_quantity};
pub use value::{Map, Text, Tree, Value, View};
pub use yaml::{to_yaml, write_documents};
