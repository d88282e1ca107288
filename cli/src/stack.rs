//! A stack on disk, compiled, with what the compiler has to say about it drawn for the user.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use terrace_artifact::Bundle;
use terrace_compiler::code::Code;
use terrace_compiler::diagnostic::{Diagnostic, Severity};
use terrace_compiler::module_test;
use terrace_compiler::source::Files;
use terrace_compiler::{Compiled, Emission, Request};

use crate::console::{Console, Tone};
use crate::diagnostics::{Drawing, summary};
use crate::disk::Disk;
use crate::problem::Problem;

/// The folder of a stack.
pub(crate) struct Stack {
    pub(crate) folder: PathBuf,
    pub(crate) sources: Disk,
}

impl Stack {
    /// Opens a folder; whether it is a stack is the compiler's to say.
    pub(crate) fn open(folder: &Path) -> Result<Stack, Problem> {
        if folder.is_file() {
            return Err(Problem::new(format!(
                "`{}` is a file, and a stack is a folder",
                folder.display()
            ))
            .help("name the folder that it is in"));
        }
        if !folder.is_dir() {
            let problem = Problem::new(format!("there is no folder `{}`", folder.display()));
            return Err(match nearest_folder(folder) {
                Some(nearest) => problem.help(format!("`{nearest}` exists")),
                None => problem.help("name the folder of a stack, or begin one:\n  terrace init DIR"),
            });
        }
        Ok(Stack {
            folder: folder.to_owned(),
            sources: Disk::new(folder),
        })
    }

    /// Compiles environments, says what there is to say, and fails where that is an error.
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

    /// Compiles environments and hands on what their bundles are made of, then says what there is to say, and fails where
    /// that is an error.
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

    /// Compiles one environment. Where none was named, says which there are.
    pub(crate) fn environment(
        &self,
        environment: Option<&String>,
        set: &[String],
        console: &Console,
    ) -> Result<(Bundle, Compiled), Problem> {
        self.environment_with(environment, set, console, |emission| emission.into_bundle())
    }

    /// The same, with what the bundle is made of in the hands of `take`.
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
            return Err(Problem::new("which environment is meant?")
                .help(format!("add `-e {first}`; this stack has {}", listed(&names))));
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

    /// What a folder is that is a module's, and no stack's.
    pub(crate) fn refuse_module(&self, compiled: &Compiled) -> Result<(), Problem> {
        if compiled.platform.is_some() || !module_test::is_module(&self.sources) {
            return Ok(());
        }
        let folder = self.folder.display();
        let problem = Problem::new(format!("`{folder}` is the folder of a module, and no stack"));
        Err(problem.help(format!("to try its cases:\n  terrace test {folder}")))
    }

    /// Names the stack that a folder is a part of, where it is none itself.
    pub(crate) fn hint(&self, compiled: &Compiled, console: &Console) {
        let nothing = |said: &Diagnostic| said.code == Code::NoPlatform && said.primary.is_none();
        if compiled.platform.is_none()
            && compiled.diagnostics.iter().any(nothing)
            && let Some(around) = stack_around(&self.folder)
        {
            let help = console.paint(Tone::Help, "help:");
            console.line(&format!(
                "{help} it is part of a stack: name the folder `{}`",
                around.display()
            ));
        }
    }

    /// Draws diagnostics, and sums them up.
    pub(crate) fn tell(&self, diagnostics: &[Diagnostic], files: &Files, console: &Console) {
        let mut drawing = Drawing::new(files, &self.folder, console.colour_words());
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

/// What the compiler is asked. The clock is read here: waivers expire.
pub(crate) fn request(environments: &[String], set: &[String]) -> Request {
    let now = terrace_deployer::timestamp(SystemTime::now());
    Request {
        environments: environments.to_vec(),
        set: set.to_vec(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        today: now.get(..10).unwrap_or_default().to_owned(),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}

/// The nearest folder around one that has a Platform in it.
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
