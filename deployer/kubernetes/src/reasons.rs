//! The reasons of a change for plans, and its consequences for running pods.

use terrace_artifact::{Segment, Text, Value, show_path};
use terrace_deployer_model::plan::Field;
use terrace_deployer_model::reasons::fields_change;

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

/// Returns the reason of an update. It can change the manager of fields alone.
pub(super) fn changes(fields: &[Field]) -> String {
    match fields {
        [] => "no value changes; this environment manages its fields again".to_owned(),
        fields => fields_change(fields),
    }
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
