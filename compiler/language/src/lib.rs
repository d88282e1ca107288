//! The language of stacks: documents, their schemas, expressions, modules and inputs.
//!
//! This crate knows what a stack means before an environment is selected. It does not know how the documents of a stack refer to each other.

pub mod assets;
pub mod aws;
pub mod body;
pub mod document;
pub mod expression;
pub mod load;
pub mod module;
pub mod resource;
pub mod targets;
pub mod validate;
pub mod value;
