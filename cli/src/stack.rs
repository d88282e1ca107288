//! Compiles a stack on disk and prints the diagnostics.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use terrace_artifact::Bundle;
use terrace_compiler::code::{Code, Severity};
use terrace_compiler::diagnostic::Diagnostic;
use terrace_compiler::module_test;
use terrace_compiler::source::Files;
use terrace_compiler::{Compiled, Emission, Request};

use crate::console::{Console, Tone};
use crate::disk::Disk;
use crate::problem::Problem;
use terrace_diagnostics::{Drawing, summary};

/// The directory of a stack.
pub(crate) struct Stack {
    pub(crate) folder: PathBuf,
    pub(crate) sources: Disk,
}

impl Stack {
    /// Opens a directory. The compiler decides later whether it contains a stack.
    pub(crate) fn open(folder: &Path) -> Result<Stack, Problem> {
        if folder.is_file() {
            return Err(Problem::new(format!(
                "`{}` is a file, not the directory of a stack",
                folder.display()
            ))
            .help("pass the directory that contains the file"));
        }
        if !folder.is_dir() {
            let problem = Problem::new(format!("directory `{}` does not exist", folder.display()));
            return Err(match nearest_folder(folder) {
                Some(nearest) => problem.help(format!("did you mean `{nearest}`?")),
                None => problem.help("pass the directory of a stack, or create a stack:\n  terrace init DIR"),
            });
        }
        Ok(Stack {
            folder: folder.to_owned(),
            sources: Disk::new(folder),
        })
    }

    /// Compiles environments and prints the diagnostics. Returns an error if one of them is an error.
    pub(crate) fn compiled(
        &self,
        environments: &[String],
        set: &[String],
        console: &Console,
    ) -> Result<Compiled, Problem> {
        let compiled = terrace_compiler::compile(&self.sources, &request(environments, set));
        self.refuse_module(&compiled)?;
        self.tell(&compiled.diagnostics, &compiled.files, console);
        if compiled.has_errors() {
            self.hint(&compiled, console);
            return Err(Problem::Said);
        }
        Ok(compiled)
    }

