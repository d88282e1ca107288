//! Tests of the CloudFormation backend against an AWS endpoint. Every test has its own account.

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
