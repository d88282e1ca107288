//! The rules of claims: when a command reads, examines, writes and deletes them.
//!
//! [`terrace_deployer_model::claim`] describes the records.

mod examine;
mod guard;
mod hold;
mod recorded;
mod take;

pub(crate) use examine::{LedgerSays, examine};
pub(crate) use guard::{Guard, Remembered};
pub(crate) use hold::{Holding, are_settled, read_again};
pub(crate) use recorded::{leading_to, meant, recorded};
pub(crate) use take::{ClaimUpdate, NotTaken};
