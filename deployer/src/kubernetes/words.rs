//! A server's refusals in words that say what to do.

use kube::core::Status;
use kube::core::response::StatusCause;
use terrace_artifact::Text;

use super::denied::{Lack, denied};
use super::kinds::Served;
use super::ownership::is_by_hand;
use super::requests::{Refusal, Requests};
use crate::backend::Live;
use crate::failure::{Failure, FailureKind};

/// What a request was about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// `get`, `list`, `patch`, `create`, `delete`.
    pub(crate) verb: &'a str,
    /// What kind of object.
    pub(crate) served: &'a Served,
    /// Where.
    pub(crate) namespace: Option<&'a str>,
    /// Which; absent for a list.
    pub(crate) name: Option<&'a str>,
}

impl Requests {
    /// A refusal as a failure.
    pub(crate) fn failure(&self, refusal: Refusal, about: About<'_>) -> Failure {
        match refusal {
            Refusal::Silence(words) => self.unreachable(words),
            Refusal::Unreadable(words) => Failure::new(
                FailureKind::Broken,
                format!(
                    "cluster `{}` at {} gave an answer that cannot be read",
                    self.context, self.server
                ),
            )
            .server(words),
            Refusal::Status(status) => self.told(&status, about),
        }
    }

    /// The failure of a cluster that does not answer.
    pub(crate) fn unreachable(&self, words: String) -> Failure {
        Failure::new(
            FailureKind::Unreachable,
            format!("cluster `{}` at {} does not answer", self.context, self.server),
        )
        .server(words)
        .hint(format!(
            "check that the server runs and that this machine reaches it (address, VPN, proxy, firewall):\nkubectl --context {} get --raw /readyz",
            self.context
        ))
    }

    fn told(&self, status: &Status, about: About<'_>) -> Failure {
        match status.code {
            401 => Failure::new(
                FailureKind::Denied {
                    verb: "authenticate".into(),
                    resource: format!("cluster {}", self.context).into(),
                    rule: None,
                },
                format!(
                    "cluster `{}` does not accept the credentials of its context",
                    self.context
                ),
            )
            .server(&status.message)
            .hint("log in again, or check the user of this context in the kubeconfig"),
            403 if is_missing_right(status) => denied(&[Lack::of(about)]).server(&status.message),
            // A namespace that has just been made is not complete: its quota is not counted, its accounts not made.
            403 if is_too_early(&status.message) => Failure::new(
                FailureKind::Throttled,
                format!(
                    "namespace `{}` is not ready for {}",
                    about.namespace.unwrap_or_default(),
                    what(about)
                ),
            )
            .server(&status.message),
            403 => Failure::new(FailureKind::Rejected, format!("{} is not admitted", what(about)))
                .server(words(status, about))
                .hint(admission_hint(&status.message)),
            409 if !conflicts(status).is_empty() => conflict(status, about),
            409 => Failure::new(
                FailureKind::Stale,
                format!("{} changed while this was done", what(about)),
            )
            .server(&status.message),
            404 if about
                .namespace
                .is_some_and(|namespace| is_missing_namespace(status, namespace)) =>
            {
                Failure::new(
                    FailureKind::Rejected,
                    format!(
                        "namespace `{}` does not exist",
                        about.namespace.unwrap_or_default()
                    ),
                )
                .server(&status.message)
            }
            404 => Failure::new(
                FailureKind::Rejected,
                format!("the server does not know {}", what(about)),
            )
            .server(&status.message),
            410 | 429 | 503 | 504 => Failure::new(
                FailureKind::Throttled,
                format!("cluster `{}` is too busy to answer", self.context),
            )
            .server(&status.message),
            500 if status.message.contains("failed calling webhook") => Failure::new(
                FailureKind::Unreachable,
                format!("an admission webhook does not answer for {}", what(about)),
            )
            .server(&status.message)
            .hint("the server asks a webhook before it accepts this object: check the webhook's own pods"),
            500..=599 => Failure::new(
                FailureKind::Throttled,
                format!("cluster `{}` failed by itself", self.context),
            )
            .server(&status.message),
            _ => {
                let fields: Vec<String> = causes(status)
                    .iter()
                    .filter(|cause| !cause.field.is_empty() && cause.field != "<nil>")
                    .map(|cause| format!("`{}`", cause.field))
                    .collect();
                let message = if fields.is_empty() {
                    format!("the server rejects {}", what(about))
                } else {
                    format!("the server rejects {} of {}", list(&fields), what(about))
                };
                Failure::new(FailureKind::Rejected, message).server(words(status, about))
            }
        }
    }
}

