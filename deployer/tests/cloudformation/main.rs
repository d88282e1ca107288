//! The CloudFormation backend against an AWS endpoint: every test in an account of its own.

mod adoption;
mod bucket;
mod contents;
mod deploying;
mod estate;
mod failing;
mod guarding;
mod journal;
mod killed;
mod names;
mod observing;
mod ownership;
mod proxy;
mod stages;
