//! Facts about AWS that several phases need: policy documents, S3 locations, and the encryption of resource types.

pub mod encryption;
pub mod iam;
pub mod s3_url;
