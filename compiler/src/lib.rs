//! Compiles a stack into bundles: a pure function from text to text, with everything it has to say about the input.

pub mod body;
pub mod code;
pub mod diagnostic;
pub mod document;
pub mod expression;
pub mod input;
pub mod node;
pub mod resource;
pub mod source;
pub mod term;
pub mod unit;
pub mod validate;
pub mod yaml;
mod data;
mod expand;
pub mod library;
mod load;
mod module;
mod pipeline;
mod resolve;
mod scope;
mod values;
