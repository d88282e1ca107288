//! The target languages: the languages of the systems that resources are deployed to.
//!
//! A target language is a type that implements [`TargetLanguage`], in a file of its own. Each later phase adds a trait for the same types: the
//! graph for lowering, the rules for checks, and the driver for artifacts. [`target_languages!`](crate::target_languages) is the only table.

mod cloudformation;
mod kubernetes;

use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::Node;
use terrace_syntax::source::Files;

use crate::module::ResourceTemplate;
use crate::resource::ResourceKind;
use crate::value::term::Term;

/// The language of CloudFormation templates.
#[derive(Clone, Copy, Debug)]
pub struct CloudFormation;

/// The language of Kubernetes objects.
#[derive(Clone, Copy, Debug)]
pub struct Kubernetes;

/// The facts about a target language that reading and patching a module need.
pub trait TargetLanguage: Sync {
    /// Returns whether each resource is an artifact. Otherwise the resources of a component form one artifact together, or one for each
    /// partition.
    fn is_deployed_alone(&self) -> bool;

    /// Returns whether a string has the form of a type of this language.
    fn is_type(&self, text: &str) -> bool;

    /// Parses a type of this language. Reports a type that does not exist.
    fn read_type(&self, text: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<ResourceKind>;

    /// Reads the body and the attributes of a resource from its declaration.
    fn read_body(
        &self,
        template: &mut ResourceTemplate,
        declaration: &Node,
        files: &Files,
        diagnostics: &mut Diagnostics,
    );

    /// Returns the problem of a patch for a body, if the patch cannot be applied.
    fn check_patch(&self, patch: &Node, body: &Term, files: &Files) -> Option<Diagnostic>;

    /// Returns whether a resource with this body holds data, according to the catalog.
    fn holds_data(&self, kind: &ResourceKind, body: &Term) -> bool;
}

/// The table of target languages: returns the implementation of a trait for the language of a resource, or those of all languages.
///
/// ```
/// use terrace_language::resource::ResourceKind;
/// use terrace_language::targets::TargetLanguage;
/// use terrace_language::target_languages;
///
/// let bucket = ResourceKind::CloudFormation("AWS::S3::Bucket".into());
/// assert!(!target_languages!(&bucket, TargetLanguage).is_deployed_alone());
/// let all = target_languages!(all as TargetLanguage);
/// assert!(all.iter().any(|language| language.is_type("v1/Secret")));
/// ```
#[macro_export]
macro_rules! target_languages {
    (all as $trait:path) => {{
        let all: [&'static dyn $trait; 2] = [&$crate::targets::CloudFormation, &$crate::targets::Kubernetes];
        all
    }};
    ($kind:expr, $trait:path) => {{
        let language: &'static dyn $trait = match $kind {
            $crate::resource::ResourceKind::CloudFormation(_) => &$crate::targets::CloudFormation,
            $crate::resource::ResourceKind::Kubernetes { .. } => &$crate::targets::Kubernetes,
        };
        language
    }};
}
