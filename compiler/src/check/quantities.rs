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
    walk(subject.resource, subject.body, &mut |at, text, quantity| {
        if !is_even(&quantity) {
            let rounded = quantity.rounded();
            findings.push(
                Finding::new(
                    Code::InexactQuantity,
                    &[],
                    format!("`{text}` does not come out even: the server stores `{quantity}`"),
                )
                .below(at.path())
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
    walk(resource, lowered.body(resource), &mut |at, text, quantity| {
        let even = is_even(&quantity);
        inexact |= !even;
        let canonical = quantity.to_string();
        if even && canonical != text {
            changes.push((at.path(), canonical));
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

/// Calls `see` with every quantity of an object.
fn walk(resource: &Resource, body: &Term, see: &mut dyn FnMut(&At<'_>, &str, Quantity)) {
    let ResourceKind::Kubernetes { api_version, kind } = &resource.kind else {
        return;
    };
    if let Some(kind) = terrace_catalog::kubernetes(api_version, kind) {
        kind.quantities(body, &mut |at, text| {
            if let Ok(quantity) = text.parse() {
                see(at, text, quantity);
            }
        });
    }
}
