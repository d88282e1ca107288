//! Converts the refusals of a server to failures that state what to do.

use kube::core::Status;
use kube::core::response::StatusCause;
use terrace_artifact::Text;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;

use super::kinds::Served;
use super::missing_permissions::{MissingPermission, missing_permissions};
use super::ownership::is_by_hand;
use super::requests::{Refusal, Requests};

/// The subject of a request, for failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// The verb: `get`, `list`, `patch`, `create`, `update` or `delete`.
    pub(crate) verb: &'a str,
    /// The kind of the object.
    pub(crate) served: &'a Served,
    /// The namespace of the object.
    pub(crate) namespace: Option<&'a str>,
    /// The name of the object; absent for a list.
    pub(crate) name: Option<&'a str>,
}

impl<'a> About<'a> {
    /// Creates the subject of a request for a live object.
    pub(crate) fn live(verb: &'a str, served: &'a Served, live: &'a Live) -> About<'a> {
        About {
            verb,
            served,
            namespace: live.subject.namespace.as_deref(),
            name: Some(&live.subject.name),
        }
    }
}

impl Requests {
    /// Converts a refusal to a failure.
    pub(crate) fn failure(&self, refusal: Refusal, about: About<'_>) -> Failure {
        match refusal {
            Refusal::Silence(reason) => self.unreachable(reason),
            Refusal::Unreadable(reason) => Failure::new(
                FailureKind::Broken,
                format!(
                    "cluster `{}` at {} returned a response that cannot be parsed",
                    self.context, self.server
                ),
            )
            .server(reason),
            Refusal::Status(status) => self.refused(&status, about),
        }
    }

    /// Builds the failure of a cluster that does not answer.
    pub(crate) fn unreachable(&self, reason: String) -> Failure {
        Failure::new(
            FailureKind::Unreachable,
            format!("cluster `{}` at {} does not answer", self.context, self.server),
        )
        .server(reason)
        .hint(format!(
            "check that the server runs and that this machine can reach it (address, VPN, proxy, firewall):\nkubectl --context {} get --raw /readyz",
            self.context
        ))
    }

