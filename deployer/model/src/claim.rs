//! Claims: records of the directory that deploys an environment, and of the places it is deployed to.
//!
//! The target with the state store and every target that holds resources of the environment have a claim. Terrace reads
//! it before any change, to detect a second directory with the same platform and environment name, and places that the
//! environment no longer names.

mod lost_targets;
mod origin;
mod other_origin;
mod place;
mod store;

use serde::{Deserialize, Serialize};
use terrace_artifact::Text;

pub use lost_targets::{Left, LostTargets};
pub use origin::StackOrigin;
pub use other_origin::OtherOrigin;
pub use place::{Deployment, Place};
pub use store::{
    ClaimStore, Claims, Elsewhere, Found, Stores, Versioned, elsewhere, read as read_claim,
    write as write_claim,
};

/// The format of a claim, in [`Claim::format`].
pub const FORMAT: &str = "terrace-claim/1";

/// The record in one target: which directory deploys an environment, and to which places.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Always `terrace-claim/1`.
    pub format: Text,
    /// The number of times that the claims of the environment were written. The highest number is the latest claim.
    pub serial: u64,
    /// The platform.
    pub platform: Text,
    /// The environment.
    pub environment: Text,
    /// The directory that deploys it.
    pub origin: StackOrigin,
    /// The places that it is deployed to.
    #[serde(flatten)]
    pub deployment: Deployment,
    /// The user who wrote this claim, such as `ana@laptop`.
    pub who: Text,
    /// The time it was written, such as `2026-11-21T03:30:45Z`.
    pub written: Text,
}
