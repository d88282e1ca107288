//! The deployer: a [`terrace_artifact::Bundle`] in, live systems changed. The only asynchronous code of Terrace.

mod access;
mod backend;
mod cloudformation;
mod diff;
mod event;
mod failure;
mod home;
mod kubernetes;
mod plan;
mod values;

pub use access::{Access, AwsAccess, timestamp};
pub use backend::{
    ADDRESS, Backend, Basis, HOLDS_DATA, Identity, Intent, LABEL, Live, Look, Ownership, PreviewOptions,
    Ticket, Wanted, Write, origin_of,
};
pub use diff::{ListShape, Plain, Shapes, diff, same_quantity};
pub use event::{Event, StepName};
pub use failure::{Detail, Failure, FailureKind};
pub use home::{Held, Holder, Home};
pub use plan::{Action, Change, Field, MASKED, MemberChange, Plan, Purpose, Risk, Step, Subject};
pub use values::{Filled, Late, Values, at_path, at_path_mut, sources};
