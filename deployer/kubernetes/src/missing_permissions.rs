//! Missing permissions: one failure reports all of them, with the RBAC rules that would grant them.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Address, Origin, Text};
use terrace_deployer_model::failure::{Concern, Failure, FailureKind};

use super::api_errors::{About, list};

/// The permissions that Terrace itself needs in every cluster. `docs/permissions.md` contains the same rules.
pub(super) const OWN_RULES: &str = r#"# in a ClusterRole: the identity of the cluster
- apiGroups: [""]
  resources: ["namespaces"]
  resourceNames: ["kube-system"]
  verbs: [get]
# in a Role of namespace terrace-system: the ledger, the lock and the claim
- apiGroups: [""]
  resources: ["secrets"]
  verbs: [get, list, create, update, delete]
- apiGroups: ["coordination.k8s.io"]
  resources: ["leases"]
  verbs: [get, create, update, delete]"#;

/// A missing permission, and the object that requires it.
pub(super) struct MissingPermission<'a> {
    pub(super) about: About<'a>,
    pub(super) address: Option<&'a Address>,
    pub(super) origin: Option<&'a Origin>,
    /// All verbs that the whole operation requires for this kind, not only the one that was refused.
    pub(super) needs: &'static [&'static str],
}

/// The verbs for an object that is created or updated. A server-side apply of an object that does not exist requires `create`
/// in addition to `patch`.
pub(super) const APPLY_VERBS: &[&str] = &["get", "list", "create", "patch"];
/// The verbs for an object that is retained: Terrace removes its label and annotations.
pub(super) const TO_RELEASE: &[&str] = &["get", "list", "patch"];
/// The verbs for an object that is deleted.
pub(super) const DELETE_VERBS: &[&str] = &["get", "list", "delete"];

impl<'a> MissingPermission<'a> {
    /// Creates the missing permission of a single request.
    pub(super) fn of(about: About<'a>) -> MissingPermission<'a> {
        MissingPermission {
            about,
            address: None,
            origin: None,
            needs: match about.verb {
                "patch" | "create" => APPLY_VERBS,
                "delete" => DELETE_VERBS,
                "list" => &["get", "list"],
                _ => &["get"],
            },
        }
    }

    fn resource(&self) -> String {
        self.about.served.resource()
    }

    fn place(&self) -> Option<&'a str> {
        self.about.namespace.filter(|_| self.about.served.namespaced)
    }

    /// Returns the object for messages: `Deployment data-tenant-finance/web`.
    fn subject(&self) -> String {
        let kind = &self.about.served.kind;
        let name = self.about.name.unwrap_or_default();
        match self.place() {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        }
    }
}

