//! Packs the kinds of a Kubernetes server, from its OpenAPI and discovery documents, and custom resources from their CRDs.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use terrace_catalog::KindFacts;
use terrace_catalog::node::{NodeId, flags, types};
use terrace_catalog::store::Packer;

use super::build::{Builder, Style, sort};
use super::{documented, read_json};

const META: &str = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The source of a server's documents.
#[derive(Debug)]
pub(super) enum Source {
    /// A running server: `https://127.0.0.1:7600`. The token is `$TOKEN`, or `admin` as in the test cluster.
    Server(String),
    /// A directory with `api.json`, `apis.json` and a `v3.GROUP.VERSION.json` for each group and version.
    Directory(PathBuf),
}

impl Source {
    pub(super) fn new(text: &str) -> Source {
        if text.starts_with("https://") || text.starts_with("http://") {
            Source::Server(text.trim_end_matches('/').to_owned())
        } else {
            Source::Directory(text.into())
        }
    }

    fn discovery(&self, path: &str) -> Result<Value, String> {
        match self {
            Source::Server(url) => fetch(&format!("{url}/{path}"), DISCOVERY),
            Source::Directory(directory) => read_json(&directory.join(format!("{path}.json"))),
        }
    }

    fn openapi(&self, path: &str) -> Result<Value, String> {
        match self {
            Source::Server(url) => fetch(&format!("{url}/openapi/v3/{path}"), "application/json"),
            Source::Directory(directory) => {
                read_json(&directory.join(format!("v3.{}.json", path.replace('/', "."))))
            }
        }
    }
}

fn fetch(url: &str, accept: &str) -> Result<Value, String> {
    let token = std::env::var("TOKEN").unwrap_or_else(|_| "admin".to_owned());
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--insecure"])
        .args([
            "--header",
            &format!("Authorization: Bearer {token}"),
            "--header",
            &format!("Accept: {accept}"),
            url,
        ])
        .output()
        .map_err(|error| format!("curl: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{url}: {error}"))
}

/// A kind in the discovery documents.
struct Served {
    group: String,
    version: String,
    kind: String,
    plural: String,
    namespaced: bool,
    verbs: Vec<String>,
}

impl Served {
    fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// Packs the file.
pub(super) fn pack(source: &Source, crds: &Path) -> Result<Vec<u8>, String> {
    let mut served = Vec::new();
    for path in ["api", "apis"] {
        list(&source.discovery(path)?, &mut served);
    }
    served.sort_by_key(|kind| (kind.api_version(), kind.kind.clone()));
    let mut documents: Vec<(String, Value)> = Vec::new();
    for kind in &served {
        let version = kind.api_version();
        if documents.iter().all(|(known, _)| *known != version) {
            let path = if kind.group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{version}")
            };
            let mut document = source.openapi(&path)?;
            documented::add(&mut document)?;
            documents.push((version, document));
        }
    }
    let mut packer = Packer::new(24 * 1024);
    built_in(&mut packer, &served, &documents)?;
    let (_, core) = documents
        .iter()
        .find(|(version, _)| version == "v1")
        .ok_or("the server has no `v1`")?;
    for definition in read_crds(crds)? {
        custom(&mut packer, core, &definition)?;
    }
    Ok(packer.finish())
}

fn list(discovery: &Value, served: &mut Vec<Served>) {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for group in each(&discovery["items"]) {
        for version in each(&group["versions"]) {
            for resource in each(&version["resources"]) {
                served.push(Served {
                    group: text(&group["metadata"], "name"),
                    version: text(&version, "version"),
                    kind: text(&resource["responseKind"], "kind"),
                    plural: text(&resource, "resource"),
                    namespaced: resource["scope"] == "Namespaced",
                    verbs: each(&resource["verbs"])
                        .iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect(),
                });
            }
        }
    }
}

