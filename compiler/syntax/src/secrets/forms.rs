//! Recognizes secrets by their form, independent of their key: private keys, keys and tokens of well-known services, and URLs with a
//! password.
//!
//! The forms are those that the services document for secret scanners: fixed prefixes and fixed lengths. A secret without a special form,
//! such as a password, is recognized only by its key.

use std::ops::Range;

use terrace_artifact::base64;

/// Prefixes of tokens, the minimum number of characters that follow, and the kind of token.
const PREFIXES: [(&str, usize, &str); 34] = [
    ("ghp_", 20, "a GitHub token"),
    ("gho_", 20, "a GitHub token"),
    ("ghu_", 20, "a GitHub token"),
    ("ghs_", 20, "a GitHub token"),
    ("ghr_", 20, "a GitHub token"),
    ("github_pat_", 20, "a GitHub token"),
    ("glpat-", 16, "a GitLab token"),
    ("gldt-", 16, "a GitLab token"),
    ("glrt-", 16, "a GitLab token"),
    ("xoxa-", 15, "a Slack token"),
    ("xoxb-", 15, "a Slack token"),
    ("xoxe-", 15, "a Slack token"),
    ("xoxp-", 15, "a Slack token"),
    ("xoxr-", 15, "a Slack token"),
    ("xoxs-", 15, "a Slack token"),
    ("xapp-", 15, "a Slack token"),
    ("sk_live_", 12, "a Stripe key"),
    ("sk_test_", 12, "a Stripe key"),
    ("rk_live_", 12, "a Stripe key"),
    ("whsec_", 24, "the secret of a webhook"),
    ("sk-ant-", 20, "an Anthropic key"),
    ("sk-proj-", 20, "an OpenAI key"),
    ("npm_", 30, "an npm token"),
    ("pypi-AgEI", 20, "a PyPI token"),
    ("dckr_pat_", 20, "a Docker token"),
    ("dop_v1_", 40, "a DigitalOcean token"),
    ("hf_", 30, "a Hugging Face token"),
    ("hvs.", 20, "a Vault token"),
    ("hvb.", 20, "a Vault token"),
    ("SG.", 40, "a SendGrid key"),
    ("AIza", 35, "a Google API key"),
    ("ya29.", 20, "a Google access token"),
    ("dapi", 32, "a Databricks token"),
    ("AGE-SECRET-KEY-1", 50, "an age key"),
];

/// A secret in a string that is recognized by its form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Form {
    /// The range of the secret, in bytes.
    pub at: Range<usize>,
    /// The kind of secret with its article: `a private key`.
    pub what: &'static str,
}

/// Finds the first secret in a string.
pub(crate) fn first(text: &str) -> Option<Form> {
    // `://u:ppp@` is the shortest secret. This function is called for every string of every document.
    if text.len() < 9 {
        return None;
    }
    find(text).next()
}

/// Finds all secrets in a string.
pub fn find(text: &str) -> impl Iterator<Item = Form> + '_ {
    let key = private_key(text).map(|at| Form {
        at,
        what: "a private key",
    });
    let encoded = whole_is_encoded(text);
    key.into_iter()
        .chain(encoded)
        .chain(words(text).filter_map(|(start, word)| {
            let what = url_with_password(word)
                .then_some("a URL with a password")
                .or_else(|| parts(word).find_map(token))?;
            Some(Form {
                at: start..start + word.len(),
                what,
            })
        }))
}

/// Finds the range of a private key in PEM.
fn private_key(text: &str) -> Option<Range<usize>> {
    let marks = text.match_indices("-----BEGIN ");
    let start = marks.map(|(at, _)| at).find(|at| {
        let rest = &text[at + 11..];
        let end = rest.find("-----").unwrap_or(rest.len());
        rest[..end].contains("PRIVATE KEY")
    })?;
    let rest = &text[start..];
    let end = rest
        .find("-----END ")
        .and_then(|at| Some(at + 9 + rest[at + 9..].find("-----")? + 5));
    Some(start..start + end.unwrap_or(rest.len()))
}

/// Recognizes a base64 string whose decoded form contains a secret, such as a value in `data` of a Secret.
fn whole_is_encoded(text: &str) -> Option<Form> {
    const SHORTEST: usize = 24;
    let packed = text.len() >= SHORTEST && !text.contains(' ') && text.is_ascii();
    let plain = packed.then(|| base64::decode(text)).flatten()?;
    let plain = String::from_utf8(plain).ok()?;
    let what = match private_key(&plain) {
        Some(_) => "a private key in base64",
        None => words(&plain).find_map(|(_, word)| {
            let secret = url_with_password(word) || parts(word).any(|part| token(part).is_some());
            secret.then_some("a secret in base64")
        })?,
    };
    Some(Form {
        at: 0..text.len(),
        what,
    })
}

/// Splits a string at white space and quotes into words with their offsets.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    let start = text.as_ptr().addr();
    text.split(ends)
        .filter(|word| word.len() >= 9)
        .map(move |word| (word.as_ptr().addr() - start, word))
}

