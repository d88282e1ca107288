//! Quantities as the API server stores them.

use terrace_artifact::Segment;

use super::{Finding, Subject};
use crate::code::Code;
use crate::resource::{Resource, ResourceKind};
use crate::term::Term;
use crate::unit::Quantity;

/// Reports quantities that do not come out even.
pub(super) fn inexact(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let mut path = Vec::new();
    walk(
        subject.resource,
        subject.body,
        &mut path,
        &mut |path, text, quantity| {
            if !is_even(&quantity) {
                let rounded = quantity.rounded();
                findings.push(
                    Finding::new(
                        Code::InexactQuantity,
                        &[],
                        format!("`{text}` does not come out even: the server stores `{quantity}`"),
                    )
                    .below(path.iter().cloned())
                    .help(format!("write `{rounded}`")),
                );
            }
        },
    );
}

/// Whether a quantity is a whole number of bytes, or of thousandths where it counts no bytes.
fn is_even(quantity: &Quantity) -> bool {
    if quantity.binary {
        return quantity.amount.is_integer();
    }
    let milli = quantity.amount.mul(1000.into());
    milli.is_ok_and(|milli| milli.is_integer())
}

/// Writes quantities in the form in which the server stores them, so that no plan shows a change that is none. One that does not
/// come out even stays as it was written: in the server's form nobody would see that.
pub(crate) fn canonical(resource: &Resource, body: &mut Term) {
    let mut changes = Vec::new();
    walk(resource, body, &mut Vec::new(), &mut |path, text, quantity| {
        let canonical = quantity.to_string();
        if is_even(&quantity) && canonical != text {
            changes.push((path.to_vec(), canonical));
        }
    });
    for (path, text) in changes {
        if let Some(term) = at_mut(body, &path) {
            *term = text.into();
        }
    }
}

fn at_mut<'t>(body: &'t mut Term, path: &[Segment]) -> Option<&'t mut Term> {
    path.iter().try_fold(body, |term, segment| match (term, segment) {
        (Term::Map(entries), Segment::Key(key)) => {
            entries.iter_mut().find(|(k, _)| k == key).map(|(_, term)| term)
        }
        (Term::List(items), Segment::Index(at)) => items.get_mut(*at),
        _ => None,
    })
}

/// Calls `see` with every quantity of an object. Only what looks like one is looked up: few strings begin with a digit.
fn walk(
    resource: &Resource,
    body: &Term,
    path: &mut Vec<Segment>,
    see: &mut dyn FnMut(&[Segment], &str, Quantity),
) {
    let ResourceKind::Kubernetes { api_version, kind } = &resource.kind else {
        return;
    };
    let Some(kind) = terrace_catalog::kubernetes(api_version, kind) else {
        return;
    };
    if kind.is_custom() {
        return;
    }
    visit(body, path, &mut |path, text| {
        if let Ok(quantity) = text.parse::<Quantity>()
            && kind.field(path).is_some_and(|field| field.is_quantity)
        {
            see(path, text, quantity);
        }
    });
}

fn visit(term: &Term, path: &mut Vec<Segment>, see: &mut dyn FnMut(&[Segment], &str)) {
    match term {
        Term::String(text) if text.starts_with(|c: char| c.is_ascii_digit()) => see(path, text),
        Term::List(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push(Segment::Index(at));
                visit(item, path, see);
                path.pop();
            }
        }
        Term::Map(entries) => {
            for (key, item) in entries {
                path.push(Segment::Key(key.clone()));
                visit(item, path, see);
                path.pop();
            }
        }
        _ => {}
    }
}
