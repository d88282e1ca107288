//! Holds documents against the JSON Schemas that are published for editors, and says what is wrong in words of our own.

/// What a document describes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// What all of a stack has in common.
    Platform,
    /// Where it runs.
    Environment,
    /// For whom.
    Tenant,
    /// A use of a module.
    Component,
    /// Steps that run one after the other.
    Pipeline,
    /// A recipe.
    Module,
}
