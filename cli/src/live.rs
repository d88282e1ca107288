//! Access to live systems: the user, the credentials, and the interruption of an apply.

use std::path::Path;
use std::time::SystemTime;
use std::{env, process};

use terrace_artifact::{Location, Origin};
use terrace_compiler::Compiled;
use terrace_deployer::{
    Access, AwsAccess, Cancel, Canceller, Error, Failure, Outcome, Refusal, StackDirectory,
};
use tokio::runtime::{Builder, Runtime};

use crate::arguments::Reach;
use crate::console::{Console, variable, who};
use crate::problem::{Problem, Status};
use crate::stack::Stack;
use crate::{lock, origin};
use terrace_diagnostics::shown_path;

/// Returns the access to the live systems of a stack, with the origin and the `terrace.lock` of its directory.
pub(crate) fn access(stack: &Stack, compiled: &Compiled, reach: &Reach) -> Result<Access, Problem> {
    Ok(Access {
        directory: StackDirectory {
            origin: origin::of(&stack.folder)?,
            lock: lock::read(&stack.folder)?,
            environments: compiled
                .environments
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
        },
        ..reaching(&stack.folder, reach)
    })
}

/// Returns the access to live systems, without a stack directory. Environment variables are read only here.
pub(crate) fn reaching(folder: &Path, reach: &Reach) -> Access {
    // If the variable lists several files, the client reads it and merges the files.
    let listed = |path: &String| env::split_paths(path).nth(1).is_some();
    let from_environment = || {
        variable("KUBECONFIG")
            .filter(|path| !listed(path))
            .map(Into::into)
    };
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Access {
        folder: folder.to_owned(),
        directory: StackDirectory::default(),
        kubeconfig: reach.kubeconfig.clone().or_else(from_environment),
        aws: AwsAccess {
            endpoint: variable("AWS_ENDPOINT_URL").map(Into::into),
            profile: variable("AWS_PROFILE").map(Into::into),
            key: None,
        },
        who: who().into(),
        run: format!("{}-{}", process::id(), now.as_micros()).into(),
        version: env!("CARGO_PKG_VERSION").into(),
        connect: terrace_deployer::connect,
        now: SystemTime::now,
    }
}

/// Converts an error of the deployer. Paths of declarations become relative to the working directory.
pub(crate) fn located(error: Error, folder: &Path) -> Problem {
    let error = match error {
        Error::Failed(mut failures) => {
            locate(&mut failures, folder);
            Error::Failed(failures)
        }
        Error::Partly(mut report) => {
            for (_, outcome) in &mut report.steps {
                if let Outcome::Failed(failure) | Outcome::Unsettled(failure) = outcome {
                    locate(std::slice::from_mut(failure), folder);
                }
            }
            Error::Partly(report)
        }
        Error::Refused(Refusal::WrongTarget(mut failure)) => {
            locate(std::slice::from_mut(&mut failure), folder);
            Error::Refused(Refusal::WrongTarget(failure))
        }
        Error::Refused(Refusal::Bucket(mut failure)) => {
            locate(std::slice::from_mut(&mut failure), folder);
            Error::Refused(Refusal::Bucket(failure))
        }
        Error::Refused(Refusal::NotAllowed(mut failures)) => {
            locate(&mut failures, folder);
            Error::Refused(Refusal::NotAllowed(failures))
        }
        Error::Refused(Refusal::DataLoss { mut approvals }) => {
            let origins = approvals.iter_mut().map(|approval| &mut approval.origin);
            locate_origins(origins, folder);
            Error::Refused(Refusal::DataLoss { approvals })
        }
        Error::Refused(Refusal::Stale(mut moved)) => {
            locate_origins(moved.iter_mut().map(|fact| &mut fact.origin), folder);
            Error::Refused(Refusal::Stale(moved))
        }
        Error::Refused(Refusal::OtherOrigin(mut other)) => {
            if let Some(location) = other.declared() {
                locate_line(location, folder);
            }
            Error::Refused(Refusal::OtherOrigin(other))
        }
        Error::Refused(Refusal::LostTargets(mut lost)) => {
            for location in lost.locations() {
                locate_line(location, folder);
            }
            Error::Refused(Refusal::LostTargets(lost))
        }
        Error::Refused(refusal) => Error::Refused(refusal),
    };
    error.into()
}

/// Makes the paths of declarations relative to the working directory.
pub(crate) fn locate(failures: &mut [Failure], folder: &Path) {
    for failure in failures {
        let detail = &mut failure.detail;
        let concerns = detail.concerns.iter_mut().map(|concern| &mut concern.origin);
        locate_origins(concerns.chain([&mut detail.origin]), folder);
    }
}

fn locate_origins<'a>(origins: impl Iterator<Item = &'a mut Option<Origin>>, folder: &Path) {
    for origin in origins.flatten() {
        locate_line(&mut origin.component, folder);
        locate_line(&mut origin.resource, folder);
    }
}

fn locate_line(location: &mut Location, folder: &Path) {
    location.file = shown_path(folder, &location.file).into();
}

/// Creates the runtime for requests. Two threads are enough, because they mostly wait for servers.
pub(crate) fn runtime() -> Result<Runtime, Problem> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Problem::new(format!("cannot start threads: {error}")))
}

/// Stops an apply at the first Ctrl-C, and the program at the second.
pub(crate) fn stop_on_interrupt(runtime: &Runtime, console: Console) -> Cancel {
    let (canceller, cancel) = Cancel::channel();
    runtime.spawn(interrupts(canceller, console));
    cancel
}

async fn interrupts(canceller: Canceller, console: Console) {
    interrupted().await;
    canceller.cancel();
    interrupted().await;
    console.line("exited at once; some steps may be incomplete, and the next apply finishes them");
    #[expect(
        clippy::exit,
        reason = "the user pressed Ctrl-C twice, and running steps may never end"
    )]
    process::exit(Status::Partly.code().into());
}

/// Waits for Ctrl-C or SIGTERM. CI systems send SIGTERM when they cancel a job.
#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return wait_for_keys().await;
    };
    tokio::select! {
        () = wait_for_keys() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn interrupted() {
    wait_for_keys().await;
}

async fn wait_for_keys() {
    // If no handler can be installed, Ctrl-C ends the program as usual.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
