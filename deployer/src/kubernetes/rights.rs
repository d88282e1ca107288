//! Rights, asked for before the first write: an apply that would stop half-way for want of one does not begin.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{FuturesUnordered, TryStreamExt};
use terrace_artifact::{ArtifactId, Map, Text, Value};

use super::Kubernetes;
use super::kinds::{Kinds, Served};
use super::requests::Refusal;
use super::words::{About, denied};
use crate::backend::Intent;
use crate::failure::Failure;

/// What has to be allowed: verb, group and plural, and the namespaces where.
type Needed<'a> = BTreeMap<(&'static str, Text, Text), (&'a Served, BTreeSet<Option<Text>>)>;

impl Kubernetes {
    /// Fails with the first right that is missing for what is about to be done.
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
                // The dry run of the plan needed the very same right.
                if self.right(verb, served, object.namespace.as_ref()) != Some(true) {
                    need(&mut needed, verb, served, object.namespace.clone());
                }
            }
        }
        for id in intent.deletes {
            if let Some((served, namespace)) = live_kind(&kinds, intent, id) {
                need(&mut needed, "delete", served, namespace);
            }
        }
        let checks = needed
            .into_iter()
            .map(|((verb, _, _), (served, namespaces))| self.check(verb, served, namespaces));
        checks.collect::<FuturesUnordered<_>>().try_collect::<()>().await
    }

    /// One question for all namespaces; one for each only where the answer is no.
    async fn check(
        &self,
        verb: &'static str,
        served: &Served,
        namespaces: BTreeSet<Option<Text>>,
    ) -> Result<(), Failure> {
        if self.may(verb, served, None).await? {
            return Ok(());
        }
        for namespace in namespaces {
            if namespace.is_none() || !self.may(verb, served, namespace.as_deref()).await? {
                let about = About {
                    verb,
                    served,
                    namespace: namespace.as_deref(),
                    name: None,
                };
                return Err(denied(about, ""));
            }
        }
        Ok(())
    }

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
            Err(Refusal::Silence(words)) => Err(self.requests.unreachable(words)),
            // Who may not even ask finds out by trying.
            Err(_) => Ok(true),
        }
    }
}

fn need<'a>(needed: &mut Needed<'a>, verb: &'static str, served: &'a Served, namespace: Option<Text>) {
    let key = (verb, served.group.clone(), served.plural.clone());
    needed
        .entry(key)
        .or_insert_with(|| (served, BTreeSet::new()))
        .1
        .insert(namespace);
}

fn live_kind<'a>(
    kinds: &'a Kinds,
    intent: Intent<'_>,
    id: &ArtifactId,
) -> Option<(&'a Served, Option<Text>)> {
    let live = intent.live.get(id)?;
    let text = |key| live.value.get(key).and_then(Value::as_str).unwrap_or_default();
    Some((
        kinds.get(text("apiVersion"), text("kind"))?,
        live.subject.namespace.clone(),
    ))
}
