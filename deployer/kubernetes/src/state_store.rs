//! The state store of an environment in its cluster: Secrets for the ledger and the bundles, and a Lease for the lock, all in
//! one namespace.
//!
//! A value is compressed and split into parts that are smaller than the limit of a Secret (1 MiB). The parts are named by their
//! digests and are written first. The Secret that names them is written last, so that a reader never sees an incomplete value.

use std::io::{Read, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures::future::BoxFuture;
use k8s_openapi::ByteString;
use terrace_artifact::{Digest, Map, Text, Value};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::lease::{LeaseRecord, LeaseStore, take};
use terrace_deployer_model::state_store::{LockGuard, LockHolder, LockWaitObserver, StateStore};

use super::api_errors::About;
use super::kinds::Served;
use super::live::metadata;
use super::missing_permissions::OWN_RULES;
use super::requests::{Apply, METADATA, Refusal, Requests, encode};

mod claim;

/// The namespace of all state stores of a cluster.
pub(super) const NAMESPACE: &str = "terrace-system";
/// The field manager of the state store. It also removes Terrace's label and annotations from retained objects. It is not the
/// manager of an environment: these objects belong to no bundle, and no plan deletes them.
pub(super) const MANAGER: &str = "terrace";
/// The label of all objects in the state store of an environment.
const HOME: &str = "terrace.dev/home";
/// The label that distinguishes values from their parts.
const ROLE: &str = "terrace.dev/role";
/// The annotation with a value's key.
const KEY: &str = "terrace.dev/key";
/// The maximum number of bytes in one Secret. Encoded in base64 and JSON, they stay below the limits of the server.
const PART: usize = 900 * 1024;

/// The state store of one environment in one cluster.
#[derive(Clone)]
pub(crate) struct ClusterStateStore {
    requests: Requests,
    /// The environment: `acme.disaster_recovery`.
    label: Text,
    /// The environment in a form that is valid in object names: `acme.disaster--recovery`. Names of environments contain no double
    /// dashes, so that two environments never share a stem.
    stem: Text,
}

impl ClusterStateStore {
    pub(crate) fn new(requests: Requests, label: &str) -> ClusterStateStore {
        ClusterStateStore {
            requests,
            label: label.into(),
            stem: label.replace('_', "--").into(),
        }
    }

    async fn read_value(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let head = self.get("get", &secrets(), &self.name(key)).await?;
        let Some(head) = head else { return Ok(None) };
        let broken = |problem: &str| {
            let message = format!("`{key}` in {} {problem}", self.shown());
            let restore =
                "restore the Secrets of the ledger from a backup: one of them was changed or deleted";
            // A recovery record is not history: without it, the next apply does not restore what an interrupted one disabled.
            Failure::new(FailureKind::Broken, message).hint(match key.starts_with("journal/") {
                true => restore.to_owned(),
                false => format!(
                    "{restore}\nor delete the value to continue: only history is lost\n{}",
                    self.delete_command(key)
                ),
            })
        };
        let mut packed = Vec::new();
        match data(&head, "parts") {
            None => packed = data(&head, "value").ok_or_else(|| broken("has no value"))?,
            Some(names) => {
                let names = String::from_utf8_lossy(&names).into_owned();
                for name in names.lines() {
                    let part = self.get("get", &secrets(), name).await?;
                    let part = part.and_then(|part| data(&part, "value"));
                    packed.extend(part.ok_or_else(|| broken("is incomplete"))?);
                }
            }
        }
        let mut value = Vec::new();
        GzDecoder::new(packed.as_slice())
            .read_to_end(&mut value)
            .map_err(|_| broken("cannot be decompressed"))?;
        let digest = data(&head, "digest").unwrap_or_default();
        if digest != Digest::of_bytes(&value).as_str().as_bytes() {
            return Err(broken("does not match its digest"));
        }
        Ok(Some(value))
    }

    async fn list_keys(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let query = format!(
            "&labelSelector={}",
            encode(&format!("{HOME}={},{ROLE}=value", self.label))
        );
        let served = secrets();
        let found = self
            .requests
            .list(&served.list_path(Some(NAMESPACE)), &query, METADATA)
            .await;
        let found = found.map_err(|refusal| self.failure(refusal, about("list", &served, None)))?;
        let mut keys: Vec<String> = found
            .iter()
            .filter_map(|object| {
                object
                    .at(&["metadata", "annotations", KEY])
                    .and_then(Value::as_str)
            })
            .filter(|key| key.starts_with(prefix))
            .map(str::to_owned)
            .collect();
        keys.sort();
        Ok(keys)
    }

    async fn create_value(&self, key: &str, value: &[u8]) -> Result<bool, Failure> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let packed = encoder
            .write_all(value)
            .and_then(|()| encoder.finish())
            .map_err(|error| {
                Failure::new(FailureKind::Broken, format!("`{key}` cannot be compressed"))
                    .server(error.to_string())
            })?;
        let mut contents = Map::new();
        contents.insert("digest", base64(Digest::of_bytes(value).as_str().as_bytes()));
        if packed.len() <= PART {
            contents.insert("value", base64(&packed));
        } else {
            let mut names = Vec::new();
            for part in packed.chunks(PART) {
                let name = format!("{}.part.{}", self.stem, &Digest::of_bytes(part).as_str()[..32]);
                let data = [("value", Value::from(base64(part)))].into_iter().collect();
                // The name of a part is the digest of its content, so an existing part has the same content.
                self.create_object(&self.value_secret(&name, "part", key, data))
                    .await?;
                names.push(name);
            }
            contents.insert("parts", base64(names.join("\n").as_bytes()));
        }
        Ok(self
            .create_object(&self.value_secret(&self.name(key), "value", key, contents))
            .await?
            .is_some())
    }

    async fn delete_value(&self, key: &str) -> Result<(), Failure> {
        let name = self.name(key);
        let served = secrets();
        let Some(head) = self.get("get", &served, &name).await? else {
            return Ok(());
        };
        let parts = data(&head, "parts").unwrap_or_default();
        let parts = String::from_utf8_lossy(&parts).into_owned();
        // The Secret that names the parts is deleted first. Without it the value does not exist, and leftover parts do no harm.
        for name in std::iter::once(name.as_str()).chain(parts.lines()) {
            match self
                .requests
                .delete(&served.path(Some(NAMESPACE), name), &Map::new().into())
                .await
            {
                Ok(_) => {}
                Err(Refusal::Status(status)) if status.is_not_found() => {}
                Err(refusal) => {
                    return Err(self.failure(refusal, about("delete", &served, Some(name))));
                }
            }
        }
        Ok(())
    }

    /// Creates an object of the state store, and its namespace if that does not exist. Returns nothing if an object of this name
    /// exists.
    async fn create_object(&self, object: &Value) -> Result<Option<Value>, Failure> {
        let served = if object.get("kind").and_then(Value::as_str) == Some("Lease") {
            leases()
        } else {
            secrets()
        };
        let path = served.list_path(Some(NAMESPACE));
        let mut created = self.requests.create(&path, object, MANAGER).await;
        if matches!(&created, Err(Refusal::Status(status)) if status.code == 404) {
            self.create_namespace().await?;
            created = self.requests.create(&path, object, MANAGER).await;
        }
        match created {
            Ok(object) => Ok(Some(object)),
            Err(Refusal::Status(status)) if status.is_already_exists() => Ok(None),
            Err(refusal) => {
                let name = metadata(object, "name");
                Err(self.failure(refusal, about("create", &served, Some(name))))
            }
        }
    }

    async fn create_namespace(&self) -> Result<(), Failure> {
        let mut object = Map::new();
        object.insert("apiVersion", "v1");
        object.insert("kind", "Namespace");
        object.insert("metadata", [("name", NAMESPACE)].into_iter().collect::<Map>());
        let served = kind("", "v1", "Namespace", "namespaces", false);
        let apply = Apply {
            manager: MANAGER,
            dry_run: false,
            force: false,
        };
        let path = served.path(None, NAMESPACE);
        let created = self.requests.apply(&path, &object.into(), apply).await;
        let about = About {
            verb: "create",
            served: &served,
            namespace: None,
            name: Some(NAMESPACE),
        };
        created
            .map(|_| ())
            .map_err(|refusal| self.failure(refusal, about))
    }

    /// Converts a refusal to a failure. If a permission is missing, the failure lists all permissions that the state store
    /// requires, so that the user does not find them one by one.
    fn failure(&self, refusal: Refusal, about: About<'_>) -> Failure {
        let mut failure = self.requests.failure(refusal, about);
        if let FailureKind::Denied { rule: Some(rule), .. } = &mut failure.kind {
            OWN_RULES.clone_into(rule);
            return failure.hint(format!(
                "if the namespace does not exist, create it first:\nkubectl --context {} create namespace {NAMESPACE}",
                self.requests.context
            ));
        }
        failure
    }

    async fn get(&self, verb: &'static str, served: &Served, name: &str) -> Result<Option<Value>, Failure> {
        let found = self.requests.get(&served.path(Some(NAMESPACE), name)).await;
        found.map_err(|refusal| self.failure(refusal, about(verb, served, Some(name))))
    }

    /// Deletes an object of the state store if it has this version. A missing object or another version is not a failure.
    async fn delete_version(&self, served: &Served, name: &str, expected: &Text) -> Result<(), Failure> {
        let preconditions: Map = of_version(expected).into_iter().collect();
        let options: Map = [("preconditions", Value::Map(preconditions))]
            .into_iter()
            .collect();
        match self
            .requests
            .delete(&served.path(Some(NAMESPACE), name), &options.into())
            .await
        {
            Ok(_) => Ok(()),
            Err(Refusal::Status(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(refusal) => Err(self.failure(refusal, about("delete", served, Some(name)))),
        }
    }

    /// Returns the name of a key's Secret. It contains a readable form of the key, and a digest that makes it unique.
    fn name(&self, key: &str) -> String {
        let readable: String = key
            .chars()
            .map(|c| {
                if c.is_ascii_lowercase() || c.is_ascii_digit() {
                    c
                } else {
                    '-'
                }
            })
            .take(80)
            .collect();
        format!(
            "{}.{}.{}",
            self.stem,
            readable.trim_matches('-'),
            &Digest::of_bytes(key.as_bytes()).as_str()[..8]
        )
    }

    /// Returns the Secret of a value of the ledger, or of a part of one. It never changes.
    fn value_secret(&self, name: &str, role: &str, key: &str, data: Map) -> Value {
        let mut metadata = self.metadata(name, role);
        metadata.insert("annotations", [(KEY, key)].into_iter().collect::<Map>());
        let mut object = secret("terrace.dev/home", metadata, data);
        object.insert("immutable", true);
        object.into()
    }

    /// Returns the metadata of a Secret in the state store.
    fn metadata(&self, name: &str, role: &str) -> Map {
        let labels: Map = [(HOME, self.label.as_str()), (ROLE, role)].into_iter().collect();
        let mut metadata = Map::new();
        metadata.insert("name", name);
        metadata.insert("namespace", NAMESPACE);
        metadata.insert("labels", labels);
        metadata
    }
}

impl StateStore for ClusterStateStore {
    fn shown(&self) -> String {
        format!("namespace {NAMESPACE} of cluster {}", self.requests.context)
    }

    fn delete_command(&self, key: &str) -> String {
        self.command_to_delete("secret", &self.name(key))
    }

    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Failure>> {
        Box::pin(self.read_value(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(self.list_keys(prefix))
    }

    fn create<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(self.create_value(key, value))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.delete_value(key))
    }

    fn lock<'a>(
        &'a self,
        holder: &'a LockHolder,
        waiting: &'a LockWaitObserver<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn LockGuard>, Failure>> {
        take(Arc::new(self.clone()), holder, waiting)
    }
}

/// The lock is a Lease, which `kubectl get leases` shows. Its annotations record the apply that holds it, and since when.
impl LeaseStore for ClusterStateStore {
    fn read(&self) -> BoxFuture<'_, Result<Option<(LeaseRecord, Text)>, Failure>> {
        Box::pin(async move {
            let Some(lease) = self.get("get", &leases(), &self.stem).await? else {
                return Ok(None);
            };
            let text = |key: &str| -> Text {
                lease
                    .at(&["metadata", "annotations", key])
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .into()
            };
            let identity = lease
                .at(&["spec", "holderIdentity"])
                .and_then(Value::as_str)
                .unwrap_or_default();
            let seconds = lease
                .at(&["spec", "leaseDurationSeconds"])
                .and_then(Value::as_integer);
            let record = LeaseRecord {
                holder: LockHolder {
                    who: identity.into(),
                    run: text("terrace.dev/run"),
                    since: text("terrace.dev/since"),
                },
                seconds: match seconds {
                    // A user cleared the holder by hand, so the lock is free.
                    _ if identity.is_empty() => 0,
                    seconds => seconds
                        .and_then(|seconds| u32::try_from(seconds).ok())
                        .unwrap_or(15),
                },
                renewals: text("terrace.dev/renewals").parse().unwrap_or_default(),
            };
            Ok(Some((record, version(&lease))))
        })
    }

    fn write<'a>(
        &'a self,
        record: &'a LeaseRecord,
        expected: Option<&'a Text>,
    ) -> BoxFuture<'a, Result<Option<Text>, Failure>> {
        Box::pin(async move {
            let served = leases();
            let object = self.lease(record, expected);
            let Some(_) = expected else {
                let lease = self.create_object(&object).await?;
                return Ok(lease.map(|lease| version(&lease)));
            };
            match self
                .requests
                .replace(&served.path(Some(NAMESPACE), &self.stem), &object, MANAGER)
                .await
            {
                Ok(lease) => Ok(Some(version(&lease))),
                Err(Refusal::Status(status)) if matches!(status.code, 404 | 409) => Ok(None),
                Err(refusal) => Err(self.failure(refusal, about("update", &served, Some(&self.stem)))),
            }
        })
    }

    fn clear<'a>(&'a self, expected: &'a Text) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { self.delete_version(&leases(), &self.stem, expected).await })
    }

    fn remedy(&self) -> String {
        format!(
            "delete the Lease:\n{}",
            self.command_to_delete("lease", &self.stem)
        )
    }
}

