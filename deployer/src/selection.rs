//! `--only`: what a plan is limited to.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Address, Artifact, ArtifactId, Bundle, Text};
use terrace_catalog::nearest;

use crate::backend::Live;
use crate::failure::{Failure, FailureKind};
use crate::planning::addresses;

/// What `--only` leaves.
pub(crate) struct Selection<'a> {
    only: &'a [Text],
    /// The artifacts that are left of what is wanted.
    pub(crate) wanted: BTreeSet<&'a ArtifactId>,
}

impl<'a> Selection<'a> {
    pub(crate) fn of(only: &'a [Text], bundle: &'a Bundle) -> Selection<'a> {
        let mut selection = Selection {
            only,
            wanted: BTreeSet::new(),
        };
        let named = bundle.artifacts.iter().filter(|artifact| {
            let (tenant, component) = artifact.owner();
            selection.names(tenant, component, &addresses(artifact))
        });
        let mut open: Vec<&Artifact> = named.collect();
        while let Some(artifact) = open.pop() {
            if selection.wanted.insert(&artifact.id) {
                open.extend(artifact.needs.iter().filter_map(|id| bundle.artifact(id)));
            }
        }
        selection
    }

    fn names(&self, tenant: &str, component: &str, addresses: &[Address]) -> bool {
        let matches = |only: &Text| match only.split_once('/') {
            None => only == tenant,
            Some((of, rest)) if !rest.contains('/') => of == tenant && rest == component,
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

    /// Whether something live is meant.
    pub(crate) fn names_live(&self, live: &Live) -> bool {
        self.only.is_empty()
            || live
                .addresses
                .iter()
                .any(|address| self.names(&address.tenant, &address.component, std::slice::from_ref(address)))
    }

    /// Fails where something is named that is neither wanted nor there.
    pub(crate) fn all_named(
        &self,
        bundle: &Bundle,
        live: &BTreeMap<ArtifactId, (Text, Live)>,
    ) -> Result<(), Failure> {
        let wanted = bundle.artifacts.iter().flat_map(addresses);
        let there = live.values().flat_map(|(_, live)| live.addresses.iter().cloned());
        let known: BTreeSet<Address> = wanted.chain(there).collect();
        for only in self.only {
            let alone = Selection {
                only: std::slice::from_ref(only),
                wanted: BTreeSet::new(),
            };
            let is_known = |address: &Address| {
                alone.names(&address.tenant, &address.component, std::slice::from_ref(address))
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
                format!("`--only {only}` names nothing that is in the stack or was delivered from it");
            let failure = Failure::new(FailureKind::Rejected, message);
            return Err(match nearest(only, names.iter().map(String::as_str)) {
                Some(name) => failure.hint(format!("`{name}` exists")),
                None => failure.hint("name a tenant, `TENANT/COMPONENT`, or an address as a plan shows it"),
            });
        }
        Ok(())
    }
}