/// Returns the parts of a word that may be a token: `Bearer:abc`, `key=abc`, `user@abc`.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| {
        matches!(
            c,
            ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | '&' | '?' | ':' | '@' | '|'
        )
    };
    word.split(ends)
        .flat_map(|part| {
            // The padding of base64 is part of the token.
            let rest = part
                .split_once('=')
                .map(|(_, rest)| rest)
                .filter(|rest| rest.len() > 2);
            [Some(part), rest].into_iter().flatten()
        })
        .filter(|part| part.len() >= 16)
}

/// Returns the kind of token that a word is, if any.
fn token(word: &str) -> Option<&'static str> {
    let is_token = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    let prefixed = PREFIXES.iter().find(|(prefix, shortest, _)| {
        let rest = word.strip_prefix(prefix);
        rest.is_some_and(|rest| {
            rest.len() >= *shortest && rest.bytes().all(is_token) && varied(rest.as_bytes())
        })
    });
    let what = prefixed.map(|(.., what)| *what);
    what.or_else(|| is_access_key(word).then_some("an AWS access key"))
        .or_else(|| is_secret_key(word).then_some("an AWS secret key"))
        .or_else(|| is_fernet_key(word).then_some("a Fernet key"))
        .or_else(|| is_signed(word).then_some("a signed token (JWT)"))
}

/// Returns whether a token has different characters, unlike an example such as `ghp_xxxxxxxxxxxxxxxxxxxx`.
fn varied(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| !byte.eq_ignore_ascii_case(&bytes[0]))
}

/// Recognizes `AKIA` or `ASIA` followed by 16 capital letters and digits.
fn is_access_key(word: &str) -> bool {
    let rest = word.strip_prefix("AKIA").or_else(|| word.strip_prefix("ASIA"));
    rest.is_some_and(|rest| {
        rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    })
}

/// Recognizes 40 random characters of base64 that are not a path.
fn is_secret_key(word: &str) -> bool {
    word.len() == 40
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+'))
        && word.contains(['/', '+'])
        && looks_random(word)
}

/// Recognizes 32 bytes in base64url with padding.
fn is_fernet_key(word: &str) -> bool {
    let Some(key) = word.strip_suffix('=').filter(|key| key.len() == 43) else {
        return false;
    };
    key.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && key.contains(['-', '_'])
        && looks_random(key)
}

/// Returns whether capital letters, small letters and digits alternate as in random strings, not as in names.
fn looks_random(word: &str) -> bool {
    let class = |b: &u8| match b {
        b'A'..=b'Z' => 0,
        b'a'..=b'z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let classes: Vec<u8> = word.as_bytes().iter().map(class).collect();
    let changes = classes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    (0..3).all(|class| classes.contains(&class)) && changes * 5 >= classes.len() * 2
}

/// Recognizes the header, claims and signature of a JSON Web Token.
fn is_signed(word: &str) -> bool {
    let is_part = |part: &str| {
        part.len() >= 10
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    word.starts_with("eyJ") && word.split('.').count() == 3 && word.split('.').all(is_part)
}

/// Recognizes `postgresql://user:password@host`.
fn url_with_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let Some((user, _)) = rest.split('/').next().unwrap_or_default().rsplit_once('@') else {
        return false;
    };
    let is_given = |password: &str| password.len() >= 3 && !password.contains(['{', '$', '<', '*', '%']);
    user.split_once(':')
        .is_some_and(|(_, password)| is_given(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(text: &str) -> Option<&'static str> {
        first(text).map(|form| form.what)
    }

    #[test]
    fn recognizes_secrets_by_their_form() {
        // Composed here, so that no scanner reports this file.
        let github = format!("ghp_{}", "a1B2".repeat(9));
        let slack = format!("xoxb-{}", "111122223333-abcdefghijk");
        for (text, expected) in [
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "a private key"),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "a private key"),
            (
                "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----",
                "a private key",
            ),
            ("AKIAIOSFODNN7EXAMPLE", "an AWS access key"),
            ("aws_access_key_id=AKIAIOSFODNN7EXAMPLE", "an AWS access key"),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "an AWS secret key"),
            ("ZmDfcTF7_60GrrY167zsiPd67pEvs0aGOv2oasOM1Pg=", "a Fernet key"),
            (
                "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
                "a signed token (JWT)",
            ),
            ("postgresql://u:hunter2@h/db", "a URL with a password"),
            ("redis://:hunter2@cache:6379", "a URL with a password"),
            (
                "sql_alchemy_conn = postgresql+psycopg2://airflow:airflow@db/airflow",
                "a URL with a password",
            ),
            ("cG9zdGdyZXNxbDovL3U6aHVudGVyMkBoL2Ri", "a secret in base64"),
            (
                "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSUUK",
                "a private key in base64",
            ),
            (github.as_str(), "a GitHub token"),
            (slack.as_str(), "a Slack token"),
        ] {
            assert_eq!(what(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn does_not_report_strings_that_resemble_secrets() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "https://hooks.example.com/services/team/channel",
            "postgresql://u:${DB_PASSWORD}@h/db",
            "https://user@example.com/a:b@c",
            "s3://acme-production-platform-lake-archive/data/2026",
            "acme/platform/warehouse/OrdersByCustomer1",
            "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
            "arn:aws:secretsmanager:eu-central-1:111122223333:secret:warehouse-a1B2c3",
            "hf_transformers_are_enabled",
            "eyJhbGciOiJub25lIn0.e30.",
        ] {
            assert_eq!(what(text), None, "{text}");
        }
    }
}
