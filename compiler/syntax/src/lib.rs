//! Reads text into nodes that know their place, and describes problems in it.
//!
//! This crate knows no document kind and no schema.

pub mod code;
pub mod diagnostic;
pub mod node;
pub mod secrets;
pub mod source;
pub mod yaml;
