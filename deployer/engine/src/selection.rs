//! `--only`: limits a plan to a part of the stack.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Address, Artifact, ArtifactId, Bundle, Owner, Text};
use terrace_catalog::nearest;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;

/// The part of the stack that `--only` selects.
pub(crate) struct Selection<'a> {
    only: &'a [Text],
    /// The selected artifacts of the bundle, with their dependencies.
    pub(crate) wanted: BTreeSet<&'a ArtifactId>,
}

impl<'a> Selection<'a> {
    pub(crate) fn of(only: &'a [Text], bundle: &'a Bundle) -> Selection<'a> {
        let mut selection = Selection {
            only,
            wanted: BTreeSet::new(),
        };
        let named = bundle.artifacts.iter().filter(|artifact| {
            let (owner, component) = artifact.component();
            selection.names(owner, component, &artifact.addresses())
        });
        let mut open: Vec<&Artifact> = named.collect();
        while let Some(artifact) = open.pop() {
            if selection.wanted.insert(&artifact.id) {
                open.extend(artifact.needs.iter().filter_map(|id| bundle.artifact(id)));
            }
        }
        selection
    }

    fn names(&self, owner: &Owner, component: &str, addresses: &[Address]) -> bool {
        let matches = |only: &Text| match only.split_once('/') {
            None => only == owner.as_str(),
            Some((of, rest)) if !rest.contains('/') => of == owner.as_str() && rest == component,
            Some(_) => addresses.iter().any(|address| {
                let text = address.to_string();
                text == only.as_str()
                    || text
                        .strip_prefix(only.as_str())
                        .is_some_and(|key| key.starts_with('['))
            }),
        };
        self.only.is_empty() || self.only.iter().any(matches)
    }

    /// Returns whether a live artifact is selected.
    pub(crate) fn names_live(&self, live: &Live) -> bool {
        self.only.is_empty()
            || live
                .addresses
                .iter()
                .any(|address| self.names(&address.owner, &address.component, std::slice::from_ref(address)))
    }

    /// Fails if an argument matches nothing in the stack and no live artifact.
    pub(crate) fn all_named(
        &self,
        bundle: &Bundle,
        live: &BTreeMap<ArtifactId, (Text, Live)>,
    ) -> Result<(), Failure> {
        let wanted = bundle.artifacts.iter().flat_map(Artifact::addresses);
        let existing = live.values().flat_map(|(_, live)| live.addresses.iter().cloned());
        let known: BTreeSet<Address> = wanted.chain(existing).collect();
        for only in self.only {
            let alone = Selection {
                only: std::slice::from_ref(only),
                wanted: BTreeSet::new(),
            };
            let is_known = |address: &Address| {
                alone.names(&address.owner, &address.component, std::slice::from_ref(address))
            };
            if known.iter().any(is_known) {
                continue;
            }
            let parts = only.split('/').count();
            let names: BTreeSet<String> = known
                .iter()
                .map(|address| address.to_string())
                .map(|name| name.splitn(3, '/').take(parts).collect::<Vec<_>>().join("/"))
                .collect();
            let message =
                format!("`--only {only}` matches nothing in the stack or among its deployed resources");
            let failure = Failure::new(FailureKind::Rejected, message);
            return Err(match nearest(only, names.iter().map(String::as_str)) {
                Some(name) => failure.hint(format!("did you mean `{name}`?")),
                None => failure.hint("pass a tenant, `TENANT/COMPONENT`, or an address from a plan"),
            });
        }
        Ok(())
    }
}
