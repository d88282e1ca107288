//! The CloudFormation backend against an AWS endpoint: every test in an account of its own.

mod bucket;
mod deploying;
mod estate;
mod failing;
mod guarding;
mod journal;
mod killed;
mod observing;
mod proxy;
mod stages;
