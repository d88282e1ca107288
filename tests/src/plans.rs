//! Plans as text, for expectations in tests.

use std::fmt::Write as _;

use terrace_artifact::{Value, show_path};
use terrace_deployer_model::plan::{Change, Field};

/// Appends a line for each field: its path, its values, and whether it forces a replacement.
pub fn write_fields(fields: &[Field], indent: &str, out: &mut String) {
    for field in fields {
        let show = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
        let after = match &field.known_after {
            Some(source) => format!("known after {source}"),
            None => show(&field.after),
        };
        let forces = if field.forces_replacement {
            " forces replacement"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "{indent}{}: {} -> {after}{forces}",
            show_path(&field.path),
            show(&field.before)
        );
    }
}

/// Appends a line for each address that a change needs approval for, and for each note.
pub fn write_losses_and_notes(change: &Change, out: &mut String) {
    for (addresses, what) in [
        (&change.loses_data, "loses the data of"),
        (&change.retains, "retains the data of"),
        (&change.loses_identity, "loses the identity of"),
    ] {
        for address in addresses {
            let _ = writeln!(out, "  {what} {address}");
        }
    }
    for note in &change.notes {
        let _ = writeln!(out, "  note: {note}");
    }
}