    /// Converts the status of an error response to a failure.
    fn refused(&self, status: &Status, about: About<'_>) -> Failure {
        match status.code {
            401 => Failure::new(
                FailureKind::Denied {
                    verb: "authenticate".into(),
                    resource: format!("cluster {}", self.context).into(),
                    rule: None,
                },
                format!(
                    "cluster `{}` rejects the credentials of its context",
                    self.context
                ),
            )
            .server(&status.message)
            .hint("log in again, or check the user of this context in the kubeconfig"),
            403 if is_missing_permission(status) => {
                missing_permissions(&[MissingPermission::of(about)]).server(&status.message)
            }
            // A new namespace is incomplete until controllers have created its ServiceAccount and evaluated its quota.
            403 if is_too_early(&status.message) => Failure::new(
                FailureKind::Throttled,
                format!(
                    "namespace `{}` is not ready for {}",
                    about.namespace.unwrap_or_default(),
                    what(about)
                ),
            )
            .server(&status.message),
            403 => Failure::new(
                FailureKind::Rejected,
                format!("admission control of the cluster rejects {}", what(about)),
            )
            .server(server_message(status, about))
            .hint(admission_hint(&status.message)),
            409 if !conflicts(status).is_empty() => conflict(status, about),
            409 => Failure::new(
                FailureKind::Stale,
                format!("{} changed during the operation", what(about)),
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
                format!("the server cannot find {}", what(about)),
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
            .hint("check the pods of the webhook: the server must call it before it accepts this object"),
            500..=599 => Failure::new(
                FailureKind::Throttled,
                format!("cluster `{}` returned an internal error", self.context),
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
                Failure::new(FailureKind::Rejected, message).server(server_message(status, about))
            }
        }
    }
}

/// Returns whether a 403 reports a missing permission, and not the refusal of an admission plugin. Both have the reason
/// `Forbidden`, so only the wording of the authorizer distinguishes them.
pub(crate) fn is_missing_permission(status: &Status) -> bool {
    status.message.contains("User \"") && status.message.contains("\" cannot ")
}

/// Returns whether an admission plugin refuses an object only because a controller has not prepared the namespace yet.
fn is_too_early(message: &str) -> bool {
    message.contains("error looking up service account") || message.contains("status unknown for quota")
}

/// Returns whether a 404 reports that the namespace does not exist, and not the object.
pub(crate) fn is_missing_namespace(status: &Status, namespace: &str) -> bool {
    status.code == 404
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.kind == "namespaces" && details.name == namespace)
}

/// Returns the conflicts of an apply: the other manager and the path of each field.
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

/// Returns notes about the conflicts of an apply, if it may override all of them: users changed Terrace's fields by hand, or the
/// user adopts the object. Returns nothing if a conflict must be reported.
pub(crate) fn put_back(refusal: &Refusal, live: &Live) -> Option<Vec<String>> {
    let Refusal::Status(status) = refusal else {
        return None;
    };
    let conflicts = conflicts(status);
    if status.code != 409 || conflicts.is_empty() {
        return None;
    }
    let adopts = !live.ownership.is_ours();
    let notes = conflicts.iter().map(|(manager, field)| {
        if adopts {
            Some(format!("Terrace takes ownership of `{field}` from `{manager}`"))
        } else {
            is_by_hand(&live.value, manager)
                .then(|| format!("`{field}` was changed with `{manager}`; apply reverts the change"))
        }
    });
    notes.collect()
}

/// Returns the individual problems that the server found.
pub(crate) fn causes(status: &Status) -> &[StatusCause] {
    status.details.as_ref().map_or(&[], |details| &details.causes)
}

/// Builds the failure of an apply that conflicts with other field managers.
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
            let verb = if fields.len() == 1 { "is" } else { "are" };
            format!("{} {verb} managed by `{manager}`", list(&fields))
        })
        .collect();
    Failure::new(
        FailureKind::Conflict {
            manager: managers.join(", ").into(),
        },
        format!("{} has a field conflict: {}", what(about), list(&parts)),
    )
    .server(server_message(status, about))
    .hint("remove the field from this stack or from the other manager, or take it over with `--take-over`")
}

/// Returns the message of the server. For a Secret, it returns only the fields, because the message may contain values.
pub(crate) fn server_message(status: &Status, about: About<'_>) -> String {
    if about.served.group.is_empty() && about.served.kind == "Secret" {
        let fields: Vec<String> = causes(status).iter().map(|cause| cause.field.clone()).collect();
        return format!("{} ({})", status.reason, fields.join(", "));
    }
    status.message.clone()
}

fn admission_hint(message: &str) -> &'static str {
    if message.contains("exceeded quota") {
        "raise the quota of the namespace, or request less"
    } else if message.contains("violates PodSecurity") {
        "change the pod's security context, or the level that the namespace enforces"
    } else if message.contains("attempting to grant RBAC permissions") {
        "obtain these permissions, or the verb `escalate`: a user can grant only permissions that the user has"
    } else if message.contains("is being terminated") {
        "wait until the namespace is deleted, then run the command again"
    } else {
        "change the object as the admission rule of the cluster requires, or change the rule"
    }
}

/// Describes the subject of a request: ``Deployment `web` in namespace `x` ``.
fn what(about: About<'_>) -> String {
    let name = about.name.map(|name| format!(" `{name}`")).unwrap_or_default();
    let place = match about.namespace {
        Some(namespace) if about.served.namespaced => format!(" in namespace `{namespace}`"),
        _ => String::new(),
    };
    format!("{}{name}{place}", about.served.kind)
}

/// Joins parts to a list: `a, b and c`.
pub(crate) fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
