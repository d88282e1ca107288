//! Installs and locates the third-party programs that tests run.
//!
//! Everything is installed once under `target/servers`, from the registries of Go, Python and Node. A stamp file next to each
//! program records the digest of its sources.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use terrace_artifact::Digest;

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Returns the subdirectories of a directory, in order of name.
///
/// # Panics
///
/// If the directory cannot be read.
#[track_caller]
pub fn subfolders(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut directories: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    directories.sort();
    directories
}

/// Lists the UTF-8 files that git tracks or would add, with their contents. If `extensions` is not empty, lists only files with these extensions.
///
/// # Panics
///
/// Panics if `git ls-files` fails.
#[track_caller]
pub fn tracked_files(extensions: &[&str]) -> Vec<(String, String)> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = String::from_utf8(output.stdout).expect("file names in UTF-8");
    let files = names.split('\0').filter(|name| {
        let extension = Path::new(name)
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        !name.is_empty() && (extensions.is_empty() || extensions.contains(&extension))
    });
    // Git also lists files that were just deleted. They cannot be read and are skipped, like files that are not UTF-8.
    files
        .filter_map(|name| Some((name.to_owned(), fs::read_to_string(root().join(name)).ok()?)))
        .collect()
}

/// Returns the directory of the installed programs and of the servers' state.
pub fn directory() -> PathBuf {
    root().join("target/servers")
}

/// A third-party program or environment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    /// The Kubernetes cluster of `tests/kubernetes`.
    Kubernetes,
    /// A Python environment with the AWS endpoint, its client, and judges.
    Python,
    /// The judges that run on Node.
    Node,
}

impl Tool {
    /// All tools.
    pub const ALL: [Tool; 3] = [Tool::Kubernetes, Tool::Python, Tool::Node];

    /// Returns the name for the output of tests.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Kubernetes => "kubernetes cluster (go build)",
            Tool::Python => "aws endpoint and judges (pip install)",
            Tool::Node => "judges (npm install)",
        }
    }

    /// Returns the path of the program.
    ///
    /// # Panics
    ///
    /// If the version that this checkout needs is not installed, because a test without its server or judge must fail.
    #[track_caller]
    pub fn path(self) -> PathBuf {
        assert!(
            self.is_installed(),
            "the {} is missing or outdated: run `cargo xtask test`, which installs it",
            self.name()
        );
        self.program()
    }

    /// Returns whether the tool is installed and was built from the files of this checkout.
    pub fn is_installed(self) -> bool {
        fs::read_to_string(self.stamp()).is_ok_and(|stamp| stamp == self.fingerprint())
            && self.program().exists()
    }

    /// Installs the tool, unless it is installed already.
    pub fn install(self) -> Result<(), String> {
        if self.is_installed() {
            return Ok(());
        }
        let _ = fs::remove_file(self.stamp());
        fs::create_dir_all(directory()).map_err(|error| format!("{}: {error}", directory().display()))?;
        match self {
            Tool::Kubernetes => self.build()?,
            Tool::Python => self.make_environment()?,
            Tool::Node => self.install_packages()?,
        }
        fs::write(self.stamp(), self.fingerprint()).map_err(|error| error.to_string())
    }

    fn program(self) -> PathBuf {
        match self {
            Tool::Kubernetes => directory().join("controlplane"),
            Tool::Python => directory().join("python/bin/python"),
            Tool::Node => directory().join("node/node_modules/asl-validator/dist/bin/asl-validator.js"),
        }
    }

    fn stamp(self) -> PathBuf {
        directory().join(match self {
            Tool::Kubernetes => "controlplane.stamp",
            Tool::Python => "python.stamp",
            Tool::Node => "node.stamp",
        })
    }

    /// Computes the digest of the files that the tool is built from.
    fn fingerprint(self) -> String {
        let tests = root().join("tests");
        let mut text = String::new();
        for path in match self {
            Tool::Kubernetes => files_in(&tests.join("kubernetes")),
            Tool::Python => vec![tests.join("requirements.txt"), tests.join("constraints.txt")],
            Tool::Node => vec![
                tests.join("judges/package.json"),
                tests.join("judges/package-lock.json"),
            ],
        } {
            let bytes = fs::read(&path).unwrap_or_default();
            let _ = writeln!(text, "{} {}", path.display(), Digest::of_bytes(&bytes));
        }
        Digest::of_bytes(text.as_bytes()).to_string()
    }

    /// Builds the Kubernetes cluster. The first build takes four minutes on two cores; later builds use Go's cache.
    fn build(self) -> Result<(), String> {
        let sources = root().join("tests/kubernetes");
        let list = ["list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"];
        let version = run(Command::new("go").args(list).current_dir(&sources))?;
        let version = version.trim();
        let minor = version
            .split('.')
            .nth(1)
            .ok_or_else(|| format!("no minor version in `{version}`"))?;
        let package = "k8s.io/component-base/version";
        let flags = format!(
            "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
        );
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-buildvcs=false", "-o"])
            .arg(self.program())
            .arg("-ldflags")
            .arg(flags)
            .arg(".");
        run(go.current_dir(&sources)).map(drop)
    }

    fn make_environment(self) -> Result<(), String> {
        let (tests, environment) = (root().join("tests"), directory().join("python"));
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment))?;
        let mut pip = Command::new(self.program());
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(tests.join("requirements.txt"))
        .arg("--constraint")
        .arg(tests.join("constraints.txt"));
        run(&mut pip).map(drop)
    }

    fn install_packages(self) -> Result<(), String> {
        let directory = directory().join("node");
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        for file in ["package.json", "package-lock.json"] {
            let from = root().join("tests/judges").join(file);
            fs::copy(&from, directory.join(file)).map_err(|error| format!("{}: {error}", from.display()))?;
        }
        // The lock file contains versions and digests but no registry, so npm uses the configured registry.
        let options = [
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--omit-lockfile-registry-resolved",
        ];
        run(Command::new("npm").args(options).current_dir(&directory)).map(drop)
    }
}

