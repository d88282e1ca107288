//! Tests the Kubernetes backend with a real cluster. After every apply the next plan is empty.

mod support;

mod adoption;
mod changes;
mod claims;
mod directory;
mod documents;
mod guarding;
mod ownership;
mod reach;
mod settling;
