//! The Kubernetes backend against a real cluster: every plan is the server's own word, and after every apply the next plan is
//! empty.

mod support;

mod adoption;
mod changes;
mod claims;
mod documents;
mod guarding;
mod ownership;
mod reach;
mod settling;