    /// Compiles environments, passes the content of their bundles to `take`, and prints the diagnostics. Returns an error if one
    /// of them is an error. `take` is then not called.
    pub(crate) fn emitted<T>(
        &self,
        environments: &[String],
        set: &[String],
        console: &Console,
        take: impl FnOnce(Vec<Emission<'_>>) -> T,
    ) -> Result<(Compiled, T), Problem> {
        let request = request(environments, set);
        let (compiled, taken) = terrace_compiler::compile_with(&self.sources, &request, &|_| {}, take);
        self.refuse_module(&compiled)?;
        self.tell(&compiled.diagnostics, &compiled.files, console);
        if taken.is_none() {
            self.hint(&compiled, console);
        }
        taken.map(|taken| (compiled, taken)).ok_or(Problem::Said)
    }

    /// Compiles one environment to a bundle. If `environment` is `None`, the error lists the environments of the stack.
    pub(crate) fn environment(
        &self,
        environment: Option<&String>,
        set: &[String],
        console: &Console,
    ) -> Result<(Bundle, Compiled), Problem> {
        self.environment_with(environment, set, console, |emission| emission.into_bundle())
    }

    /// Compiles one environment and passes the content of its bundle to `take`.
    pub(crate) fn environment_with<T>(
        &self,
        environment: Option<&String>,
        set: &[String],
        console: &Console,
        take: impl FnOnce(Emission<'_>) -> T,
    ) -> Result<(T, Compiled), Problem> {
        let Some(environment) = environment else {
            let compiled = self.compiled(&[], set, console)?;
            let names: Vec<String> = compiled
                .environments
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            let first = compiled.environments.first().map_or("ENV", |name| name);
            return Err(Problem::new("no environment is selected").help(format!(
                "add `-e {first}` (environments of this stack: {})",
                listed(&names)
            )));
        };
        let only = std::slice::from_ref(environment);
        let (compiled, taken) = self.emitted(only, set, console, |emissions| {
            let named = |emission: &Emission<'_>| emission.environment().name == environment.as_str();
            emissions.into_iter().find(named).map(take)
        })?;
        taken
            .map(|taken| (taken, compiled))
            .ok_or_else(|| Problem::new(format!("no environment is named `{environment}`")))
    }

    /// Returns an error if the directory belongs to a module, not to a stack.
    pub(crate) fn refuse_module(&self, compiled: &Compiled) -> Result<(), Problem> {
        if compiled.platform.is_some() || !module_test::is_module(&self.sources) {
            return Ok(());
        }
        let folder = self.folder.display();
        let problem = Problem::new(format!("`{folder}` is the directory of a module, not of a stack"));
        Err(problem.help(format!(
            "to run the test cases of the module:\n  terrace test {folder}"
        )))
    }

    /// Prints a hint if the directory is not a stack but lies inside one.
    pub(crate) fn hint(&self, compiled: &Compiled, console: &Console) {
        let is_missing =
            |diagnostic: &Diagnostic| diagnostic.code == Code::NoPlatform && diagnostic.primary.is_none();
        if compiled.platform.is_none()
            && compiled.diagnostics.iter().any(is_missing)
            && let Some(around) = stack_around(&self.folder)
        {
            let help = console.paint(Tone::Help, "help:");
            console.line(&format!(
                "{help} the directory is part of a stack; pass the directory of the stack: `{}`",
                around.display()
            ));
        }
    }

    /// Prints diagnostics and their summary.
    pub(crate) fn tell(&self, diagnostics: &[Diagnostic], files: &Files, console: &Console) {
        let mut drawing = Drawing::new(files, &self.folder, console.color_words());
        console.say(&drawing.all(diagnostics));
        if let Some(summary) = summary(diagnostics) {
            let worst = diagnostics.iter().map(Diagnostic::severity).min();
            let tone = match worst {
                Some(Severity::Error) => Tone::Error,
                Some(Severity::Warning) => Tone::Warning,
                Some(Severity::Note) | None => Tone::Quiet,
            };
            console.line(&console.paint(tone, &summary));
        }
    }
}

/// Builds the request to the compiler. This function reads the clock because waivers expire.
pub(crate) fn request(environments: &[String], set: &[String]) -> Request {
    let now = terrace_deployer::timestamp(SystemTime::now());
    Request {
        environments: environments.to_vec(),
        set: set.to_vec(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        today: now.get(..10).unwrap_or_default().to_owned(),
    }
}

/// Joins names to a list: `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [name] => name.clone(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}

/// Finds the nearest directory above `folder` with a file that contains a Platform.
fn stack_around(folder: &Path) -> Option<PathBuf> {
    const LEVELS: usize = 6;
    let has_platform = |folder: &Path| {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let mut files = entries.map(|entry| entry.path());
        files.any(|path| {
            let yaml = path
                .extension()
                .is_some_and(|ending| ending == "yaml" || ending == "yml");
            yaml && fs::read_to_string(&path).is_ok_and(|text| text.contains("kind: Platform"))
        })
    };
    let mut around = folder.to_owned();
    for _ in 0..LEVELS {
        around = match around.components().next_back() {
            Some(Component::Normal(_)) => around.parent()?.to_owned(),
            Some(Component::RootDir | Component::Prefix(_)) => return None,
            Some(Component::CurDir) | None => "..".into(),
            Some(Component::ParentDir) => around.join(".."),
        };
        let shown = if around.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &around
        };
        if has_platform(shown) {
            return Some(shown.to_owned());
        }
    }
    None
}

fn nearest_folder(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?;
    let parent = folder.parent()?;
    let here = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let entries = here
        .read_dir()
        .ok()?
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()));
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let nearest = terrace_catalog::nearest(name, names.iter().map(String::as_str))?;
    Some(parent.join(nearest).display().to_string())
}
