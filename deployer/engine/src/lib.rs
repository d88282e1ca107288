//! The engine of the deployer: it plans, applies and destroys, and keeps the history of each environment.
//!
//! The engine decides what happens in which order. It reaches live systems only through the traits of
//! [`terrace_deployer_model`], and knows no backend: [`terrace_deployer_model::access::Access::connect`] connects to a target.

#![warn(missing_docs)]

mod apply;
mod claims;
mod connection;
mod forget;
mod ledger;
mod options;
mod order;
mod planning;
mod render;
mod run;
mod selection;
mod stages;
mod targets;

pub use connection::{Connection, apply, destroy_plan, history, plan};
pub use forget::{Forgetting, Forgotten};
pub use ledger::{History, Release, Status};
pub use options::{ApplyOptions, PlanOptions};
pub use render::{render, render_approved, totals};
