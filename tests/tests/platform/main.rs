//! Platforms from their documents to a real cluster and a real account, with the program as users run it.

#![expect(clippy::print_stderr, reason = "reports the number of calls and the duration")]

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
