//! Converts quantities to the form that the API server stores, and checks them.

use terrace_artifact::{Decimal, Quantity, Segment};
use terrace_catalog::At;
use terrace_graph::lower::Lowered;
use terrace_graph::targets::kubernetes::catalog_kind;
use terrace_language::resource::Resource;
use terrace_language::value::dimension::{Dimension, InvalidAmount};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// Reports quantities that Kubernetes cannot store as they are written.
pub(super) fn inexact(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    walk(subject.resource, subject.body, &mut |at, term, quantity| {
        let shown = terrace_syntax::diagnostic::shown(&term.shown());
        let finding = match quantity {
            Some(quantity) if is_even(&quantity) => return,
            Some(quantity) => {
                let what = match term {
                    // The text of the user is no longer known. The place of the message shows it.
                    Term::Quantity(_) => "this amount".to_owned(),
                    _ => format!("`{shown}`"),
                };
                let unit = if quantity.binary {
                    "a whole number of bytes"
                } else {
                    "a multiple of `1m` (0.001)"
                };
                let message = format!("{what} is not {unit}; Kubernetes stores it as `{quantity}`");
                let finding = Finding::new(Code::InexactQuantity, &[], message);
                let rounded = match quantity.rounded() {
                    // A request that is not zero stays greater than zero.
                    zero if zero.amount == Decimal::ZERO => smallest(quantity.binary),
                    rounded => rounded,
                };
                finding.instead(rounded.to_string(), format!("write `{rounded}`"))
            }
            None => {
                let message = format!("`{shown}` has more digits than a quantity can store");
                Finding::new(Code::InexactQuantity, &[], message)
                    .help("write fewer digits, or use a larger unit")
            }
        };
        findings.push(finding.below(at.path()));
    });
}

/// Reports amounts that the server rejects, and amounts that the user most likely did not mean.
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

/// Returns the problem of a quantity, if its field determines the dimension.
fn senseless_at(at: &At<'_>, quantity: Quantity) -> Option<(Dimension, InvalidAmount)> {
    let mut keys = at.keys();
    let (key, list) = (keys.next()?, keys.next()?);
    let dimension = match list {
        "requests" | "limits" | "hard" | "max" | "min" | "default" | "defaultRequest" | "capacity"
        | "overhead" => Dimension::of_resource(key),
        _ if key == "sizeLimit" => Dimension::Storage,
        _ => return None,
    };
    // Kubernetes rejects a volume with size zero. Requests, limits and quotas may be zero.
    let is_volume = key == "storage" && matches!(list, "requests" | "capacity");
    let is_zero = || InvalidAmount {
        code: Code::InvalidValue,
        says: "must not be zero".to_owned(),
        meant: None,
    };
    let found = match dimension.check(quantity) {
        None if is_volume && quantity.amount == Decimal::ZERO => Some(is_zero()),
        found => found,
    };
    found.map(|found| (dimension, found))
}

/// Returns the smallest amount that Kubernetes stores exactly.
fn smallest(binary: bool) -> Quantity {
    let thousandth = Decimal::new(1, 3).unwrap_or(Decimal::from(1));
    Quantity {
        amount: if binary { Decimal::from(1) } else { thousandth },
        binary,
    }
}

/// Returns whether a quantity is a whole number of bytes, or of thousandths if it does not count bytes.
fn is_even(quantity: &Quantity) -> bool {
    if quantity.binary {
        return quantity.amount.is_integer();
    }
    let milli = quantity.amount.mul(1000.into());
    milli.is_ok_and(|milli| milli.is_integer())
}

/// Converts quantities to the form that the server stores, so that a plan shows no false change. A quantity that cannot be stored exactly
/// stays as it is written, so that `inexact` can report it.
pub(super) fn canonicalize(resource: &Resource, lowered: &mut Lowered) {
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
            // An integer is the same with and without quotes.
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

/// Calls `see` with every quantity of an object: its term, and its amount, if that is exact.
fn walk(resource: &Resource, body: &Term, see: &mut dyn FnMut(&At<'_>, &Term, Option<Quantity>)) {
    if let Some(kind) = catalog_kind(&resource.kind) {
        kind.quantities(body, &mut |at, term| match term {
            Term::String(text) => {
                // `1Ei` and `.5` are valid, although they cannot be parsed here. A number with this many digits is not.
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