/// Whether a 403 is about rights, and not an admission plugin's refusal. The authorizer's sentence is the only thing that
/// tells: both have the reason `Forbidden`.
pub(crate) fn is_missing_right(status: &Status) -> bool {
    status.message.contains("User \"") && status.message.contains("\" cannot ")
}

/// Whether an admission plugin refuses only because a controller has not been round yet.
fn is_too_early(message: &str) -> bool {
    message.contains("error looking up service account") || message.contains("status unknown for quota")
}

/// Whether a 404 says that the namespace is missing, not the object.
pub(crate) fn is_missing_namespace(status: &Status, namespace: &str) -> bool {
    status.code == 404
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.kind == "namespaces" && details.name == namespace)
}

/// The fields that other managers own: who and what.
pub(crate) fn conflicts(status: &Status) -> Vec<(Text, String)> {
    causes(status)
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            let manager = cause.message.split('"').nth(1).unwrap_or("another manager");
            (manager.into(), cause.field.trim_start_matches('.').to_owned())
        })
        .collect()
}

/// The conflicts of an apply in words, where they do not count: people changed by hand what is ours, or the user has adopted
/// the object and named it for that.
pub(crate) fn put_back(refusal: &Refusal, live: &Live) -> Option<Vec<String>> {
    let Refusal::Status(status) = refusal else {
        return None;
    };
    let conflicts = conflicts(status);
    if status.code != 409 || conflicts.is_empty() {
        return None;
    }
    let adopts = !live.ownership.is_ours();
    let words = conflicts.iter().map(|(manager, field)| {
        if adopts {
            Some(format!("`{field}` is taken over from `{manager}`"))
        } else {
            is_by_hand(&live.value, manager)
                .then(|| format!("`{field}` was changed with `{manager}`: it is put back"))
        }
    });
    words.collect()
}

/// The single problems the server found.
pub(crate) fn causes(status: &Status) -> &[StatusCause] {
    status.details.as_ref().map_or(&[], |details| &details.causes)
}

fn conflict(status: &Status, about: About<'_>) -> Failure {
    let conflicts = conflicts(status);
    let mut managers: Vec<Text> = conflicts.iter().map(|(manager, _)| manager.clone()).collect();
    managers.sort();
    managers.dedup();
    let parts: Vec<String> = managers
        .iter()
        .map(|manager| {
            let fields: Vec<String> = conflicts
                .iter()
                .filter(|(m, _)| m == manager)
                .map(|(_, field)| format!("`{field}`"))
                .collect();
            format!("{} by `{manager}`", list(&fields))
        })
        .collect();
    let verb = if conflicts.len() == 1 { "is" } else { "are" };
    Failure::new(
        FailureKind::Conflict {
            manager: managers.join(", ").into(),
        },
        format!("of {}, {} {verb} managed already", what(about), parts.join(", ")),
    )
    .server(words(status, about))
    .hint("two cannot manage one field: leave it out here, have the other manager give it up, or take it over with `--take-over`")
}

/// The server's words; of a Secret only which fields, since values may be among them.
pub(crate) fn words(status: &Status, about: About<'_>) -> String {
    if about.served.group.is_empty() && about.served.kind == "Secret" {
        let fields: Vec<String> = causes(status).iter().map(|cause| cause.field.clone()).collect();
        return format!("{} ({})", status.reason, fields.join(", "));
    }
    status.message.clone()
}

fn admission_hint(message: &str) -> &'static str {
    if message.contains("exceeded quota") {
        "raise the namespace's quota, or ask for less"
    } else if message.contains("violates PodSecurity") {
        "change the pod's security context, or the level that the namespace enforces"
    } else if message.contains("attempting to grant RBAC permissions") {
        "nobody can grant what they may not do themselves: have these rights first, or the verb `escalate`"
    } else if message.contains("is being terminated") {
        "the namespace is being deleted: run it again when it is gone"
    } else {
        "an admission rule of the cluster forbids this: its words say which"
    }
}

/// `deployments.apps web in namespace x`.
fn what(about: About<'_>) -> String {
    let name = about.name.map(|name| format!(" `{name}`")).unwrap_or_default();
    let place = match about.namespace {
        Some(namespace) if about.served.namespaced => format!(" in namespace `{namespace}`"),
        _ => String::new(),
    };
    format!("{}{name}{place}", about.served.kind)
}

/// `a, b and c`.
pub(crate) fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
