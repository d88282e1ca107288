//! Support for integration tests: real servers, the `terrace` program, and independent judges.
//!
//! `cargo xtask test` installs and starts the servers once and passes their addresses in the environment. A plain
//! `cargo test` starts them itself. In both cases, a missing server or judge fails the test that needs it.

pub mod awkward;
pub mod bundles;
mod http;
pub mod inventory;
pub mod judges;
pub mod language;
pub mod markdown;
pub mod plans;
pub mod program;
pub mod prose;
pub mod proxy;
pub mod random;
pub mod samples;
pub mod scratch;
pub mod servers;
pub mod tools;
pub mod transcript;

pub use program::{Run, Terrace};
pub use scratch::Scratch;
