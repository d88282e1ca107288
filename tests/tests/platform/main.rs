//! Platforms from their files to a real cluster and a real account, with the program as its users run it.

mod acme;
mod killed;
mod refused;
mod small;
