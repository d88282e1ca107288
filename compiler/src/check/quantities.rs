//! Quantities as the API server stores them.

use terrace_artifact::Segment;
use terrace_catalog::At;

use super::{Finding, Subject};
use crate::code::Code;
use crate::connect::lower::Lowered;
use crate::resource::{Resource, ResourceKind};
use crate::term::Term;
use crate::unit::Quantity;

/// Reports quantities that do not come out even.
pub(super) fn inexact(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    walk(subject.resource, subject.body, &mut |path, text, quantity| {
        if !is_even(&quantity) {
            let rounded = quantity.rounded();
            findings.push(
                Finding::new(
                    Code::InexactQuantity,
                    &[],
                    format!("`{text}` does not come out even: the server stores `{quantity}`"),
                )
                .below(path)
                .help(format!("write `{rounded}`")),
            );
        }
    });
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
/// come out even stays as it was written, and is noted: in the server's form nobody would see that.
pub(crate) fn canonical(resource: &Resource, lowered: &mut Lowered) {
    let mut changes = Vec::new();
    let mut inexact = false;
    walk(resource, lowered.body(resource), &mut |path, text, quantity| {
        let even = is_even(&quantity);
        inexact |= !even;
        let canonical = quantity.to_string();
        if even && canonical != text {
            changes.push((path, canonical));
        }
    });
    lowered.inexact = inexact;
    if changes.is_empty() {
        return;
    }
    let body = lowered.body.get_or_insert_with(|| resource.body.clone());
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
fn walk(resource: &Resource, body: &Term, see: &mut dyn FnMut(Vec<Segment>, &str, Quantity)) {
    let ResourceKind::Kubernetes { api_version, kind } = &resource.kind else {
        return;
    };
    let Some(kind) = terrace_catalog::kubernetes(api_version, kind) else {
        return;
    };
    if kind.is_custom() {
        return;
    }
    visit(body, &At::ROOT, &mut |at, text| {
        let Ok(quantity) = text.parse::<Quantity>() else {
            return;
        };
        let path = at.path();
        if kind.field(&path).is_some_and(|field| field.is_quantity) {
            see(path, text, quantity);
        }
    });
}

fn visit(term: &Term, at: &At<'_>, see: &mut dyn FnMut(&At<'_>, &str)) {
    match term {
        Term::String(text) if text.starts_with(|c: char| c.is_ascii_digit()) => see(at, text),
        Term::List(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &at.index(index), see);
            }
        }
        Term::Map(entries) => {
            for (key, item) in entries {
                visit(item, &at.key(key), see);
            }
        }
        _ => {}
    }
}
