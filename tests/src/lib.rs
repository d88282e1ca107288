//! What integration tests need: real servers, the `terrace` program, and judges that are not ours.
//!
//! `cargo xtask test` installs and starts the servers once and says where they are in the environment; a plain `cargo test`
//! starts them itself. Either way a server or a judge that is missing fails the test that needs it.

pub mod awkward;
pub mod judges;
pub mod program;
pub mod proxy;
pub mod scratch;
pub mod servers;
pub mod tools;
pub mod transcript;

pub use program::{Run, Terrace};
pub use scratch::Scratch;
