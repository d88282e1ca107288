//! Attributes of Kubernetes objects: fields that are known at compile time, and fields of the live object.

use terrace_artifact::Text;
use terrace_language::expression::Failure;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{listed, shown};
use terrace_syntax::source::Span;

use crate::lower::attributes::Attribute;

/// Finds the attribute of a path: a field of the object, or a short name such as `name` or `host`.
pub(super) fn find(resource: &Resource, path: &[Text], span: Span) -> Result<Attribute, Box<Failure>> {
    let metadata = |key: &str| resource.body.at(&["metadata", key]).cloned().unwrap_or_default();
    let words: Vec<&str> = path.iter().map(Text::as_str).collect();
    match words.as_slice() {
        [] => {
            let message = format!("`{}` is an object, not a value", resource.address);
            Err(
                Failure::new(Code::UnknownAttribute, span, message, "requires an attribute")
                    .with_help("use `.name`, `.namespace`, or a field of the object"),
            )
        }
        ["name"] => Ok(Attribute::Known(metadata("name"))),
        ["namespace"] => Ok(Attribute::Known(metadata("namespace"))),
        ["kind"] => Ok(Attribute::Known(
            resource.body.get("kind").cloned().unwrap_or_default(),
        )),
        // The host name of a Service in the whole cluster.
        ["host"] if resource.kind.kubernetes() == Some("Service") => {
            let parts = vec![metadata("name"), ".".into(), metadata("namespace"), ".svc".into()];
            Ok(Attribute::Known(
                match parts.iter().all(|part| part.as_str().is_some()) {
                    true => parts.iter().filter_map(Term::as_str).collect::<String>().into(),
                    false => Term::Concat(parts.into()),
                },
            ))
        }
        words => match resource.body.at(words) {
            Some(value) => Ok(Attribute::Known(value.clone())),
            None if matches!(words[0], "status" | "spec" | "metadata" | "data") => {
                Ok(Attribute::Field(path.to_vec()))
            }
            None => {
                let fields = resource.body.entries().iter().map(|(key, _)| key.as_str());
                let message = format!("`{}` has no field `{}`", resource.address, shown(&path.join(".")));
                Err(
                    Failure::new(Code::UnknownAttribute, span, message, "").with_help(format!(
                        "use `name`, `namespace`, or one of the fields {}",
                        listed(fields)
                    )),
                )
            }
        },
    }
}
