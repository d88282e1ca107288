//! One stack in one cluster: bundles from YAML, and their plans and applies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize as _;
use terrace_artifact::{
    Address, Artifact, ArtifactId, Binding, Body, Bundle, Class, Environment, Location, Object, Origin,
    Target, Text, Value,
};
use terrace_deployer::{
    ADDRESS, Access, Action, ApplyOptions, AwsAccess, Cancel, Error, Event, HOLDS_DATA, LABEL, Plan,
    PlanOptions, Report,
};
use terrace_tests::plans::write_fields;
use terrace_tests::servers::{self, Cluster};

/// The name of the target in every bundle.
pub(crate) const TARGET: &str = "kubernetes";

/// The stack `NAME.testing` in a cluster.
pub(crate) struct Stack<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) name: &'static str,
    pub(crate) kubeconfig: PathBuf,
    /// The cluster id that the environment states, if any.
    pub(crate) id: Option<Text>,
    pub(crate) context: Text,
    /// Addresses whose loss is approved.
    pub(crate) approved: Vec<Address>,
    /// The arguments of `--adopt`.
    pub(crate) adopt: Vec<Text>,
    pub(crate) timeout: Duration,
}

impl Stack<'static> {
    /// Creates a stack in the cluster that all tests share. Each test uses its own name.
    pub(crate) fn new(name: &'static str) -> Stack<'static> {
        Stack::in_cluster(name, servers::kubernetes())
    }
}

