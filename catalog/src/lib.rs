//! What the targets accept.

mod nearest;

pub use nearest::nearest;
