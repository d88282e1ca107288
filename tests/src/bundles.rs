//! Short constructors of bundles for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use terrace_artifact::{
    Artifact, ArtifactId, Binding, Body, Bundle, Class, CloudFormationStack, Environment, Location, Map,
    Member, Object, Origin, Part, Segment, Source, Target, Text, Value,
};

use terrace_deployer_model::access::{Access, AwsAccess, Connect, StackDirectory};
use terrace_deployer_model::live::{Basis, Live};
use terrace_deployer_model::ownership::Ownership;
use terrace_deployer_model::subject::Subject;

/// Parses a value from JSON.
pub fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// Creates a bundle of `acme` in `development` whose only target is the directory `out`.
pub fn bundle(artifacts: impl IntoIterator<Item = Artifact>) -> Bundle {
    let mut artifacts: Vec<Artifact> = artifacts.into_iter().collect();
    artifacts.sort_by(|a, b| a.id.cmp(&b.id));
    Bundle {
        platform: "acme".into(),
        environment: Environment {
            name: "development".into(),
            class: Class::Development,
            places: BTreeMap::new(),
        },
        targets: BTreeMap::from([("directory".into(), Target::Directory { path: "out".into() })]),
        artifacts,
        assets: BTreeMap::new(),
        set: Vec::new(),
    }
}

/// Creates an object; `body` contains everything but `apiVersion`, `kind` and `metadata`.
pub fn object(address: &str, api_version: &str, kind: &str, place: &str, body: &str) -> Artifact {
    let (namespace, name) = match place.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, place),
    };
    let mut metadata = Map::from_iter([("name", name)]);
    if let Some(namespace) = namespace {
        metadata.insert("namespace", namespace);
    }
    let mut manifest = Map::from_iter([("apiVersion", api_version), ("kind", kind)]);
    manifest.insert("metadata", metadata);
    for (key, field) in value(body).as_map().unwrap() {
        manifest.insert(key.clone(), field.clone());
    }
    Artifact {
        id: ArtifactId::object("directory", api_version, kind, namespace, name),
        target: "directory".into(),
        needs: BTreeSet::new(),
        body: Body::Object(Object {
            address: address.parse().unwrap(),
            origin: origin(),
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: namespace.map(Text::from),
            name: name.into(),
            manifest: manifest.into(),
            bindings: Vec::new(),
            holds_data: false,
        }),
    }
}

/// Creates a CloudFormation stack with the resources of a template; those in `holding` hold data.
pub fn stack(tenant: &str, component: &str, resources: &str, holding: &[&str]) -> Artifact {
    let resources = value(resources);
    let members = resources.as_map().unwrap().iter().map(|(id, resource)| {
        let member = Member {
            address: format!("{tenant}/{component}/{}", id.to_lowercase())
                .parse()
                .unwrap(),
            origin: origin(),
            resource_type: resource.get("Type").and_then(Value::as_str).unwrap().into(),
            holds_data: holding.contains(&id.as_str()),
        };
        (id.clone(), member)
    });
    let name = format!("acme-development-{tenant}-{component}");
    Artifact {
        id: ArtifactId::stack("directory", &name),
        target: "directory".into(),
        needs: BTreeSet::new(),
        body: Body::Stack(CloudFormationStack {
            name: name.into(),
            component: component.into(),
            owner: tenant.into(),
            origin: origin(),
            members: members.collect(),
            template: Map::from_iter([("Resources", resources.clone())]).into(),
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            termination_protection: false,
            partition: None,
            policy: None,
            assets: BTreeSet::new(),
        }),
    }
}

/// Returns the artifact with dependencies on others.
pub fn needing(mut artifact: Artifact, others: &[&Artifact]) -> Artifact {
    artifact.needs = others.iter().map(|other| other.id.clone()).collect();
    artifact
}

/// Returns the artifact with a field that an output of a stack fills.
pub fn bound(
    mut artifact: Artifact,
    path: &[&str],
    source: &Artifact,
    output: &str,
    shown: &str,
) -> Artifact {
    artifact.needs.insert(source.id.clone());
    let path: Vec<Segment> = path.iter().map(|key| Segment::Key((*key).into())).collect();
    if let Body::Object(object) = &mut artifact.body {
        let place = terrace_deployer_model::values::at_path_mut(&mut object.manifest, &path).unwrap();
        *place = format!("${{{shown}}}").into();
        object.bindings.push(Binding {
            path,
            parts: vec![Part::Late(Source {
                artifact: source.id.clone(),
                attribute: vec![Segment::Key(output.into())],
                shown: shown.into(),
            })],
        });
    }
    artifact
}

/// Returns the artifact with data.
pub fn holding(mut artifact: Artifact) -> Artifact {
    if let Body::Object(object) = &mut artifact.body {
        object.holds_data = true;
    }
    artifact
}

fn origin() -> Origin {
    let at = |file: &str, line| Location {
        file: file.into(),
        line,
        column: 1,
    };
    Origin {
        component: at("components.yaml", 3),
        resource: at("module:web/module.yaml", 7),
    }
}

/// Accesses only directories below `folder`; the clock is fixed.
pub fn access(folder: &Path, connect: Connect) -> Access {
    Access {
        folder: folder.to_owned(),
        directory: StackDirectory::default(),
        kubeconfig: None,
        aws: AwsAccess::default(),
        connect,
        who: "ana".into(),
        run: "1".into(),
        version: "0.1.0".into(),
        now: || SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_231_845),
    }
}

/// The live state of an artifact that is owned; `held` lists the addresses that hold data.
pub fn live(artifact: &Artifact, held: &[&str]) -> Live {
    Live {
        id: artifact.id.clone(),
        subject: Subject::of(artifact),
        ownership: Ownership::MADE,
        identity: "1".into(),
        notes: Vec::new(),
        basis: Basis(BTreeMap::from([("uid".into(), "1".into())])),
        addresses: artifact.addresses(),
        holds_data: held.iter().map(|address| address.parse().unwrap()).collect(),
        needs: BTreeSet::new(),
        value: Value::Null,
    }
}
