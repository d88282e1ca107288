//! One environment as resources and the edges between them.
//!
//! [`resolve`] selects components, modules and inputs. [`expand`] creates the resources. [`connect`] resolves references, and converts grants,
//! connections and pipelines. [`lower`] converts each resource to the form of its target. [`targets`] contains
//! everything that differs between targets.

pub mod connect;
pub mod expand;
pub mod lower;
pub mod provenance;
pub mod resolve;
pub mod targets;
