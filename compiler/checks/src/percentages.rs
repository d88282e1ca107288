//! Numbers of pods that a rollout or a disruption budget may also state as a percentage.

use terrace_artifact::Segment;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// A field that takes a number of pods or a percentage of them.
struct Field {
    kind: &'static str,
    path: &'static [&'static str],
    /// Whether the value may be greater than the number of pods. True only for a surge.
    above_all: bool,
}

const fn up_to_all(kind: &'static str, path: &'static [&'static str]) -> Field {
    Field {
        kind,
        path,
        above_all: false,
    }
}

const fn surge(kind: &'static str, path: &'static [&'static str]) -> Field {
    Field {
        kind,
        path,
        above_all: true,
    }
}

/// The fields that the API server validates as `IntOrString` with `IsValidPercent`, which no schema states.
const FIELDS: [Field; 7] = [
    up_to_all("PodDisruptionBudget", &["spec", "minAvailable"]),
    up_to_all("PodDisruptionBudget", &["spec", "maxUnavailable"]),
    up_to_all(
        "Deployment",
        &["spec", "strategy", "rollingUpdate", "maxUnavailable"],
    ),
    surge("Deployment", &["spec", "strategy", "rollingUpdate", "maxSurge"]),
    up_to_all(
        "DaemonSet",
        &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"],
    ),
    surge(
        "DaemonSet",
        &["spec", "updateStrategy", "rollingUpdate", "maxSurge"],
    ),
    up_to_all(
        "StatefulSet",
        &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"],
    ),
];

/// Reports percentages that the API server rejects.
pub(super) fn percentages(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let Some(kind) = subject.resource.kind.kubernetes() else {
        return;
    };
    for field in FIELDS.iter().filter(|field| field.kind == kind) {
        let text = subject.body.at(field.path).and_then(Term::as_str);
        let Some(finding) = text.and_then(|text| field.refused(text)) else {
            continue;
        };
        let at = field.path.iter().map(|key| Segment::Key((*key).into()));
        findings.push(finding.below(at));
    }
}

impl Field {
    /// Returns the problem of a string in the field.
    fn refused(&self, text: &str) -> Option<Finding> {
        let key = self.path.last().copied().unwrap_or_default();
        let percentage = text
            .strip_suffix('%')
            .and_then(|digits| digits.parse::<u32>().ok());
        match percentage {
            Some(percentage) if percentage > 100 && !self.above_all => {
                let message = format!("`{key}` must be at most 100%");
                let finding = Finding::new(Code::InvalidValue, &[], message);
                Some(finding.help("write a percentage up to `100%`, or a number of pods"))
            }
            Some(_) => None,
            None => {
                let message = format!("`{key}` is a string that is not a percentage");
                let finding = Finding::new(Code::WrongUnit, &[], message);
                Some(match text.parse::<u32>() {
                    Ok(number) => finding.instead(
                        number.to_string(),
                        format!(
                            "write a number of pods without quotes, `{number}`, or a percentage, `{number}%`"
                        ),
                    ),
                    Err(_) => finding.help("write a percentage such as `25%`, or a number of pods"),
                })
            }
        }
    }
}
