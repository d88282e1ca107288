//! Placeholder until this crate's owner replaces it.
