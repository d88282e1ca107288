//! The reasons of a change for plans, and its consequences for running pods.

use terrace_artifact::{Segment, Text, Value, show_path};
use terrace_deployer_model::plan::Field;

use super::api_errors::causes;

/// Marks the fields that the server's refusal names. Returns whether there are any.
pub(super) fn fields_named(status: &kube::core::Status, fields: &mut [Field]) -> bool {
    let mut any = false;
    for cause in causes(status) {
        for field in fields.iter_mut() {
            let shown = show_path(&field.path);
            if shown == cause.field || (shown.starts_with(&cause.field) && cause.field != "spec") {
                field.forces_replacement = true;
                any = true;
            }
        }
    }
    any
}

fn shown(fields: &[&Field]) -> String {
    let names: Vec<String> = fields
        .iter()
        .map(|field| format!("`{}`", show_path(&field.path)))
        .collect();
    match names.as_slice() {
        [] => "a field".to_owned(),
        [only] => only.clone(),
        [first, second] => format!("{first} and {second}"),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// Returns the reason of an update.
pub(super) fn changes(fields: &[Field]) -> String {
    match fields {
        [] => "no value changes; this environment manages its fields again".to_owned(),
        [field] => format!("{} changes", shown(&[field])),
        fields => format!("{} change", shown(&fields.iter().collect::<Vec<_>>())),
    }
}

/// Returns the reason of a replacement.
pub(super) fn cannot_change(fields: &[Field]) -> String {
    let forcing: Vec<&Field> = fields.iter().filter(|field| field.forces_replacement).collect();
    let all: Vec<&Field> = fields.iter().collect();
    let named = if forcing.is_empty() { &all } else { &forcing };
    format!("{} cannot be changed in place", shown(named))
}

/// Returns whether the change restarts running pods.
pub(super) fn restarts(live: &Value, fields: &[Field]) -> bool {
    let kind = live.get("kind").and_then(Value::as_str).unwrap_or_default();
    let key = |field: &Field, at: usize| match field.path.get(at) {
        Some(Segment::Key(key)) => key.clone(),
        _ => Text::default(),
    };
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet")
        && fields
            .iter()
            .any(|field| key(field, 0) == "spec" && key(field, 1) == "template")
}
