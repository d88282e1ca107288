//! The surroundings of a case: a stack in a directory, the shared cluster, and its own accounts.

use std::path::PathBuf;

use serde_json::{Value as Json, json};
use terrace_tests::inventory::{self, Inventory};
use terrace_tests::servers::{self, Account, Api, Cluster, Endpoint};
use terrace_tests::{Scratch, Terrace};

use crate::stack::Environment;

/// The servers that all cases of this program share. No other program uses them.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) cluster: Cluster,
    pub(crate) api: Api,
    pub(crate) endpoint: Endpoint,
}

impl Servers {
    pub(crate) fn start() -> Servers {
        let cluster = Cluster::start();
        Servers {
            api: Api::of(&cluster),
            cluster,
            endpoint: Endpoint::start(),
        }
    }
}

/// The part of the servers that one case uses.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) servers: &'a Servers,
    pub(crate) id: String,
    /// The environment `live`. All other environments use its cluster and its account, too.
    uses: Environment,
    pub(crate) account: Account<'a>,
    /// An account of another owner.
    pub(crate) other: Account<'a>,
    pub(crate) directory: Scratch,
    /// Another directory, to which a user copies the stack.
    pub(crate) elsewhere: Scratch,
    pub(crate) kubeconfig: PathBuf,
}

impl<'a> World<'a> {
    pub(crate) fn new(servers: &'a Servers, id: &str, live: &Environment) -> World<'a> {
        let directory = Scratch::new(id);
        let kubeconfig = directory.path().join("no-home/kubeconfig");
        directory.write("no-home/empty", "");
        servers::write_kubeconfig(&kubeconfig, &[("here", &servers.cluster)]);
        World {
            servers,
            id: id.to_owned(),
            uses: live.clone(),
            account: servers.endpoint.account(),
            other: servers.endpoint.account(),
            directory,
            elsewhere: Scratch::new(&format!("{id}-elsewhere")),
            kubeconfig,
        }
    }

    /// Returns the program in the other directory.
    pub(crate) fn terrace_elsewhere(&self) -> Terrace {
        Terrace::in_directory(self.elsewhere.path())
            .kubeconfig(&self.kubeconfig)
            .account(&self.account)
    }

    pub(crate) fn terrace(&self) -> Terrace {
        Terrace::in_directory(self.directory.path())
            .kubeconfig(&self.kubeconfig)
            .account(&self.account)
    }

    /// Returns everything that the environments of a stack can reach, without the items of other cases.
    pub(crate) fn inventory(&self) -> Inventory {
        let mut all = Inventory::new();
        let mut add = |place: &str, items: Inventory| {
            all.extend(
                items
                    .into_iter()
                    .map(|(key, text)| (format!("{place} {key}"), text)),
            );
        };
        if self.uses.cluster {
            add(
                "cluster",
                inventory::of_cluster(&self.servers.api, |key| self.concerns(key)),
            );
        }
        if self.uses.account {
            add("account", inventory::of_account(&self.account));
            add("other", inventory::of_account(&self.other));
        }
        add("directory", inventory::of_directory(self.directory.path()));
        all
    }

    /// Returns the inventory after an edit of the stack, which changes only files.
    pub(crate) fn edited(&self, mut before: Inventory) -> Inventory {
        before.retain(|key, _| !key.starts_with("directory "));
        let files = inventory::of_directory(self.directory.path()).into_iter();
        before.extend(files.map(|(path, content)| (format!("directory {path}"), content)));
        before
    }

    /// Returns whether an item of the cluster belongs to this case or to no case. The ids of cases look like `w12z`.
    fn concerns(&self, key: &str) -> bool {
        let of_a_case = |text: &str| {
            let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
            digits.len() < text.len() && digits.starts_with('z')
        };
        key.contains(&self.id)
            || !key
                .match_indices('w')
                .any(|(start, _)| of_a_case(&key[start + 1..]))
    }
}

/// An object of the cluster, as named in an inventory.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The path of its kind in all namespaces: `/api/v1/configmaps`.
    list: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Place {
    /// Returns the object of an identity in the inventory, if it is one.
    pub(crate) fn of(identity: &str) -> Option<Place> {
        let mut words = identity.strip_prefix("cluster ")?.split(' ');
        let (list, kind, name) = (words.next()?, words.next()?, words.next()?);
        let (namespace, name) = name.split_once('/')?;
        Some(Place {
            list: list.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Returns the path of its kind in a namespace.
    pub(crate) fn collection(&self, namespace: &str) -> String {
        match self.list.rsplit_once('/') {
            Some((version, plural)) if !namespace.is_empty() => {
                format!("{version}/namespaces/{namespace}/{plural}")
            }
            _ => self.list.clone(),
        }
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.collection(&self.namespace), self.name)
    }
}

/// Returns an object without the fields that the server sets.
pub(crate) fn bare(object: &Json, namespace: &str) -> Json {
    let mut copy = object.clone();
    let metadata = &object["metadata"];
    let kept = ["name", "labels", "annotations"]
        .iter()
        .filter(|key| !metadata[**key].is_null());
    copy["metadata"] = kept
        .map(|key| ((*key).to_owned(), metadata[*key].clone()))
        .collect();
    if !namespace.is_empty() {
        copy["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(fields) = copy.as_object_mut() {
        fields.remove("status");
    }
    if let Some(spec) = copy.get_mut("spec").and_then(Json::as_object_mut) {
        for field in ["clusterIP", "clusterIPs", "volumeName"] {
            spec.remove(field);
        }
    }
    copy
}
