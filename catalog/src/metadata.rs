//! Validates labels, annotations and selectors by the rules of Kubernetes that the schemas do not contain.

use terrace_artifact::{Text, Tree, View};

use crate::check::{At, Checker};
use crate::compare::{entry, find};
use crate::grammar::{is_label_value, is_qualified_name};
use crate::problem::ProblemKind;

/// Checks the labels and annotations of any `metadata`.
pub(crate) fn check_nested<T: Tree>(checker: &mut Checker<'_>, entries: &[(Text, T)], at: &At<'_>) {
    if let Some(labels) = find(entries, "labels") {
        check_labels(checker, labels, &at.key("labels"));
    }
    if let Some(View::Map(annotations)) = find(entries, "annotations").map(Tree::view) {
        let at = at.key("annotations");
        for (key, _) in annotations {
            check_key(checker, key, &at);
        }
    }
}

/// Checks the labels of a label selector.
pub(crate) fn check_selector<T: Tree>(checker: &mut Checker<'_>, selector: &T, at: &At<'_>) {
    if let Some(labels) = entry(selector, "matchLabels") {
        check_labels(checker, labels, &at.key("matchLabels"));
    }
}

/// Checks a map of labels.
pub(crate) fn check_labels<T: Tree>(checker: &mut Checker<'_>, labels: &T, at: &At<'_>) {
    let View::Map(labels) = labels.view() else { return };
    for (key, value) in labels {
        check_key(checker, key, at);
        if let View::String(value) = value.view()
            && !is_label_value(value)
        {
            checker.report(&at.key(key), || ProblemKind::Form {
                expected: "a label value: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
            });
        }
    }
}

fn check_key(checker: &mut Checker<'_>, key: &str, at: &At<'_>) {
    if !is_qualified_name(key) {
        checker.report(&at.key(key), || ProblemKind::Form {
            expected: "a key such as `app` or `example.org/app`: at most 63 letters, digits, `-`, `_` and `.` after an optional domain",
        });
    }
}
