//! The values of the language, their units and their size.

pub mod dimension;
pub mod json_size;
pub mod term;
pub mod unit;
