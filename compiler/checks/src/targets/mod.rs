//! The rules of each target language.

mod cloudformation;
mod kubernetes;
