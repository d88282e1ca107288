//! Platforms from their files to a real cluster and a real account, with the program as its users run it.

#![expect(clippy::print_stderr, reason = "how many calls it took, and how long")]

mod acme;
mod contained;
mod divided;
mod fenced;
mod foreign;
mod killed;
mod lab;
mod losing;
mod lost;
mod only;
mod origins;
mod places;
mod refused;
mod several;
mod small;