/// Packs all built-in kinds into one section, because they share most of their nodes.
fn built_in(packer: &mut Packer, served: &[Served], documents: &[(String, Value)]) -> Result<(), String> {
    let none = Value::Null;
    let mut builder = Builder::new(Style::Kubernetes, &none);
    let mut facts: Vec<KindFacts<String>> = Vec::new();
    for (version, document) in documents {
        builder.turn_to(Style::Kubernetes, document);
        for kind in served.iter().filter(|kind| kind.api_version() == *version) {
            let schemas = document["components"]["schemas"].as_object();
            let definition = schemas
                .into_iter()
                .flatten()
                .find(|(_, schema)| is_kind(schema, kind));
            let (_, schema) = definition.ok_or_else(|| format!("no schema for {version} {}", kind.kind))?;
            let object = schema
                .as_object()
                .ok_or_else(|| format!("{}: not an object", kind.kind))?;
            let node = builder.node(object);
            let root = whole_object(
                &mut builder,
                node,
                kind.verbs.iter().any(|verb| verb == "get"),
                None,
            );
            facts.push(KindFacts {
                name: format!("{version} {}", kind.kind),
                plural: kind.plural.clone(),
                namespaced: kind.namespaced,
                custom: false,
                root,
                verbs: kind.verbs.clone(),
            });
        }
    }
    write(packer, &builder, facts);
    Ok(())
}

fn is_kind(schema: &Value, kind: &Served) -> bool {
    let all = schema["x-kubernetes-group-version-kind"].as_array();
    all.is_some_and(|all| {
        all.iter().any(|one| {
            one["group"] == *kind.group && one["version"] == *kind.version && one["kind"] == *kind.kind
        })
    })
}

fn write(packer: &mut Packer, builder: &Builder<'_>, mut facts: Vec<KindFacts<String>>) {
    let mut roots: Vec<&mut NodeId> = facts.iter_mut().map(|facts| &mut facts.root).collect();
    let nodes = builder.reachable(&mut roots);
    let names: Vec<String> = facts.iter().map(|facts| facts.name.clone()).collect();
    packer.section(&names, &nodes, |writer| {
        writer.list(&facts, |w, facts| facts.write(w));
    });
}

/// Adds the rules for complete objects of every kind: the required fields, and the read-only status.
fn whole_object<'j>(
    builder: &mut Builder<'j>,
    mut node: terrace_catalog::node::Node<'j>,
    stored: bool,
    metadata: Option<NodeId>,
) -> NodeId {
    node.types = types::MAP;
    for field in &mut node.fields {
        match field.name {
            "apiVersion" | "kind" => field.required = true,
            "metadata" => {
                field.required = stored;
                field.node = metadata.unwrap_or(field.node);
            }
            "status" => field.read_only = true,
            _ => {}
        }
    }
    sort(&mut node);
    builder.add(node)
}

fn read_crds(directory: &Path) -> Result<Vec<Value>, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut files = Vec::new();
    for group in std::fs::read_dir(directory).map_err(problem)? {
        let path = group.map_err(problem)?.path();
        if path.is_dir() {
            for file in std::fs::read_dir(&path).map_err(problem)? {
                files.push(file.map_err(problem)?.path());
            }
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        yaml_serde::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
    };
    files.iter().map(read).collect()
}

fn custom(packer: &mut Packer, core: &Value, definition: &Value) -> Result<(), String> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, kind) = (text(&spec["group"]), text(&spec["names"]["kind"]));
    let reference = serde_json::json!({ "$ref": META });
    for version in spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|version| version["served"] == true)
    {
        let schema = &version["schema"]["openAPIV3Schema"];
        let object = schema.as_object().ok_or_else(|| format!("{kind}: no schema"))?;
        let mut builder = Builder::new(Style::Kubernetes, core);
        let metadata = builder.schema(&reference);
        builder.turn_to(Style::CustomResource, schema);
        let mut node = builder.node(object);
        if node.fields.is_empty() {
            node.flags |= flags::OPEN;
        }
        for name in ["apiVersion", "kind", "metadata"] {
            if node.field(name).is_none() {
                let id = if name == "metadata" {
                    metadata
                } else {
                    builder.add(string())
                };
                let position = node.fields.len() as u16;
                node.fields.push(terrace_catalog::node::Field {
                    name,
                    node: id,
                    position,
                    required: true,
                    read_only: false,
                });
                sort(&mut node);
            }
        }
        let root = whole_object(&mut builder, node, true, Some(metadata));
        let facts = KindFacts {
            name: format!("{group}/{} {kind}", text(&version["name"])),
            plural: text(&spec["names"]["plural"]),
            namespaced: spec["scope"] == "Namespaced",
            custom: true,
            root,
            verbs: ["create", "delete", "get", "list", "patch", "update", "watch"]
                .map(str::to_owned)
                .to_vec(),
        };
        write(packer, &builder, vec![facts]);
    }
    Ok(())
}

fn string() -> terrace_catalog::node::Node<'static> {
    terrace_catalog::node::Node {
        types: types::STRING,
        ..Default::default()
    }
}
