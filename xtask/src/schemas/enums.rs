//! Values the API's documentation lists for a field whose schema does not.

use serde_json::Value;

/// A definition (the end of its name), a field, and the values there are.
const ENUMS: &[(&str, &str, &[&str])] = &[
    (
        "core.v1.Container",
        "restartPolicy",
        &["Always", "Never", "OnFailure"],
    ),
    ("core.v1.PersistentVolumeClaimSpec", "accessModes", ACCESS_MODES),
    ("core.v1.PersistentVolumeSpec", "accessModes", ACCESS_MODES),
];

const ACCESS_MODES: &[&str] = &[
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];

/// Adds the values to a document of OpenAPI 3. A list's values are those of its items.
pub(super) fn add(document: &mut Value) -> Result<(), String> {
    let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") else {
        return Ok(());
    };
    for (definition, field, values) in ENUMS {
        let suffix = format!(".{definition}");
        let Some((_, schema)) = schemas.iter_mut().find(|(name, _)| name.ends_with(&suffix)) else {
            continue;
        };
        let property = schema
            .pointer_mut(&format!("/properties/{field}"))
            .ok_or_else(|| format!("{definition} has no field {field} any more"))?;
        let scalar = if property["type"] == "array" {
            &mut property["items"]
        } else {
            property
        };
        if scalar.get("enum").is_some() {
            continue;
        }
        scalar["enum"] = values.iter().copied().collect();
    }
    Ok(())
}