impl<'a> Stack<'a> {
    pub(crate) fn in_cluster(name: &'static str, cluster: &'a Cluster) -> Stack<'a> {
        Stack {
            cluster,
            name,
            kubeconfig: cluster.kubeconfig().to_owned(),
            id: None,
            context: "local".into(),
            approved: Vec::new(),
            adopt: Vec::new(),
            timeout: Duration::from_secs(60),
        }
    }

    /// Builds a bundle from the objects of a YAML text. Objects depend on their namespace and on the CRD of their kind;
    /// their addresses are `platform/NAME/KIND-NAME`. `$N` is replaced with the stack's name.
    #[track_caller]
    pub(crate) fn bundle(&self, yaml: &str) -> Bundle {
        let yaml = yaml.replace("$N", self.name);
        let mut artifacts: Vec<Artifact> = Vec::new();
        for document in yaml_serde::Deserializer::from_str(&yaml) {
            let json = serde_json::Value::deserialize(document).expect("an object in YAML");
            if !json.is_null() {
                artifacts.push(self.artifact(Value::from_json(&json)));
            }
        }
        let ids: BTreeMap<ArtifactId, Value> = artifacts
            .iter()
            .map(|a| (a.id.clone(), a.object().expect("an object").manifest.clone()))
            .collect();
        for artifact in &mut artifacts {
            let object = artifact.object().expect("an object");
            let group = object.api_version.split_once('/').map_or("", |(group, _)| group);
            artifact.needs = ids
                .iter()
                .filter(|(_, other)| {
                    let text = |path: &[&str]| other.at(path).and_then(Value::as_str).unwrap_or_default();
                    match text(&["kind"]) {
                        "Namespace" => object.namespace.as_deref() == Some(text(&["metadata", "name"])),
                        "CustomResourceDefinition" => {
                            text(&["spec", "group"]) == group
                                && text(&["spec", "names", "kind"]) == object.kind
                        }
                        _ => false,
                    }
                })
                .map(|(id, _)| id.clone())
                .collect();
        }
        artifacts.sort_by(|a, b| a.id.cmp(&b.id));
        Bundle {
            platform: self.name.into(),
            environment: Environment {
                name: "testing".into(),
                class: Class::Testing,
                places: BTreeMap::new(),
            },
            targets: BTreeMap::from([(
                TARGET.into(),
                Target::Kubernetes {
                    context: self.context.clone(),
                    distribution: "kubernetes".into(),
                    id: self.id.clone(),
                },
            )]),
            artifacts,
            assets: BTreeMap::new(),
            set: Vec::new(),
        }
    }

    fn artifact(&self, mut manifest: Value) -> Artifact {
        let text = |path: &[&str]| -> Text {
            manifest
                .at(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .into()
        };
        let (api_version, kind, name) = (
            text(&["apiVersion"]),
            text(&["kind"]),
            text(&["metadata", "name"]),
        );
        let namespace = Some(text(&["metadata", "namespace"])).filter(|namespace| !namespace.is_empty());
        let address: Address = format!("platform/{}/{}-{name}", self.name, kind.to_lowercase())
            .parse()
            .expect("an address");
        let holds_data = manifest.at(&["metadata", "annotations", HOLDS_DATA]).is_some();
        let metadata = manifest.as_map_mut().and_then(|map| map.get_mut("metadata"));
        let metadata = metadata.and_then(Value::as_map_mut).expect("metadata");
        for (key, name, value) in [
            ("labels", LABEL, format!("{}.testing", self.name)),
            ("annotations", ADDRESS, address.to_string()),
        ] {
            let mut map = metadata
                .remove(key)
                .and_then(|map| map.as_map().cloned())
                .unwrap_or_default();
            map.insert(name, value);
            metadata.insert(key, map);
        }
        let place = |line| Location {
            file: "components.yaml".into(),
            line,
            column: 3,
        };
        Artifact {
            id: ArtifactId::object(TARGET, &api_version, &kind, namespace.as_deref(), &name),
            target: TARGET.into(),
            needs: BTreeSet::new(),
            body: Body::Object(Object {
                address,
                origin: Origin {
                    component: place(1),
                    resource: place(7),
                },
                api_version,
                kind,
                namespace,
                name,
                manifest,
                bindings: Vec::new(),
                holds_data,
            }),
        }
    }

    pub(crate) fn access(&self) -> Access {
        Access {
            folder: PathBuf::from("."),
            directory: terrace_deployer::StackDirectory::default(),
            connect: terrace_deployer::connect,
            kubeconfig: Some(self.kubeconfig.clone()),
            aws: AwsAccess::default(),
            who: "tester@here".into(),
            run: format!("{}-{:?}", self.name, SystemTime::now()).into(),
            version: "0.1.0".into(),
            now: SystemTime::now,
        }
    }

    pub(crate) fn options(&self) -> (ApplyOptions, terrace_deployer::Canceller) {
        let (canceller, cancel) = Cancel::channel();
        let options = ApplyOptions {
            approved: self.approved.iter().cloned().collect(),
            timeout: Some(self.timeout),
            cancel,
        };
        (options, canceller)
    }

    fn planning(&self) -> PlanOptions {
        PlanOptions {
            adopt: self.adopt.clone(),
            approved: self.approved.iter().cloned().collect(),
            ..PlanOptions::everything()
        }
    }

    pub(crate) async fn try_plan(&self, bundle: &Bundle) -> Result<Plan, Error> {
        terrace_deployer::plan(bundle, &self.access(), &self.planning()).await
    }

    pub(crate) async fn destroy_plan(&self, yaml: &str) -> Plan {
        let bundle = self.bundle(yaml);
        let plan = terrace_deployer::destroy_plan(&bundle, &self.access(), &self.planning()).await;
        plan.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the refusal of a plan. An apply of it fails with exit code 4 and changes nothing.
    pub(crate) async fn refusal_of(&self, plan: &Plan) -> String {
        match self.try_apply_plan(plan).await {
            Err(error @ Error::Refused(_)) => {
                assert_eq!(error.exit_code(), 4);
                error.to_string()
            }
            other => panic!("the apply was not refused: {other:?}\n{}", show(plan)),
        }
    }

    pub(crate) async fn refusal(&self, yaml: &str) -> String {
        self.refusal_of(&self.plan(yaml).await).await
    }

    pub(crate) async fn plan(&self, yaml: &str) -> Plan {
        self.plan_of(&self.bundle(yaml)).await
    }

    pub(crate) async fn plan_of(&self, bundle: &Bundle) -> Plan {
        self.try_plan(bundle)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn try_apply_plan(&self, plan: &Plan) -> Result<Report, Error> {
        let (options, _canceller) = self.options();
        terrace_deployer::apply(plan, &self.access(), &options, |_| {}).await
    }

    /// Applies a plan, and runs a kubectl command as soon as the step of the object with this name is done.
    pub(crate) async fn apply_and_then(
        &self,
        plan: &Plan,
        name: &str,
        command: &str,
    ) -> Result<Report, Error> {
        let (options, _canceller) = self.options();
        terrace_deployer::apply(plan, &self.access(), &options, |event| {
            if let Event::Done { step, .. } = event
                && &*step.subject.name == name
            {
                self.kubectl(command);
            }
        })
        .await
    }

    pub(crate) async fn try_apply(&self, yaml: &str) -> Result<Report, Error> {
        let plan = self.try_plan(&self.bundle(yaml)).await?;
        self.try_apply_plan(&plan).await
    }

    /// Applies, and checks that a second plan is empty.
    pub(crate) async fn apply(&self, yaml: &str) -> Report {
        self.apply_bundle(&self.bundle(yaml)).await
    }

    pub(crate) async fn apply_bundle(&self, bundle: &Bundle) -> Report {
        let plan = self.plan_of(bundle).await;
        let report = self
            .try_apply_plan(&plan)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let again = self.plan_of(bundle).await;
        assert!(
            again.is_empty(),
            "the second plan is not empty:\n{}",
            show(&again)
        );
        report
    }

    /// Destroys everything, and checks that a second plan is empty.
    pub(crate) async fn destroy(&self, yaml: &str) {
        let plan = self.destroy_plan(yaml).await;
        self.try_apply_plan(&plan)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let again = self.destroy_plan(yaml).await;
        assert!(again.is_empty(), "resources remain:\n{}", show(&again));
    }

    #[track_caller]
    pub(crate) fn kubectl(&self, line: &str) -> String {
        let line = line.replace("$N", self.name);
        self.cluster.kubectl(&line.split(' ').collect::<Vec<_>>())
    }

    /// Returns a field of a live object, like `kubectl get -o jsonpath`.
    #[track_caller]
    pub(crate) fn field(&self, object: &str, path: &str) -> String {
        self.kubectl(&format!("get {object} --output=jsonpath={{{path}}}"))
    }
}

/// Binds a field of an object to a value of another object.
pub(crate) fn bind(bundle: &mut Bundle, kind: &str, binding: Binding) {
    let artifact = bundle
        .artifacts
        .iter_mut()
        .find(|a| a.object().is_some_and(|object| object.kind == kind));
    let artifact = artifact.expect("an object of the kind");
    for part in &binding.parts {
        if let terrace_artifact::Part::Late(source) = part {
            artifact.needs.insert(source.artifact.clone());
        }
    }
    if let Body::Object(object) = &mut artifact.body {
        object.bindings.push(binding);
    }
}

/// Shows the changes of a plan, a line for each step and an indented line for each field.
pub(crate) fn show(plan: &Plan) -> String {
    let mut out = String::new();
    for step in plan.changes() {
        let action = match step.change.action {
            Action::Keep => continue,
            action => action.to_string(),
        };
        let _ = writeln!(
            out,
            "{action} {} {}: {}",
            step.subject.kind, step.subject.name, step.change.reason
        );
        write_fields(&step.change.fields, "  ", &mut out);
        for note in &step.change.notes {
            let _ = writeln!(out, "  note: {note}");
        }
    }
    out
}

/// Returns the message of an error.
pub(crate) fn words<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("the operation did not fail"),
        Err(error) => error.to_string(),
    }
}

