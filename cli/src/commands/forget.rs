//! `terrace forget`: removes the records of a place, and leaves its resources unchanged.

use std::path::{Path, PathBuf};

use terrace_deployer::Forgetting;

use crate::arguments::Reach;
use crate::confirm::confirm;
use crate::console::{Console, Tone};
use crate::live;
use crate::lock::Recorder;
use crate::problem::{Problem, Status};
use crate::stack::Stack;

/// The arguments of `terrace forget`.
pub(crate) struct ForgetRequest {
    stack: PathBuf,
    /// The place to forget, or `None` for all places.
    place: Option<String>,
    environment: Option<String>,
}

impl ForgetRequest {
    /// Interprets the arguments. A single argument is the stack if it is a directory, and otherwise the place.
    pub(crate) fn new(
        stack: Option<String>,
        place: Option<String>,
        environment: Option<String>,
    ) -> Result<ForgetRequest, Problem> {
        let (stack, place) = match (stack, place) {
            (Some(word), None) if !Path::new(&word).is_dir() => (None, Some(word)),
            given => given,
        };
        if place.as_deref() == Some("") {
            return Err(Problem::new("the place is an empty string").help("to forget all places, omit it"));
        }
        Ok(ForgetRequest {
            stack: stack.unwrap_or_else(|| ".".to_owned()).into(),
            place,
            environment,
        })
    }
}

/// Asks for confirmation and removes the records.
pub(crate) fn run(
    request: &ForgetRequest,
    yes: bool,
    reach: &Reach,
    set: &[String],
    console: &Console,
) -> Result<Status, Problem> {
    let stack = Stack::open(&request.stack)?;
    let Some(environment) = &request.environment else {
        stack.environment(None, set, console)?;
        return Err(Problem::Said);
    };
    // All environments are compiled, because `terrace.lock` may still name one that the stack no longer contains.
    let mut compiled = stack.compiled(&[], set, console)?;
    let access = live::access(&stack, &compiled, reach)?;
    let mut bundles = compiled.bundles.drain(..);
    let bundle = bundles.find(|bundle| bundle.environment.name == environment.as_str());
    drop(bundles);
    let runtime = live::runtime()?;
    let looked_up = runtime.block_on(Forgetting::look_up(
        bundle,
        environment,
        &access,
        request.place.as_deref(),
    ));
    let forgetting = looked_up.map_err(|error| live::located(error, &access.folder))?;

    let platform = forgetting.platform().clone();
    console.line(&format!(
        "terrace will no longer manage environment `{environment}` of platform `{platform}` in:"
    ));
    for place in forgetting.places() {
        console.line(&format!("  {place}: {}", place.contents()));
    }
    console.line("these resources are not changed or deleted");
    for note in forgetting.notes() {
        console.line(&format!("{} {note}", console.paint(Tone::Warning, "warning:")));
    }
    if !confirm("\nforget these places?", yes, "", console)? {
        return Ok(Status::Done);
    }

    let forgotten = runtime.block_on(forgetting.forget(&access));
    let forgotten = forgotten.map_err(|error| live::located(error, &access.folder))?;
    let recorder = Recorder::of(
        &stack.folder,
        &platform,
        &environment.as_str().into(),
        &access.directory.origin,
    );
    recorder.record(forgotten.rest.as_ref());
    for note in &forgotten.notes {
        console.line(&format!("note: {note}"));
    }
    let recorded = match &forgotten.release {
        Some((release, home)) => format!(", recorded as release {release} in {home}"),
        None => String::new(),
    };
    console.line(&console.paint(Tone::Good, &format!("forgotten{recorded}")));
    recorder.tell(console);
    Ok(Status::Done)
}
