//! Checks permissions before the first write, so that an apply without the required permissions does not start.

use std::collections::BTreeMap;

use futures::stream::{FuturesUnordered, TryStreamExt};
use terrace_artifact::{ArtifactId, Map, Text, Value};
use terrace_deployer_model::backend::Intent;
use terrace_deployer_model::failure::Failure;

use super::Kubernetes;
use super::api_errors::About;
use super::kinds::{Kinds, Served};
use super::missing_permissions::{
    APPLY_VERBS, DELETE_VERBS, MissingPermission, TO_RELEASE, missing_permissions,
};
use super::requests::Refusal;

/// The required permissions: the objects by verb, group and plural, and by namespace.
type Needed<'a> =
    BTreeMap<(&'static str, &'a Text, &'a Text), BTreeMap<Option<&'a str>, Vec<MissingPermission<'a>>>>;

impl Kubernetes {
    /// Fails with all permissions that an apply requires and that the user does not have.
    pub(super) async fn check_rights(&self, intent: Intent<'_>) -> Result<(), Failure> {
        let kinds = self.kinds().await?;
        let mut needed = Needed::new();
        for id in intent.writes {
            let Some(object) = intent.bundle.artifact(id).and_then(|artifact| artifact.object()) else {
                continue;
            };
            let Some(served) = kinds.get(&object.api_version, &object.kind) else {
                continue;
            };
            let creates = !intent.live.contains_key(id);
            for verb in ["patch", "create"].into_iter().take(1 + usize::from(creates)) {
                // The dry run of the plan has already proven some permissions.
                if self.right(verb, served, object.namespace.as_ref()) != Some(true) {
                    let lack = MissingPermission {
                        about: about(verb, served, object.namespace.as_deref(), &object.name),
                        address: Some(&object.address),
                        origin: Some(&object.origin),
                        needs: APPLY_VERBS,
                    };
                    need(&mut needed, verb, lack);
                }
            }
        }
        for id in intent.deletes {
            need_live(&mut needed, &kinds, intent, id, "delete", DELETE_VERBS);
        }
        for id in intent.releases {
            need_live(&mut needed, &kinds, intent, id, "patch", TO_RELEASE);
        }
        let checks = needed
            .into_iter()
            .map(|((verb, _, _), places)| self.check(verb, places));
        let lacks: Vec<Vec<MissingPermission<'_>>> =
            checks.collect::<FuturesUnordered<_>>().try_collect().await?;
        let lacks: Vec<MissingPermission<'_>> = lacks.into_iter().flatten().collect();
        if lacks.is_empty() {
            return Ok(());
        }
        let mut failure = missing_permissions(&lacks);
        failure.message.push_str(", so nothing was applied");
        Err(failure.hint("grant the missing permissions, then run the command again"))
    }

    /// Returns the permissions that the user does not have. It asks once for all namespaces, and for each namespace only if the user
    /// does not have the permission in all of them.
    async fn check<'a>(
        &self,
        verb: &'static str,
        places: BTreeMap<Option<&'a str>, Vec<MissingPermission<'a>>>,
    ) -> Result<Vec<MissingPermission<'a>>, Failure> {
        let mut lacks = Vec::new();
        let Some(served) = places.values().flatten().map(|lack| lack.about.served).next() else {
            return Ok(lacks);
        };
        if self.may(verb, served, None).await? {
            return Ok(lacks);
        }
        for (namespace, of_place) in places {
            if namespace.is_none() || !self.may(verb, served, namespace).await? {
                lacks.extend(of_place);
            }
        }
        Ok(lacks)
    }

    /// Returns whether the user has a permission, according to a SelfSubjectAccessReview.
    async fn may(&self, verb: &str, served: &Served, namespace: Option<&str>) -> Result<bool, Failure> {
        let attributes: Map = [
            ("verb", verb),
            ("group", served.group.as_str()),
            ("resource", served.plural.as_str()),
            ("namespace", namespace.unwrap_or_default()),
        ]
        .into_iter()
        .collect();
        let spec: Map = [("resourceAttributes", Value::Map(attributes))]
            .into_iter()
            .collect();
        let mut review = Map::new();
        review.insert("apiVersion", "authorization.k8s.io/v1");
        review.insert("kind", "SelfSubjectAccessReview");
        review.insert("spec", spec);
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        match self
            .requests
            .create(path, &review.into(), &self.whose.manager)
            .await
        {
            Ok(answer) => Ok(answer.at(&["status", "allowed"]).and_then(Value::as_bool) == Some(true)),
            Err(Refusal::Silence(reason)) => Err(self.requests.unreachable(reason)),
            // If the user may not create the review, the write itself reports a missing permission.
            Err(_) => Ok(true),
        }
    }
}

fn about<'a>(verb: &'a str, served: &'a Served, namespace: Option<&'a str>, name: &'a str) -> About<'a> {
    About {
        verb,
        served,
        namespace,
        name: Some(name),
    }
}

/// Adds a required permission.
fn need<'a>(needed: &mut Needed<'a>, verb: &'static str, lack: MissingPermission<'a>) {
    let served = lack.about.served;
    let places = needed.entry((verb, &served.group, &served.plural)).or_default();
    places.entry(lack.about.namespace).or_default().push(lack);
}

/// Adds the permission for an operation on a live object.
fn need_live<'a>(
    needed: &mut Needed<'a>,
    kinds: &'a Kinds,
    intent: Intent<'a>,
    id: &ArtifactId,
    verb: &'static str,
    needs: &'static [&'static str],
) {
    let Some(live) = intent.live.get(id) else { return };
    let text = |key| live.value.get(key).and_then(Value::as_str).unwrap_or_default();
    let Some(served) = kinds.get(text("apiVersion"), text("kind")) else {
        return;
    };
    let wanted = intent.bundle.artifact(id).and_then(|artifact| artifact.object());
    let namespace = live.subject.namespace.as_deref();
    let lack = MissingPermission {
        about: about(verb, served, namespace, &live.subject.name),
        address: live.addresses.first(),
        origin: wanted.map(|object| &object.origin),
        needs,
    };
    need(needed, verb, lack);
}
