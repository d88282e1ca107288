//! Recognizes keys that name a secret, and values of such keys that are not secret.
//!
//! `password: x` sets a password for any `x`. `secret: x` may set a secret or the name of one: Kubernetes, Spark, Airflow and most operators
//! name Secrets in keys like `tlsSecret` and `auth-secret`. A key of the second kind indicates a secret only if the value does not look like
//! a name.

/// Words at the end of a key whose value is a secret.
const VALUES: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "privatekey",
    "secretkey",
    "accesskey",
    "clientsecret",
    "sharedsecret",
    "fernetkey",
    "passwordhash",
];

/// Words that indicate a secret only as a separate word: `DB_PASS`, but not `bypass`.
const WHOLE_WORDS: [&str; 3] = ["pass", "pwd", "pw"];

/// Words at the end of a key whose value is a secret, or the name of one.
const NAMES_OR_VALUES: [&str; 11] = [
    "secret",
    "token",
    "credential",
    "credentials",
    "masterkey",
    "signingkey",
    "encryptionkey",
    "accountkey",
    "sharedkey",
    "authkey",
    "sshkey",
];

/// The minimum length of a value that can be a secret.
const SHORTEST: usize = 6;

/// Shorter values that are common passwords.
const USUAL: [&str; 8] = ["admin", "guest", "minio", "pass", "root", "test", "toor", "user"];

/// Words that describe a secret but are not secret.
const NO_VALUES: [&str; 22] = [
    "boolean",
    "certificate",
    "default",
    "disable",
    "disabled",
    "enable",
    "enabled",
    "external",
    "forbidden",
    "generate",
    "generated",
    "hidden",
    "integer",
    "number",
    "optional",
    "plaintext",
    "preferred",
    "prompt",
    "required",
    "string",
    "unknown",
    "unused",
];

/// The end of a key in a state machine whose value is a path into the state.
const PATH: &str = ".$";

/// Returns whether a key with this value sets a secret.
pub fn gives_secret(key: &str, value: &str) -> bool {
    // `Token.$` in a state machine contains a path or an intrinsic function.
    if key.ends_with(PATH) && value.starts_with(['$', 'S']) {
        return false;
    }
    match strength(key) {
        None => false,
        Some(Strength::Value) => is_value(value),
        Some(Strength::NameOrValue) => is_value(value) && !is_name(value),
    }
}

/// Returns whether a key names a secret.
pub(crate) fn names_secret(key: &str) -> bool {
    strength(key).is_some()
}

/// Returns whether a key can only be for a password or a private key.
pub fn is_password(key: &str) -> bool {
    !key.ends_with(PATH) && VALUES.iter().any(|word| ends_with(key, word))
}

/// Returns whether a value is a literal, not a value that is substituted during the deployment.
pub fn is_written(value: &str) -> bool {
    !(value.is_empty()
        || value.contains("{{")
        || value.contains("${")
        || value.starts_with("arn:")
        || matches!(value, "true" | "false"))
}

enum Strength {
    Value,
    NameOrValue,
}

fn strength(key: &str) -> Option<Strength> {
    let ends_in = |words: &[&str]| words.iter().any(|word| ends_with(key, word));
    // `secretKey` of an ExternalSecret names the key for a value.
    if key == "secretKey" {
        return Some(Strength::NameOrValue);
    }
    let whole = || {
        let last = last_word(key);
        WHOLE_WORDS.iter().any(|word| last.eq_ignore_ascii_case(word))
    };
    if ends_in(&VALUES) || whole() {
        Some(Strength::Value)
    } else if ends_in(&NAMES_OR_VALUES) {
        Some(Strength::NameOrValue)
    } else {
        None
    }
}

/// Returns whether a key ends with a word, independent of case and punctuation.
fn ends_with(key: &str, word: &str) -> bool {
    let letters = key.bytes().rev().filter(u8::is_ascii_alphanumeric);
    let mut letters = letters.map(|byte| byte.to_ascii_lowercase());
    word.bytes().rev().all(|byte| letters.next() == Some(byte))
}

/// Returns the last word of a key: `PASS` of `DB_PASS`, `Pass` of `smtpPass`.
fn last_word(key: &str) -> &str {
    let key = key.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let from = key
        .rfind(|c: char| !c.is_ascii_alphanumeric())
        .map_or(0, |at| at + key[at..].chars().next().map_or(1, char::len_utf8));
    let word = &key.as_bytes()[from..];
    let begins = |at: &usize| {
        let before = word[at - 1];
        let ends_capitals = word.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        word[*at].is_ascii_uppercase() && (!before.is_ascii_uppercase() || ends_capitals)
    };
    &key[from + (1..word.len()).rev().find(begins).unwrap_or(0)..]
}

