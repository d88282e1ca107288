//! A stack on disk, compiled, with what the compiler has to say about it drawn for the user.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use terrace_artifact::Bundle;
use terrace_compiler::diagnostic::Diagnostic;
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
        self.tell(&compiled.diagnostics, &compiled.files, console);
        if compiled.has_errors() {
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
        self.tell(&compiled.diagnostics, &compiled.files, console);
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

    /// Draws diagnostics, and sums them up.
    pub(crate) fn tell(&self, diagnostics: &[Diagnostic], files: &Files, console: &Console) {
        let mut drawing = Drawing::new(files, &self.folder, console.colour_words());
        console.say(&drawing.all(diagnostics));
        if let Some(summary) = summary(diagnostics) {
            let errors = diagnostics.iter().any(Diagnostic::is_error);
            let tone = if errors { Tone::Error } else { Tone::Warning };
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
