//! The grammar of Kubernetes names, labels and annotation keys, and the rules for the names of each kind.

use crate::kubernetes::Kind;

pub(crate) const LABEL: &str =
    "a DNS label: at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends";
const SUBDOMAIN: &str =
    "a DNS name: at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends";
const SERVICE: &str = "a DNS label that starts with a letter: at most 63 lower-case letters, digits and `-`";
const SEGMENT: &str = "a name without `/` and `%` that is not `.` or `..`";

/// The length of the suffix that controllers append to a name for each revision: a hyphen and a hash of up to ten characters.
const HASH: usize = 11;

/// The maximum length of a DNS label, such as the name of a namespace, in characters.
pub const LONGEST_LABEL: usize = 63;

/// Returns the maximum length of an object's name, in characters.
pub(crate) fn longest_name(kind: &Kind) -> usize {
    match (kind.group(), kind.name()) {
        ("", "Namespace" | "Service") | ("batch", "Job") | ("sparkoperator.k8s.io", _) => LONGEST_LABEL,
        ("batch", "CronJob") => 52,
        ("apps", "StatefulSet") => LONGEST_LABEL - HASH,
        ("apps", "DaemonSet" | "Deployment") => 253 - HASH,
        ("postgresql.cnpg.io", "Cluster") => 50,
        ("ray.io", "RayCluster") => 53,
        ("ray.io", "RayService" | "RayJob") => 47,
        ("ray.io", "RayCronJob") => 36,
        _ => 253,
    }
}

/// Returns the form that the name of an object must have, if `name` does not have it.
pub(crate) fn refusal(kind: &Kind, name: &str) -> Option<&'static str> {
    let (fits, expected) = match (kind.group(), kind.name()) {
        ("", "Namespace") => (is_label(name), LABEL),
        ("", "Service") => (is_service_name(name), SERVICE),
        ("rbac.authorization.k8s.io", _) => (is_path_segment(name), SEGMENT),
        ("certificates.k8s.io", _) => (!name.is_empty(), "a name"),
        ("", "ComponentStatus") => (!name.is_empty(), "a name"),
        ("networking.k8s.io", "IPAddress") => (!name.is_empty(), "an IP address"),
        ("batch", "CronJob") => {
            // The controller appends 11 characters to name the Jobs.
            (
                is_subdomain(name) && name.len() <= 52,
                "a DNS name of at most 52 characters, since jobs are named after it",
            )
        }
        // The pods have a label with the name of the Job.
        ("batch", "Job") => (
            is_subdomain(name) && name.len() <= longest_name(kind),
            "a DNS name of at most 63 characters, since its pods have it in a label",
        ),
        // The pods have a label with the name and the hash of a revision: kubernetes/kubernetes#64023.
        ("apps", "StatefulSet") => (
            is_subdomain(name) && name.len() <= longest_name(kind),
            "a DNS name of at most 52 characters, since its pods have it in a label, with a hash",
        ),
        ("apps", "DaemonSet" | "Deployment") => (
            is_subdomain(name) && name.len() <= longest_name(kind),
            "a DNS name of at most 242 characters, since a hash is appended to it",
        ),
        // CloudNativePG appends suffixes to name Services and pods, and its webhook limits the name.
        ("postgresql.cnpg.io", "Cluster") => (
            is_service_name(name) && name.len() <= longest_name(kind),
            "a DNS label of at most 50 characters that starts with a letter",
        ),
        ("ray.io", "RayCluster") => (
            is_service_name(name) && name.len() <= 53,
            "a DNS label of at most 53 characters that starts with a letter",
        ),
        ("ray.io", "RayService" | "RayJob") => (
            is_service_name(name) && name.len() <= 47,
            "a DNS label of at most 47 characters that starts with a letter",
        ),
        ("ray.io", "RayCronJob") => (
            is_service_name(name) && name.len() <= 36,
            "a DNS label of at most 36 characters that starts with a letter",
        ),
        ("sparkoperator.k8s.io", "SparkApplication" | "ScheduledSparkApplication" | "SparkConnect") => {
            (is_service_name(name), SERVICE)
        }
        _ => (is_subdomain(name), SUBDOMAIN),
    };
    (!fits).then_some(expected)
}

/// Returns whether the text is a DNS-1035 label: a DNS-1123 label that starts with a letter.
pub fn is_service_name(text: &str) -> bool {
    is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn is_path_segment(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '%'])
}

/// Returns whether the text is a valid label value.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

/// Returns whether the text is a valid key of a label or an annotation.
pub fn is_qualified_name(text: &str) -> bool {
    // A scan of the bytes is faster than a string search, and this runs for every label of every object.
    match text.bytes().position(|byte| byte == b'/') {
        Some(slash) => is_subdomain(&text[..slash]) && is_name_part(&text[slash + 1..]),
        None => is_name_part(text),
    }
}

/// Returns whether the text is a DNS-1123 label: at most 63 lower-case letters, digits and `-`.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_subdomain(text) && !text.bytes().any(|byte| byte == b'.')
}

/// Returns whether the text is a DNS-1123 subdomain: labels separated by dots, at most 253 characters.
pub fn is_subdomain(text: &str) -> bool {
    // Only the total length is limited: a part of a subdomain can be longer than a label.
    let mut previous = b'.';
    let fits = text.bytes().all(|byte| {
        let fits = match byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'-' => previous != b'.',
            b'.' => previous != b'.' && previous != b'-',
            _ => false,
        };
        previous = byte;
        fits
    });
    fits && text.len() <= 253 && previous != b'.' && previous != b'-'
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::{is_label, is_label_value, is_qualified_name, is_service_name, is_subdomain};

    #[track_caller]
    fn check(fits: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        good.iter()
            .for_each(|text| assert!(fits(text), "{text} should fit"));
        bad.iter()
            .for_each(|text| assert!(!fits(text), "{text} should not fit"));
    }

    #[test]
    fn accepts_only_names_of_the_grammar() {
        let long = "a".repeat(64);
        check(
            is_label,
            &["a", "a-b", "1st", &long[1..]],
            &["", "-a", "a-", "A", "a.b", "a_b", &long],
        );
        check(
            is_subdomain,
            &["a", "a.b-c.1", &long],
            &["", ".a", "a.", "a..b", "a.-b", "a-.b", "A.b"],
        );
        check(is_service_name, &["a", "a1"], &["1a", "", "a.b"]);
        check(
            is_label_value,
            &["", "a", "A_b.c-D"],
            &["-a", "a b", "a/b", &long],
        );
        check(
            is_qualified_name,
            &["a", "a.b/C_d", "app.kubernetes.io/name"],
            &["", "/a", "a/", "A/b", "a/b/c", "a b"],
        );
    }
    #[test]
    fn longest_name_leaves_room_for_the_suffixes_of_controllers() {
        for (api_version, kind, longest) in [
            ("batch/v1", "Job", 63),
            ("batch/v1", "CronJob", 52),
            ("v1", "Service", 63),
            ("v1", "Namespace", 63),
            ("apps/v1", "StatefulSet", 52),
            ("apps/v1", "Deployment", 242),
            ("v1", "ConfigMap", 253),
        ] {
            let known = crate::kubernetes(api_version, kind).expect(kind);
            assert_eq!(known.longest_name(), longest, "{kind}");
            assert_eq!(super::refusal(known, &"a".repeat(longest)), None, "{kind}");
            assert!(
                super::refusal(known, &"a".repeat(longest + 1)).is_some(),
                "{kind}"
            );
        }
    }
}