impl ClusterStateStore {
    /// Returns the command that deletes an object of the store.
    fn command_to_delete(&self, resource: &str, name: &str) -> String {
        format!(
            "kubectl --context {} delete {resource} --namespace {NAMESPACE} {name}",
            self.requests.context
        )
    }

    /// Returns the Lease for a record. With `expected`, the server accepts it only if the live Lease has this version.
    fn lease(&self, record: &LeaseRecord, expected: Option<&Text>) -> Value {
        let renewals = record.renewals.to_string();
        let annotations: Map = [
            ("terrace.dev/run", record.holder.run.as_str()),
            ("terrace.dev/since", record.holder.since.as_str()),
            ("terrace.dev/renewals", renewals.as_str()),
        ]
        .into_iter()
        .collect();
        let mut metadata = Map::new();
        metadata.insert("name", self.stem.clone());
        metadata.insert("namespace", NAMESPACE);
        metadata.insert(
            "labels",
            [(HOME, self.label.as_str())].into_iter().collect::<Map>(),
        );
        metadata.insert("annotations", annotations);
        for (key, value) in expected.into_iter().flat_map(of_version) {
            metadata.insert(key, value);
        }
        let mut spec = Map::new();
        spec.insert("holderIdentity", record.holder.who.clone());
        spec.insert("leaseDurationSeconds", i64::from(record.seconds));
        let mut object = Map::new();
        object.insert("apiVersion", "coordination.k8s.io/v1");
        object.insert("kind", "Lease");
        object.insert("metadata", metadata);
        object.insert("spec", spec);
        object.into()
    }
}

