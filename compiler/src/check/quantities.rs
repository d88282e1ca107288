//! Quantities as the API server stores them.

use terrace_artifact::{Decimal, Segment};
use terrace_catalog::At;

use super::{Finding, Subject};
use crate::code::Code;
use crate::connect::lower::Lowered;
use crate::dimension::{Dimension, Senseless};
use crate::resource::{Resource, ResourceKind};
use crate::term::Term;
use crate::unit::Quantity;

/// Reports quantities that do not come out even.
pub(super) fn inexact(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    walk(subject.resource, subject.body, &mut |at, term, quantity| {
        let shown = crate::diagnostic::shown(&term.shown());
        let finding = match quantity {
            Some(quantity) if is_even(&quantity) => return,
            Some(quantity) => {
                let what = match term {
                    // What the user wrote is no longer known: the message points at it.
                    Term::Quantity(_) => "this amount".to_owned(),
                    _ => format!("`{shown}`"),
                };
                let message = format!("{what} does not come out even: the server stores `{quantity}`");
                let finding = Finding::new(Code::InexactQuantity, &[], message);
                let rounded = match quantity.rounded() {
                    // What somebody asks for is not nothing.
                    nothing if nothing.amount == Decimal::ZERO => smallest(quantity.binary),
                    rounded => rounded,
                };
                finding.instead(rounded.to_string(), format!("write `{rounded}`"))
            }
            None => {
                let message = format!("`{shown}` has more digits than a quantity keeps");
                Finding::new(Code::InexactQuantity, &[], message).help("write fewer digits, or a larger unit")
            }
        };
        findings.push(finding.below(at.path()));
    });
}

/// Reports amounts that the server refuses, or that mean something else than what was meant.
pub(super) fn senseless(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    walk(subject.resource, subject.body, &mut |at, _, quantity| {
        let Some((dimension, found)) = quantity.and_then(|quantity| senseless_at(at, quantity)) else {
            return;
        };
        let key = at.keys().next().unwrap_or_default();
        let finding = Finding::new(found.code, &[], format!("`{key}` {}", found.says));
        let finding = match found.meant {
            Some(meant) => finding.instead(meant.clone(), format!("write `{meant}`")),
            None => finding.help(format!("write an amount such as {}", dimension.examples())),
        };
        findings.push(finding.below(at.path()));
    });
}

/// What is wrong with the quantity at a place, where the place says what it is of.
fn senseless_at(at: &At<'_>, quantity: Quantity) -> Option<(Dimension, Senseless)> {
    let mut keys = at.keys();
    let (key, list) = (keys.next()?, keys.next()?);
    let dimension = match list {
        "requests" | "limits" | "hard" | "max" | "min" | "default" | "defaultRequest" | "capacity"
        | "overhead" => Dimension::of_resource(key),
        _ if key == "sizeLimit" => Dimension::Storage,
        _ => return None,
    };
    // A volume of no size is refused; no requests, no limit and a quota of nothing are not.
    let is_volume = key == "storage" && matches!(list, "requests" | "capacity");
    let nothing = || Senseless {
        code: Code::InvalidValue,
        says: "is zero".to_owned(),
        meant: None,
    };
    let found = match dimension.check(quantity) {
        None if is_volume && quantity.amount == Decimal::ZERO => Some(nothing()),
        found => found,
    };
    found.map(|found| (dimension, found))
}

/// The least that comes out even.
fn smallest(binary: bool) -> Quantity {
    let thousandth = Decimal::new(1, 3).unwrap_or(Decimal::from(1));
    Quantity {
        amount: if binary { Decimal::from(1) } else { thousandth },
        binary,
    }
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
    let (mut inexact, mut senseless) = (false, false);
    walk(resource, lowered.body(resource), &mut |at, term, quantity| {
        senseless |= quantity.is_some_and(|quantity| senseless_at(at, quantity).is_some());
        let Some(quantity) = quantity.filter(is_even) else {
            inexact = true;
            return;
        };
        let canonical = match term {
            Term::String(text) => Some(quantity.to_string()).filter(|canonical| canonical != text),
            // A whole number is the same with and without quotes.
            Term::Number(number) => (!number.is_integer()).then(|| quantity.to_string()),
            _ => None,
        };
        changes.extend(canonical.map(|canonical| (at.path(), canonical)));
    });
    (lowered.inexact, lowered.senseless) = (inexact, senseless);
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
            let at = entries.iter().position(|(k, _)| k == key)?;
            Some(&mut entries.make_mut()[at].1)
        }
        (Term::List(items), Segment::Index(at)) => items.get_mut(*at),
        _ => None,
    })
}

/// Calls `see` with every quantity of an object: what is written, and what it comes to, where that can be counted exactly.
fn walk(resource: &Resource, body: &Term, see: &mut dyn FnMut(&At<'_>, &Term, Option<Quantity>)) {
    let ResourceKind::Kubernetes { api_version, kind } = &resource.kind else {
        return;
    };
    if let Some(kind) = terrace_catalog::kubernetes(api_version, kind) {
        kind.quantities(body, &mut |at, term| match term {
            Term::String(text) => {
                // `1Ei` and `.5` are beyond what we count and right all the same; so many digits are not.
                let quantity = text.parse().ok();
                let long = text.bytes().filter(u8::is_ascii_digit).count() > 15;
                if quantity.is_some() || long {
                    see(at, term, quantity);
                }
            }
            Term::Quantity(quantity) => see(at, term, Some(*quantity)),
            Term::Number(number) => {
                let quantity = Quantity {
                    amount: *number,
                    binary: false,
                };
                see(at, term, Some(quantity));
            }
            _ => {}
        });
    }
}