/// Returns whether a string can be a secret: not an expression, a placeholder, a path, an ARN, or a word about secrets.
pub(crate) fn is_value(text: &str) -> bool {
    if text.len() < SHORTEST {
        return USUAL.contains(&text);
    }
    !text.contains("{{")
        && !text.contains("${")
        && !text.contains("$(")
        && !text.starts_with(['/', '$', '<', '%'])
        && !text.starts_with("arn:")
        && !text.contains("resolve:")
        && !text.contains(char::is_whitespace)
        && !text.bytes().all(|byte| matches!(byte, b'*' | b'.' | b'x' | b'X'))
        && !NO_VALUES.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Returns whether a string looks like a name: words in small or capital letters, with short numbers, separated by punctuation.
///
/// A single word with a digit is not a name: `hunter2`.
fn is_name(text: &str) -> bool {
    const LONGEST_WORD: usize = 24;
    const LONGEST_NUMBER: usize = 4;
    let words: Vec<&str> = text.split(['-', '_', '.', '/', ':', '@']).collect();
    let alone = words.len() == 1;
    let is_word = |word: &&str| {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = word.len() - letters.len();
        let plain = letters.bytes().all(|b| b.is_ascii_lowercase())
            || letters.bytes().all(|b| b.is_ascii_uppercase())
            // `warehousePassword` and `Dev` are names, too.
            || letters.bytes().all(|b| b.is_ascii_alphabetic()) && !letters.is_empty();
        match (letters.is_empty(), alone) {
            (true, _) => !alone && digits <= LONGEST_NUMBER,
            (false, true) => plain && digits == 0 && letters.len() <= LONGEST_WORD,
            (false, false) => plain && digits <= 2 && letters.len() <= LONGEST_WORD,
        }
    };
    words.iter().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_a_key_by_its_last_word() {
        for key in [
            "DB_PASS",
            "pass",
            "smtp-pwd",
            "db.pass",
            "smtpPass",
            "DBPass",
            "clientSecret",
            "--password",
            "MINIO_SECRET_KEY",
            "AIRFLOW__CORE__FERNET_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "MasterUserPassword",
        ] {
            assert!(names_secret(key), "{key}");
        }
        for key in [
            "bypass",
            "COMPASS",
            "pass_through",
            "passwords_file",
            "token_ttl",
            "secretName",
            "PASSWORD_FILE",
            "TOKEN_URL",
            "AccessKeyId",
            "password_encryption",
            "",
            "_",
        ] {
            assert!(!names_secret(key), "{key}");
        }
    }

    #[test]
    fn every_value_of_a_password_is_secret() {
        for (key, value) in [
            ("DB_PASSWORD", "hunter2"),
            ("DB_PASSWORD", "correct-horse-battery"),
            ("password", "admin"),
            ("MINIO_SECRET_KEY", "minio123"),
            ("client_secret", "abc-def"),
            ("SESSION_SECRET", "a8f3k2x9"),
            ("apiToken", "4f9a-22bc-99ff-0001aa"),
            ("jwt_secret", "Zm9vYmFyYmF6cXV4"),
        ] {
            assert!(gives_secret(key, value), "{key}: {value}");
        }
    }

    #[test]
    fn the_name_of_a_secret_is_not_secret() {
        for (key, value) in [
            ("fernet_secret", "airflow-fernet-key"),
            ("image_pull_secret", "registry-credentials"),
            ("git_credentials", "git-ssh-key"),
            ("token_secret", "ray-auth-token"),
            ("serverTLSSecret", "my-server-cert"),
            ("nginx.ingress.kubernetes.io/auth-secret", "history-basic-auth"),
            ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET", "airflow-metadata"),
            ("spark.kubernetes.driver.secret", "warehouse:password"),
            ("secret", "database-tls"),
            ("secretKey", "tls.crt"),
            ("secretKey", "DB_PASSWORD"),
            ("AccessToken", "minutes"),
            ("ClientToken.$", "States.UUID()"),
            ("Password.$", "$.password"),
            ("DB_PASSWORD", "$(DB_PASSWORD)"),
            ("password", "/run/secrets/db"),
            ("password", "<the password>"),
            ("password", "********"),
            ("password", "required"),
            ("sshKey", "s3-backup-v2"),
        ] {
            assert!(!gives_secret(key, value), "{key}: {value}");
        }
    }
}