/// Parses an address.
pub(crate) fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

/// Counts the requests of the API server that write, by verb and resource, with dry runs counted separately.
pub(crate) fn requests(cluster: &Cluster) -> BTreeMap<String, u64> {
    let metrics = cluster.kubectl(&["get", "--raw", "/metrics"]);
    let mut counts = BTreeMap::new();
    for line in metrics
        .lines()
        .filter_map(|line| line.strip_prefix("apiserver_request_total{"))
    {
        let Some((labels, count)) = line.rsplit_once("} ") else {
            continue;
        };
        let label = |name: &str| {
            let rest = labels.split(&format!("{name}=\"")).nth(1)?;
            rest.split('"').next()
        };
        let (verb, dry_run) = (
            label("verb").unwrap_or_default(),
            label("dry_run").unwrap_or_default(),
        );
        if !["APPLY", "POST", "PUT", "PATCH", "DELETE"].contains(&verb) {
            continue;
        }
        let resource = label("resource").unwrap_or_default();
        let count = count.parse::<f64>().unwrap_or_default() as u64;
        *counts
            .entry(format!(
                "{verb} {resource}{}",
                if dry_run.is_empty() { "" } else { " dry" }
            ))
            .or_insert(0) += count;
    }
    counts
}

/// Creates a file in the test's scratch directory.
pub(crate) fn file(scratch: &Path, name: &str, text: &str) -> PathBuf {
    let path = scratch.join(name);
    std::fs::write(&path, text).expect("the file can be written");
    path
}