/// Returns the version of an object: its uid and its resourceVersion. The uid matters, because an update with a
/// resourceVersion alone can create an object again that was deleted.
fn version(object: &Value) -> Text {
    format!(
        "{}/{}",
        metadata(object, "uid"),
        metadata(object, "resourceVersion")
    )
    .into()
}

/// Returns the fields of an object's metadata, or of the preconditions of a request, that state a version.
fn of_version(version: &Text) -> [(&'static str, Text); 2] {
    let (uid, resource_version) = version.split_once('/').unwrap_or(("", version));
    [("uid", uid.into()), ("resourceVersion", resource_version.into())]
}

/// Returns a Secret of a type.
fn secret(secret_type: &str, metadata: Map, data: Map) -> Map {
    let mut object = Map::new();
    object.insert("apiVersion", "v1");
    object.insert("kind", "Secret");
    object.insert("type", secret_type);
    object.insert("metadata", metadata);
    object.insert("data", data);
    object
}

/// Encodes bytes as the values of a Secret are encoded.
pub(super) fn base64(bytes: &[u8]) -> String {
    match serde_json::to_value(ByteString(bytes.to_vec())) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

/// Decodes a value of a Secret.
fn data(secret: &Value, key: &str) -> Option<Vec<u8>> {
    let text = secret.at(&["data", key]).and_then(Value::as_str)?;
    let bytes: ByteString = serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()?;
    Some(bytes.0)
}

fn secrets() -> Served {
    kind("", "v1", "Secret", "secrets", true)
}

fn leases() -> Served {
    kind("coordination.k8s.io", "v1", "Lease", "leases", true)
}

fn kind(group: &str, version: &str, kind: &str, plural: &str, namespaced: bool) -> Served {
    Served {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        plural: plural.into(),
        namespaced,
        verbs: Vec::new(),
    }
}

fn about<'a>(verb: &'a str, served: &'a Served, name: Option<&'a str>) -> About<'a> {
    About {
        verb,
        served,
        namespace: Some(NAMESPACE),
        name,
    }
}