/// Builds the failure that reports missing permissions. `lacks` contains at least one.
pub(super) fn missing_permissions(lacks: &[MissingPermission<'_>]) -> Failure {
    let verbs: BTreeSet<&str> = lacks.iter().map(|lack| lack.about.verb).collect();
    let resources: BTreeSet<String> = lacks.iter().map(MissingPermission::resource).collect();
    let places: BTreeSet<Option<&str>> = lacks.iter().map(MissingPermission::place).collect();
    let mut objects: BTreeMap<String, (BTreeSet<&str>, &MissingPermission<'_>)> = BTreeMap::new();
    for lack in lacks.iter().filter(|lack| lack.about.name.is_some()) {
        let object = objects
            .entry(lack.subject())
            .or_insert_with(|| (BTreeSet::new(), lack));
        object.0.insert(lack.about.verb);
    }
    let in_places = shown_places(&places, lacks);
    let quoted: Vec<String> = verbs.iter().map(|verb| format!("`{verb}`")).collect();
    let message = match (resources.len(), places.len()) {
        (1, places) if places == 1 || objects.is_empty() => format!(
            "the credentials lack the permission to {} {} {in_places}",
            list(&quoted),
            lacks[0].resource()
        ),
        // Lists name no object.
        (count, _) if objects.is_empty() => format!(
            "the credentials lack the permission to {} {count} kinds of resources {in_places}",
            list(&quoted)
        ),
        _ => format!(
            "the credentials lack permissions for {} objects {in_places}",
            objects.len()
        ),
    };
    let joined = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let resource = match (resources.len(), lacks[0].place()) {
        (1, Some(namespace)) if places.len() == 1 => format!("{} in {namespace}", lacks[0].resource()),
        _ => joined(&resources),
    };
    let kind = FailureKind::Denied {
        verb: verbs.into_iter().collect::<Vec<_>>().join(", ").into(),
        resource: resource.into(),
        rule: Some(rules(lacks)),
    };
    let failure = Failure::new(kind, message);
    match objects.values().next() {
        Some((_, only)) if objects.len() == 1 => failure.about(only.address, only.origin),
        _ => objects.iter().fold(failure, |failure, (subject, (verbs, lack))| {
            let verbs: Vec<String> = verbs.iter().map(|verb| format!("`{verb}`")).collect();
            failure.concerning(Concern {
                what: format!("{} {subject}", list(&verbs)),
                address: lack.address.cloned(),
                origin: lack.origin.cloned(),
            })
        }),
    }
}

/// Describes places: `in namespace `x``, `in namespaces `x` and `y``, `in the cluster`.
fn shown_places(places: &BTreeSet<Option<&str>>, lacks: &[MissingPermission<'_>]) -> String {
    let names: Vec<String> = places.iter().flatten().map(|name| format!("`{name}`")).collect();
    match (names.as_slice(), places.contains(&None)) {
        ([], _) if lacks.iter().any(|lack| lack.about.served.namespaced) => "in all namespaces".to_owned(),
        ([], _) => "in the cluster".to_owned(),
        ([only], false) => format!("in namespace {only}"),
        (many, false) => format!("in namespaces {}", list(many)),
        ([only], true) => format!("in the cluster and in namespace {only}"),
        (many, true) => format!("in the cluster and in namespaces {}", list(many)),
    }
}

/// Verbs by group and plural.
type VerbsOf<'a> = BTreeMap<(&'a Text, &'a Text), BTreeSet<&'a str>>;

/// Formats the rules for each place, ready for a Role or a ClusterRole. Resources that need the same verbs share a rule.
fn rules(lacks: &[MissingPermission<'_>]) -> String {
    /// The verbs, in the usual order of RBAC rules.
    const VERBS: [&str; 5] = ["get", "list", "create", "patch", "delete"];
    let mut needed: BTreeMap<Option<&str>, VerbsOf<'_>> = BTreeMap::new();
    for lack in lacks {
        let of_place = needed.entry(lack.place()).or_default();
        of_place
            .entry((&lack.about.served.group, &lack.about.served.plural))
            .or_default()
            .extend(lack.needs);
    }
    let mut lines = Vec::new();
    for (place, resources) in needed {
        lines.push(match place {
            Some(namespace) => format!("# in a Role of namespace {namespace}"),
            None => "# in a ClusterRole".to_owned(),
        });
        let mut shared: BTreeMap<(&Text, Vec<&str>), Vec<String>> = BTreeMap::new();
        for ((group, plural), verbs) in resources {
            let verbs = VERBS.into_iter().filter(|verb| verbs.contains(verb)).collect();
            shared
                .entry((group, verbs))
                .or_default()
                .push(format!("\"{plural}\""));
        }
        for ((group, verbs), plurals) in shared {
            lines.push(format!(
                "- apiGroups: [\"{group}\"]\n  resources: [{}]\n  verbs: [{}]",
                plurals.join(", "),
                verbs.join(", ")
            ));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_the_rules() {
        let page = include_str!("../../../docs/permissions.md");
        assert!(
            page.contains(OWN_RULES),
            "docs/permissions.md does not contain\n{OWN_RULES}"
        );
    }
}
