//! Secrets in the files of an asset.
//!
//! Less is taken for a secret here than in documents: code and its dependencies are full of examples and of names for things.
//! Private keys are found everywhere, tokens of services where no dependency has them in its documentation, and passwords
//! in files that are there to give values to names.

use crate::check::{assigned, forms_in};

/// A secret in a file of an asset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Leak {
    /// The file, from the asset's directory.
    pub(crate) path: String,
    /// What it holds, in words: `a private key`.
    pub(crate) what: String,
}

/// Longer files are data, not keys.
const LONGEST: usize = 16 << 20;

/// Endings of files that hold keys and that nobody can look into.
const KEY_STORES: [&str; 4] = [".p12", ".pfx", ".kdbx", ".ppk"];

/// Endings of files that give values to names.
const SETTINGS: [&str; 7] = [".env", ".properties", ".ini", ".cfg", ".conf", ".toml", ".tfvars"];

/// Names of files that give values to names.
const NAMED: [&str; 6] = [".npmrc", ".pypirc", ".netrc", ".pgpass", "credentials", ".boto"];

/// The first secret in a file. `path` is its path in the asset.
pub(super) fn in_file(path: &str, bytes: &[u8]) -> Option<Leak> {
    let leak = |what: String| Leak {
        path: path.to_owned(),
        what,
    };
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    if KEY_STORES.iter().any(|ending| name.ends_with(ending)) {
        return Some(leak("a store of keys".to_owned()));
    }
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.len() <= LONGEST)?;
    let key = text
        .contains("PRIVATE KEY")
        .then(|| forms_in(text).next())
        .flatten();
    if let Some(key) = key.filter(|form| has_body(&text[form.at.clone()])) {
        return Some(leak(key.what.to_owned()));
    }
    if is_dependency(path) || is_example(&name) {
        return None;
    }
    let gives = SETTINGS.iter().any(|ending| name.ends_with(ending))
        || name.starts_with(".env.")
        || NAMED.contains(&name.as_str());
    let token = forms_in(text).find(|form| match form.what {
        "a private key" => false,
        // Drivers show in their code what a URL looks like.
        "a URL with a password" => gives,
        _ => !is_sample(&text[form.at.clone()]),
    });
    if let Some(token) = token {
        return Some(leak(token.what.to_owned()));
    }
    let line = |line: &str| assigned(line).map(str::to_owned);
    let key = gives.then(|| text.lines().find_map(line)).flatten()?;
    Some(leak(format!("a value of `{key}`")))
}

/// Whether a private key is there, and not only the line that begins one: code that reads keys has that, too.
fn has_body(key: &str) -> bool {
    const SHORTEST: usize = 64;
    let is_base64 = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let lines = key.lines().skip(1).take_while(|line| !line.starts_with("-----"));
    let body: usize = lines
        .map(|line| line.trim().chars().filter(is_base64).count())
        .sum();
    // In JSON the lines of a key are one.
    let escaped = key.split("\\n").count() > 2 && key.len() > SHORTEST;
    body >= SHORTEST || escaped
}

/// Whether a file belongs to a package that somebody else made.
fn is_dependency(path: &str) -> bool {
    let folders = path.split('/').rev().skip(1);
    let packages = ["node_modules", "site-packages", "dist-packages", "vendor"];
    let mut folders = folders.filter(|folder| packages.contains(folder) || folder.ends_with(".dist-info"));
    // AWS's own SDK describes its API with sample keys.
    folders.next().is_some() || path.contains("botocore/data/")
}

/// Whether a file shows what another one looks like.
fn is_example(name: &str) -> bool {
    ["example", "sample", "template", "dist"]
        .iter()
        .any(|word| name.ends_with(&format!(".{word}")))
}

/// Whether a token is one that documentation uses.
fn is_sample(token: &str) -> bool {
    token.contains("EXAMPLE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(path: &str, text: &str) -> Option<String> {
        in_file(path, text.as_bytes()).map(|leak| leak.what)
    }

    fn pem(kind: &str) -> String {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
        format!("-----BEGIN {kind}-----\n{line}\n{line}\n-----END {kind}-----\n")
    }

    #[test]
    fn secrets_in_files_are_found() {
        for (path, text, expected) in [
            ("tls.pem", pem("PRIVATE KEY").as_str(), "a private key"),
            ("id_ed25519", pem("OPENSSH PRIVATE KEY").as_str(), "a private key"),
            (
                "node_modules/x/test/key.pem",
                pem("RSA PRIVATE KEY").as_str(),
                "a private key",
            ),
            ("client.p12", "", "a store of keys"),
            (".env", "A=1\nDB_PASSWORD=hunter2\n", "a value of `DB_PASSWORD`"),
            (
                ".env.production",
                "API_TOKEN=a8f3k2x9\n",
                "a value of `API_TOKEN`",
            ),
            (
                "app.properties",
                "db.password=hunter2\n",
                "a value of `db.password`",
            ),
            (
                "handler.py",
                "KEY = 'AKIAIOSFODNN7ABCDEFG'\n",
                "an AWS access key",
            ),
            (
                "db.ini",
                "url = postgresql://app:hunter2@db/app\n",
                "a URL with a password",
            ),
        ] {
            assert_eq!(what(path, text).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn code_and_examples_are_no_secrets() {
        for (path, text) in [
            ("cacert.pem", pem("CERTIFICATE").as_str()),
            (
                "ssh.py",
                "_SK_START = b\"-----BEGIN OPENSSH PRIVATE KEY-----\"\n_SK_END = b\"-----END OPENSSH PRIVATE KEY-----\"\n",
            ),
            (
                "login.py",
                "password = os.environ['DB_PASSWORD']\ntoken = get_token()\n",
            ),
            (".env", "A=1\nDB_PASSWORD=\n"),
            (".env.example", "DB_PASSWORD=hunter2\n"),
            (
                "psycopg2.py",
                "# postgresql+psycopg2://scott:tiger@localhost/test\n",
            ),
            ("node_modules/x/README.md", "mongodb://user:hunter2@host\n"),
            ("docs.py", "AKIAIOSFODNN7EXAMPLE"),
            (
                "boto.json",
                "\"SecretAccessKey\": \"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\"",
            ),
        ] {
            assert_eq!(what(path, text), None, "{path}");
        }
        assert_eq!(in_file("lib.so", &[0xff; 64]), None);
    }
}
