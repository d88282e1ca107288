//! Kubernetes quantities: the fields that contain them, and the comparison of two spellings.
//!
//! The server stores a canonical spelling (`1000m` becomes `1`), but only in fields whose type is `Quantity`. The same text in a
//! custom resource is a string, and a different spelling there is a change.

use terrace_artifact::Value;

/// Whether the field at `path` of a built-in object is a quantity.
///
/// `path` holds keys from the root; items of lists appear as `*`.
pub(crate) fn is_quantity_field(api_version: &str, path: &[&str]) -> bool {
    if !is_built_in(api_version) {
        return false;
    }
    match path {
        [.., "limits" | "requests", _] => path.len() >= 3 && path[path.len() - 3] == "resources",
        [.., "overhead", _] => path.iter().rev().nth(2) == Some(&"spec"),
        [.., "emptyDir", "sizeLimit"] => true,
        [.., "resourceFieldRef", "divisor"] => true,
        ["spec", "hard", _] | ["spec", "capacity", _] => true,
        [
            "spec",
            "limits",
            "*",
            "max" | "min" | "default" | "defaultRequest" | "maxLimitRequestRatio",
            _,
        ] => true,
        ["spec", "metrics", "*", _, "target", "value" | "averageValue"] => true,
        _ => false,
    }
}

/// Whether two values of a quantity field are equal. A value that cannot be parsed exactly equals only itself.
pub(crate) fn same_quantity(a: &Value, b: &Value) -> bool {
    a == b || matches!((nano(a), nano(b)), (Some(a), Some(b)) if a == b)
}

/// Whether a quantity is larger than another. `false` if one of them cannot be parsed exactly.
pub(crate) fn is_larger(a: &Value, b: &Value) -> bool {
    matches!((nano(a), nano(b)), (Some(a), Some(b)) if a > b)
}

/// Whether the API server itself serves this group. Some groups of custom resources also end in `k8s.io` (Gateway API), so this
/// is a list of names.
pub(crate) fn is_built_in(api_version: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    matches!(
        group,
        "" | "apps"
            | "autoscaling"
            | "batch"
            | "policy"
            | "admissionregistration.k8s.io"
            | "apiextensions.k8s.io"
            | "apiregistration.k8s.io"
            | "certificates.k8s.io"
            | "coordination.k8s.io"
            | "discovery.k8s.io"
            | "events.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "networking.k8s.io"
            | "node.k8s.io"
            | "rbac.authorization.k8s.io"
            | "resource.k8s.io"
            | "scheduling.k8s.io"
            | "storage.k8s.io"
    )
}

/// Returns the quantity in units of 10⁻⁹, the smallest that the server stores, or `None` if the value is not exact.
fn nano(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => nano_of_text(&number.to_string()),
        Value::String(text) => nano_of_text(text),
        _ => None,
    }
}

fn nano_of_text(text: &str) -> Option<i128> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    // `12E` means 12 exa, and `12E3` means 12,000. Only the complete suffix distinguishes them.
    let (two, ten) = match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        exponent => (0, exponent.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mantissa = mantissa.checked_mul(1i128 << two)?;
    let scale = 9 + ten - i32::try_from(fraction.len()).ok()?;
    let power = 10i128.checked_pow(scale.unsigned_abs())?;
    if scale >= 0 {
        mantissa.checked_mul(power)
    } else {
        (mantissa % power == 0).then_some(mantissa / power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        same_quantity(&a.into(), &b.into())
    }

    #[test]
    fn compares_spellings_by_value() {
        for (a, b) in [
            ("1000m", "1"),
            ("0.5Gi", "512Mi"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("1E", "1000P"),
            (".5", "500m"),
            ("1.", "1"),
            ("+1", "1"),
            ("4915Mi", "4915Mi"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("1", "2"),
            ("1Gi", "1G"),
            ("1m", "1"),
            ("x", "1"),
            ("", "0"),
            ("1Zi", "1"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
        assert!(same_quantity(&1i64.into(), &"1".into()));
    }

    #[test]
    fn finds_quantities_only_in_built_in_fields() {
        let pod = ["spec", "containers", "*", "resources", "limits", "cpu"];
        assert!(is_quantity_field("v1", &pod));
        assert!(!is_quantity_field("example.com/v1", &pod));
        assert!(!is_quantity_field("v1", &["data", "cpu"]));
        assert!(is_quantity_field("v1", &["spec", "hard", "requests.cpu"]));
        assert!(!is_quantity_field("gateway.networking.k8s.io/v1", &pod));
    }
}