/// Returns a line for each program that the tests need and that this machine does not have.
pub fn missing_prerequisites() -> Vec<String> {
    let needs = [
        (
            "cargo",
            "--version",
            "Rust",
            "builds Terrace",
            "https://rustup.rs",
        ),
        (
            "cc",
            "--version",
            "a C linker",
            "links Rust programs",
            "your system's packages: gcc or clang",
        ),
        (
            "go",
            "version",
            "Go 1.26",
            "builds the Kubernetes cluster",
            "https://go.dev/dl",
        ),
        (
            "python3",
            "--version",
            "Python 3.10",
            "runs the AWS endpoint and judges",
            "https://python.org/downloads",
        ),
        (
            "node",
            "--version",
            "Node 20",
            "runs judges",
            "https://nodejs.org",
        ),
        ("npm", "--version", "npm", "installs judges", "https://nodejs.org"),
    ];
    let mut missing = Vec::new();
    for (program, flag, name, why, from) in needs {
        let answer = Command::new(program).arg(flag).stderr(Stdio::piped()).output();
        let version = match answer {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
            _ => {
                missing.push(format!(
                    "{name} is missing: `{program}` does not run. It {why}; get it from {from}"
                ));
                continue;
            }
        };
        let wanted = name.rsplit(' ').next().and_then(numbers);
        if let (Some(wanted), Some(found)) = (wanted, numbers(&version))
            && found < wanted
        {
            missing.push(format!(
                "{name} or newer is missing: `{program} {flag}` prints {}",
                version.trim()
            ));
        }
    }
    missing
}

/// Parses the first version in a text into its major and minor number: (1, 26) for `go version go1.26.8 linux/amd64`.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let end = text[start..]
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .map_or(text.len(), |end| start + end);
    let mut parts = text[start..end].split('.');
    Some((
        parts.next()?.parse().ok()?,
        parts.next().and_then(|part| part.parse().ok()).unwrap_or(0),
    ))
}

/// Runs a command and returns its standard output. An error contains all output.
pub fn run(command: &mut Command) -> Result<String, String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{shown}: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(stdout.into_owned());
    }
    Err(format!(
        "{shown}: {}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn parses_versions_in_the_output_of_programs() {
        assert_eq!(numbers("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(numbers("Python 3.11.7\n"), Some((3, 11)));
        assert_eq!(numbers("v20.20.2\n"), Some((20, 20)));
        assert_eq!(numbers("20"), Some((20, 0)));
        assert_eq!(numbers("none"), None);
    }
}
