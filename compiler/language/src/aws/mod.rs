//! Facts about AWS that several phases need: ARNs, policy documents, S3 locations, and the permissions, keys and roles of resource types.

pub mod actions;
pub mod arn;
pub mod encryption;
pub mod iam;
pub mod resource_types;
pub mod s3_url;
