//! The kinds of documents, and the documents of a stack by kind.
//!
//! Each kind is a type in its own file that implements [`DocumentType`], and one line in the table of kinds below.
//! Validation, decoding, sorting and the published schemas follow from the table.
//!
//! Decoding cannot fail. A node that did not pass [`crate::validate`] is decoded to a document with empty values.

use std::cmp::Ordering;

use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::Node;
use terrace_syntax::source::Spanned;

use crate::validate::SchemaFile;

mod body;
mod component;
mod decode;
mod environment;
mod fields;
mod module;
mod pipeline;
mod platform;
mod tenant;

pub use body::{Body, Check, Divides};
pub use component::{ComponentSource, Tenants};
pub use environment::{Account, Cluster};
pub use fields::{Clearance, ComponentInputs, ModuleUse, Placement, Waiver};
pub use module::{Input, Status};
pub use platform::TierMeaning;
pub use tenant::{ResourcePool, Tier};

/// A kind of document.
trait DocumentType: Sized {
    /// Whether it is an error if two documents are equal in the [`order`](DocumentType::order) of the kind.
    const UNIQUE: bool = true;

    /// Returns the JSON Schema of the kind.
    fn schema() -> &'static SchemaFile;

    /// Decodes a valid node.
    fn decode(node: Node) -> Self;

    /// Returns the name of the document.
    fn name(&self) -> &Spanned<Text>;

    /// Compares two documents in the order of their kind, which does not depend on the files that contain them.
    fn order(&self, other: &Self) -> Ordering {
        self.name().value.cmp(&other.name().value)
    }

    /// Returns the document as messages name it, after its kind.
    fn title(&self) -> String {
        format!("`{}`", self.name().value)
    }
}

/// Declares the table of kinds: the kind that a stack has exactly once, then the kinds that it has any number of. Each line
/// contains the field of [`StackDocuments`] and the type. The name of the type is the name of the kind.
macro_rules! document_kinds {
    ($one:ident: $one_module:ident::$One:ident; $($field:ident: $module:ident::$Kind:ident,)*) => {
        pub use $one_module::$One;
        $(pub use $module::$Kind;)*

        /// The kind of a document.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum DocumentKind {
            #[doc = concat!("See [`", stringify!($One), "`].")]
            $One,
            $(#[doc = concat!("See [`", stringify!($Kind), "`].")] $Kind,)*
        }

        impl DocumentKind {
            /// Every kind, in the order in which messages list them.
            pub const ALL: &[DocumentKind] = &[DocumentKind::$One, $(DocumentKind::$Kind),*];

            /// Returns the value of the key `kind`.
            pub fn as_str(self) -> &'static str {
                match self {
                    DocumentKind::$One => stringify!($One),
                    $(DocumentKind::$Kind => stringify!($Kind),)*
                }
            }

            /// Returns the directory of a stack where documents of the kind usually are. A Platform is in the stack's own directory.
            pub fn directory(self) -> Option<&'static str> {
                match self {
                    DocumentKind::$One => None,
                    $(DocumentKind::$Kind => Some(stringify!($field)),)*
                }
            }

            /// Returns the JSON Schema of the kind.
            pub(crate) fn schema(self) -> &'static SchemaFile {
                match self {
                    DocumentKind::$One => $One::schema(),
                    $(DocumentKind::$Kind => $Kind::schema(),)*
                }
            }
        }

        /// A document of any kind.
        #[derive(Clone, Debug)]
        pub enum Document {
            #[doc = concat!("See [`", stringify!($One), "`].")]
            $One($One),
            $(#[doc = concat!("See [`", stringify!($Kind), "`].")] $Kind($Kind),)*
        }

        impl Document {
            /// Decodes a valid node.
            pub fn decode(kind: DocumentKind, node: Node) -> Document {
                match kind {
                    DocumentKind::$One => Document::$One($One::decode(node)),
                    $(DocumentKind::$Kind => Document::$Kind($Kind::decode(node)),)*
                }
            }

            /// Returns the kind.
            pub fn kind(&self) -> DocumentKind {
                match self {
                    Document::$One(_) => DocumentKind::$One,
                    $(Document::$Kind(_) => DocumentKind::$Kind,)*
                }
            }

            /// Returns the name.
            pub fn name(&self) -> &Spanned<Text> {
                match self {
                    Document::$One(document) => document.name(),
                    $(Document::$Kind(document) => document.name(),)*
                }
            }
        }

        /// The documents of a stack, each kind in its order.
        #[derive(Clone, Debug)]
        pub struct StackDocuments {
            pub $one: $One,
            $(pub $field: Vec<$Kind>,)*
            /// Whether a document could not be read. It may define a name that seems not to exist.
            pub lost: bool,
        }

        /// Documents by kind.
        #[derive(Default)]
        pub(crate) struct SortedDocuments {
            pub(crate) $one: Vec<$One>,
            $(pub(crate) $field: Vec<$Kind>,)*
        }

        impl SortedDocuments {
            /// Puts documents in the order of their kinds, and reports duplicates.
            pub(crate) fn sort(documents: Vec<Document>, diagnostics: &mut Diagnostics) -> SortedDocuments {
                let mut sorted = SortedDocuments::default();
                for document in documents {
                    match document {
                        Document::$One(document) => sorted.$one.push(document),
                        $(Document::$Kind(document) => sorted.$field.push(document),)*
                    }
                }
                sort_kind(DocumentKind::$One, &mut sorted.$one, diagnostics);
                $(sort_kind(DocumentKind::$Kind, &mut sorted.$field, diagnostics);)*
                sorted
            }

            /// Returns the documents as those of a stack.
            pub(crate) fn into_stack(self, $one: $One, lost: bool) -> StackDocuments {
                StackDocuments { $one, $($field: self.$field,)* lost }
            }
        }
    };
}

document_kinds! {
    platform: platform::Platform;
    environments: environment::Environment,
    tenants: tenant::Tenant,
    components: component::Component,
    pipelines: pipeline::Pipeline,
    modules: module::Module,
}

impl StackDocuments {
    /// Returns the tenant with a name.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.name.value == name)
    }
}

/// Puts the documents of a kind in its order, and reports duplicates.
fn sort_kind<K: DocumentType>(kind: DocumentKind, documents: &mut [K], diagnostics: &mut Diagnostics) {
    documents.sort_by(K::order);
    let pairs = documents.array_windows();
    for [first, second] in pairs.filter(|[first, second]| K::UNIQUE && first.order(second).is_eq()) {
        let message = format!("duplicate {} {}", kind.as_str().to_lowercase(), second.title());
        diagnostics.push(
            Diagnostic::new(Code::DuplicateName, message).repeats(second.name().span, first.name().span),
        );
    }
}
