//! The grammar of Kubernetes names, labels and annotation keys, and which kinds have which.

use crate::kubernetes::Kind;

pub(crate) const LABEL: &str =
    "a DNS label: at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends";
const SUBDOMAIN: &str =
    "a DNS name: at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends";
const SERVICE: &str = "a DNS label that starts with a letter: at most 63 lower-case letters, digits and `-`";
const SEGMENT: &str = "a name without `/` and `%` that is not `.` or `..`";

/// What controllers append to a name to tell revisions apart: a hyphen, and a hash of up to ten characters.
const HASH: usize = 11;

/// The most characters of a label, such as the name of a namespace.
pub const LONGEST_LABEL: usize = 63;

/// The most characters of an object's name.
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

/// What the name of an object must be, where this one is not.
pub(crate) fn refusal(kind: &Kind, name: &str) -> Option<&'static str> {
    let (fits, expected) = match (kind.group(), kind.name()) {
        ("", "Namespace") => (is_label(name), LABEL),
        ("", "Service") => (is_service_name(name), SERVICE),
        ("rbac.authorization.k8s.io", _) => (is_path_segment(name), SEGMENT),
        ("certificates.k8s.io", _) => (!name.is_empty(), "a name"),
        ("", "ComponentStatus") => (!name.is_empty(), "a name"),
        ("networking.k8s.io", "IPAddress") => (!name.is_empty(), "an IP address"),
        ("batch", "CronJob") => {
            // The controller appends 11 characters to make the names of the Jobs.
            (
                is_subdomain(name) && name.len() <= 52,
                "a DNS name of at most 52 characters, since jobs are named after it",
            )
        }
        // A label of the Job's pods has its name.
        ("batch", "Job") => (
            is_subdomain(name) && name.len() <= longest_name(kind),
            "a DNS name of at most 63 characters, since its pods have it in a label",
        ),
        // A label of its pods has its name and the hash of a revision: kubernetes/kubernetes#64023.
        ("apps", "StatefulSet") => (
            is_subdomain(name) && name.len() <= longest_name(kind),
            "a DNS name of at most 52 characters, since its pods have it in a label, with a hash",
        ),
        ("apps", "DaemonSet" | "Deployment") => (
            is_subdomain(name) && name.len() <= longest_name(kind),
            "a DNS name of at most 242 characters, since a hash is appended to it",
        ),
        // The webhook of CloudNativePG appends suffixes to make the names of Services and pods.
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

/// Whether the text is a DNS-1035 label: a DNS-1123 label that starts with a letter.
pub fn is_service_name(text: &str) -> bool {
    is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn is_path_segment(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '%'])
}

/// Whether the text can be a label's value.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

/// Whether the text can be a label's or an annotation's key.
pub fn is_qualified_name(text: &str) -> bool {
    // A look at each byte, and not a search: this is asked for every label of every object.
    match text.bytes().position(|byte| byte == b'/') {
        Some(slash) => is_subdomain(&text[..slash]) && is_name_part(&text[slash + 1..]),
        None => is_name_part(text),
    }
}

/// Whether the text is a DNS-1123 label: at most 63 lower-case letters, digits and `-`.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_subdomain(text) && !text.bytes().any(|byte| byte == b'.')
}

/// Whether the text is a DNS-1123 subdomain: labels with dots in between, at most 253 characters.
pub fn is_subdomain(text: &str) -> bool {
    // A part of a subdomain may be longer than a label: only the whole is limited.
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
    fn names_follow_their_grammar() {
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
    fn names_leave_room_for_what_controllers_append() {
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
