//! Finds secrets in the files of an asset.
//!
//! The search is less strict than in documents, because code and dependencies contain many examples and names. Private keys are found in all
//! files, tokens of services in files that are not dependencies, and passwords only in files with settings.

use terrace_syntax::secrets::{assigned, forms_in};

/// A secret in a file of an asset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leak {
    /// The path of the file, relative to the directory of the asset.
    pub path: String,
    /// The kind of secret with its article: `a private key`.
    pub what: String,
}

/// The maximum size of a searched file. Larger files are data, not keys.
const LONGEST: usize = 16 << 20;

/// Extensions of encrypted key stores.
const KEY_STORES: [&str; 4] = [".p12", ".pfx", ".kdbx", ".ppk"];

/// Extensions of files with settings.
const SETTINGS: [&str; 7] = [".env", ".properties", ".ini", ".cfg", ".conf", ".toml", ".tfvars"];

/// Names of files with settings.
const NAMED: [&str; 6] = [".npmrc", ".pypirc", ".netrc", ".pgpass", "credentials", ".boto"];

/// Finds the first secret in a file. `path` is its path in the asset.
pub(super) fn in_file(path: &str, bytes: &[u8]) -> Option<Leak> {
    let leak = |what: String| Leak {
        path: path.to_owned(),
        what,
    };
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    if KEY_STORES.iter().any(|ending| name.ends_with(ending)) {
        return Some(leak("a key store".to_owned()));
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
        // The code of drivers contains example URLs.
        "a URL with a password" => gives,
        _ => !is_sample(&text[form.at.clone()]),
    });
    if let Some(token) = token {
        return Some(leak(token.what.to_owned()));
    }
    let line = |line: &str| assigned(line).map(str::to_owned);
    let key = gives.then(|| text.lines().find_map(line)).flatten()?;
    Some(leak(format!("a value for `{key}`")))
}

/// Returns whether a private key has a body. Code that reads keys contains only the first line of one.
fn has_body(key: &str) -> bool {
    const SHORTEST: usize = 64;
    let is_base64 = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let lines = key.lines().skip(1).take_while(|line| !line.starts_with("-----"));
    let body: usize = lines
        .map(|line| line.trim().chars().filter(is_base64).count())
        .sum();
    // In JSON, all lines of a key are in one string.
    let escaped = key.split("\\n").count() > 2 && key.len() > SHORTEST;
    body >= SHORTEST || escaped
}

/// Returns whether a file belongs to a third-party package.
fn is_dependency(path: &str) -> bool {
    let directories = path.split('/').rev().skip(1);
    let packages = ["node_modules", "site-packages", "dist-packages", "vendor"];
    let mut directories =
        directories.filter(|directory| packages.contains(directory) || directory.ends_with(".dist-info"));
    // The SDK of AWS describes its API with example keys.
    directories.next().is_some() || path.contains("botocore/data/")
}

/// Returns whether a file is an example of another file.
fn is_example(name: &str) -> bool {
    ["example", "sample", "template", "dist"]
        .iter()
        .any(|word| name.ends_with(&format!(".{word}")))
}

/// Returns whether a token is an example from documentation.
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
    fn finds_secrets_in_files() {
        for (path, text, expected) in [
            ("tls.pem", pem("PRIVATE KEY").as_str(), "a private key"),
            ("id_ed25519", pem("OPENSSH PRIVATE KEY").as_str(), "a private key"),
            (
                "node_modules/x/test/key.pem",
                pem("RSA PRIVATE KEY").as_str(),
                "a private key",
            ),
            ("client.p12", "", "a key store"),
            (".env", "A=1\nDB_PASSWORD=hunter2\n", "a value for `DB_PASSWORD`"),
            (
                ".env.production",
                "API_TOKEN=a8f3k2x9\n",
                "a value for `API_TOKEN`",
            ),
            (
                "app.properties",
                "db.password=hunter2\n",
                "a value for `db.password`",
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
    fn does_not_report_code_and_examples() {
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
