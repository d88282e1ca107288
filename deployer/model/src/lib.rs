//! The model of the deployer: the data that its parts exchange, and the traits that connect them.
//!
//! A backend implements [`backend::Backend`], [`state_store::StateStore`] and [`claim::ClaimStore`]. The engine uses these traits and
//! knows no backend. This crate knows neither the engine nor any backend, and sends no request.

#![warn(missing_docs)]

pub mod access;
pub mod approval;
pub mod backend;
pub mod cancel;
pub mod claim;
mod clock;
pub mod diff;
pub mod error;
pub mod event;
pub mod failure;
pub mod identities;
pub mod journal;
pub mod lease;
pub mod live;
pub mod lockfile;
pub mod loss;
pub mod ownership;
pub mod plan;
pub mod reasons;
pub mod report;
pub mod state_store;
pub mod subject;
pub mod template;
pub mod values;
