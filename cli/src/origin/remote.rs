//! Derives one name from all URLs of a repository.

use gix::bstr::ByteSlice as _;
use gix::url::{Scheme, Url};

/// Returns host and path of a repository, such as `github.com/acme/platform`, or `None` for a local path.
///
/// User, password, port and scheme are dropped: they differ between users, and between `ssh` and `https`.
pub(super) fn name(url: &Url) -> Option<String> {
    let (host, path) = match &url.scheme {
        Scheme::Ssh | Scheme::Http | Scheme::Https | Scheme::Git => (
            url.host()?.to_ascii_lowercase(),
            url.path.to_str().ok()?.to_owned(),
        ),
        Scheme::Helper(helper) if helper == "codecommit" => codecommit(url.path.to_str().ok()?)?,
        _ => return None,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = decoded(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (host, mut parts) = known(host, parts);
    let last = parts.pop()?;
    let last = last.strip_suffix(".git").unwrap_or(last);
    parts.push(last);
    Some(format!("{host}/{}", parts.join("/")))
}

/// Normalizes the URLs of servers whose `ssh` and `https` URLs differ in more than the scheme.
fn known(host: String, mut parts: Vec<&str>) -> (String, Vec<&str>) {
    match host.as_str() {
        // `ssh` through port 443, for networks that block port 22.
        "ssh.github.com" => return ("github.com".to_owned(), parts),
        "altssh.gitlab.com" => return ("gitlab.com".to_owned(), parts),
        "altssh.bitbucket.org" => return ("bitbucket.org".to_owned(), parts),
        // git@ssh.dev.azure.com:v3/ORG/PROJECT/REPO is https://dev.azure.com/ORG/PROJECT/_git/REPO.
        "ssh.dev.azure.com" | "vs-ssh.visualstudio.com" | "dev.azure.com" => {
            parts.retain(|part| *part != "_git");
            if parts.first() == Some(&"v3") {
                parts.remove(0);
            }
            return ("dev.azure.com".to_owned(), parts);
        }
        _ => {}
    }
    // https://ORG.visualstudio.com/[DefaultCollection/]PROJECT/_git/REPO is the older form of the URL.
    if let Some(organization) = host.strip_suffix(".visualstudio.com") {
        parts.retain(|part| !matches!(*part, "_git" | "DefaultCollection"));
        return (format!("dev.azure.com/{organization}"), parts);
    }
    // Bitbucket Data Center: https://HOST/scm/PROJECT/REPO is ssh://git@HOST:7999/PROJECT/REPO. Gerrit: https://HOST/a/REPO
    // is ssh://HOST:29418/REPO.
    if parts.len() > 1 && matches!(parts.first(), Some(&"scm" | &"a")) {
        parts.remove(0);
    }
    (host, parts)
}

/// Converts `eu-west-1://[PROFILE@]REPO`, the address format of the AWS helper `codecommit`, to the host and the path of the
/// HTTPS URL: `https://git-codecommit.REGION.amazonaws.com/v1/repos/REPO`.
fn codecommit(address: &str) -> Option<(String, String)> {
    let (region, repository) = address.split_once("://")?;
    let repository = repository.rsplit_once('@').map_or(repository, |(_, name)| name);
    let host = format!("git-codecommit.{region}.amazonaws.com");
    Some((host, format!("v1/repos/{repository}")))
}

/// Decodes `%20` and other escapes of a path.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%');
        let byte = escaped.and_then(|digits| u8::from_str_radix(digits.to_str().ok()?, 16).ok());
        rest = if byte.is_some() { &after[2..] } else { after };
        bytes.push(byte.unwrap_or(*first));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(url: &str) -> Option<String> {
        gix::url::parse(url).ok().and_then(|url| name(&url))
    }

    #[test]
    fn derives_one_name_from_all_urls_of_a_repository() {
        let same = [
            (
                "github.com/acme/platform",
                &[
                    "https://github.com/acme/platform",
                    "https://github.com/acme/platform.git",
                    "https://github.com/acme/platform/",
                    "https://GitHub.com:443/acme/platform.git",
                    "http://github.com/acme/platform",
                    "https://x-access-token:hunter2@github.com/acme/platform.git",
                    "git@github.com:acme/platform.git",
                    "github.com:acme/platform",
                    "ssh://git@github.com/acme/platform.git",
                    "ssh://git@ssh.github.com:443/acme/platform.git",
                    "git+ssh://git@github.com:22/acme/platform",
                    "git://github.com/acme/platform.git",
                ][..],
            ),
            (
                "gitlab.example.com/data/lake/platform",
                &[
                    "ssh://git@gitlab.example.com:2222/data/lake/platform.git",
                    "https://gitlab-ci-token:hunter2@gitlab.example.com/data/lake/platform.git",
                ],
            ),
            (
                "dev.azure.com/acme/data platform/lake",
                &[
                    "https://acme@dev.azure.com/acme/data%20platform/_git/lake",
                    "git@ssh.dev.azure.com:v3/acme/data%20platform/lake",
                    "https://acme.visualstudio.com/DefaultCollection/data%20platform/_git/lake",
                    "acme@vs-ssh.visualstudio.com:v3/acme/data%20platform/lake",
                ],
            ),
            (
                "git-codecommit.eu-west-1.amazonaws.com/v1/repos/lake",
                &[
                    "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/lake",
                    "ssh://APKAEXAMPLE@git-codecommit.eu-west-1.amazonaws.com/v1/repos/lake",
                    "codecommit::eu-west-1://production@lake",
                    "codecommit::eu-west-1://lake",
                ],
            ),
            (
                "bitbucket.example.com/data/lake",
                &[
                    "https://ana@bitbucket.example.com/scm/data/lake.git",
                    "ssh://git@bitbucket.example.com:7999/data/lake.git",
                ],
            ),
        ];
        for (name, urls) in same {
            for url in urls {
                assert_eq!(named(url).as_deref(), Some(name), "{url}");
            }
        }
    }

    #[test]
    fn rejects_local_paths() {
        for url in [
            "/srv/git/platform.git",
            "../platform",
            "file:///srv/git/platform",
            "https://github.com/",
            "codecommit://lake",
        ] {
            assert_eq!(named(url), None, "{url}");
        }
    }

    #[test]
    fn removes_credentials_from_names() {
        for url in [
            "https://ana:hunter2@host.example/a/b/c",
            "https://hunter2@host.example/lake",
            "ssh://ana:hunter2@host.example/x",
        ] {
            let name = named(url).unwrap_or_default();
            assert!(
                !name.is_empty() && !name.contains("hunter2") && !name.contains('@'),
                "{name}"
            );
        }
    }
}
