//! A small platform in a cluster and an account, described in the form of the compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde_json::{Value as Json, json};
use terrace_artifact::{
    Artifact, ArtifactId, Binding, Body, Bundle, Class, CloudFormationStack, Environment, Location, Member,
    Object, Origin, Owner, Part, Segment, Source, Target, Text, Value,
};
use terrace_deployer::{
    ADDRESS, Access, ApplyOptions, AwsAccess, Cancel, Error, Event, History, LABEL, Plan, PlanOptions,
    Report, apply, bootstrap, destroy_plan, history, plan, render,
};
use terrace_tests::servers::{self, Account};

/// A platform: a bucket and a role in the account; a ServiceAccount with the ARN of the role, a Deployment and a Service in the
/// cluster; and a parameter in the account with the address of the Service.
pub(crate) struct Platform {
    pub(crate) name: &'static str,
    pub(crate) account: Account<'static>,
    pub(crate) timeout: Duration,
    bundle: Bundle,
}

impl Platform {
    pub(crate) async fn new(name: &'static str) -> Platform {
        Platform::in_account(name, servers::aws().account()).await
    }

    pub(crate) async fn in_account(name: &'static str, account: Account<'static>) -> Platform {
        let targets = BTreeMap::from([
            (
                "aws".into(),
                Target::Aws {
                    account: account.id().into(),
                    region: account.region().into(),
                    profile: None,
                },
            ),
            (
                "kubernetes".into(),
                Target::Kubernetes {
                    context: "local".into(),
                    distribution: "kubernetes".into(),
                    id: None,
                },
            ),
        ]);
        let mut platform = Platform {
            name,
            account,
            timeout: Duration::from_secs(60),
            bundle: Bundle {
                platform: name.into(),
                environment: Environment {
                    name: "testing".into(),
                    class: Class::Testing,
                    places: BTreeMap::new(),
                },
                targets,
                artifacts: Vec::new(),
                assets: BTreeMap::new(),
                set: Vec::new(),
            },
        };
        platform.role(&format!("{name}-reader"));
        let namespace = platform.object("v1", "Namespace", None, json!({}));
        let mut account = platform.object("v1", "ServiceAccount", Some(&namespace), json!({}));
        let lake = platform.lake_id();
        annotate(&mut account, "${platform/lake/role.arn}");
        bind(
            &mut account,
            &["metadata", "annotations", "role"],
            &lake,
            &["RoleArn"],
            "platform/lake/role.arn",
        );
        let ports = json!({"spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]}});
        let service = platform.object("v1", "Service", Some(&namespace), ports);
        platform.notes(&service.id);
        for artifact in [namespace, account, service] {
            platform.put(artifact);
        }
        platform.image("web:1");
        bootstrap(&platform.bundle, &platform.access())
            .await
            .expect("the bootstrap must succeed");
        platform
    }

    /// Sets the name of the role.
    pub(crate) fn role(&mut self, role: &str) {
        self.role_with_key("Role", role);
    }

    /// Sets the name and the logical id of the role. A different logical id is a different resource.
    pub(crate) fn role_with_key(&mut self, key: &str, role: &str) {
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
        let template = json!({
            "Resources": {
                "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": format!("{}-{}", self.name, self.account.id())}},
                (key): {"Type": "AWS::IAM::Role", "Properties": {"RoleName": role, "AssumeRolePolicyDocument": trust}},
            },
            "Outputs": {"RoleArn": {"Value": {"Fn::GetAtt": [key, "Arn"]}}},
        });
        let stack = self.stack("lake", &template, BTreeMap::new(), BTreeSet::new());
        self.put(stack);
    }

    /// Sets the image of the Deployment.
    pub(crate) fn image(&mut self, image: &str) {
        let namespace = self.object("v1", "Namespace", None, json!({}));
        let account = self.object("v1", "ServiceAccount", Some(&namespace), json!({}));
        let spec = json!({"spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"serviceAccountName": "web", "containers": [{"name": "web", "image": image}]},
            },
        }});
        let mut deployment = self.object("apps/v1", "Deployment", Some(&namespace), spec);
        deployment.needs.insert(account.id);
        self.put(deployment);
    }

    /// Declares a new ConfigMap.
    pub(crate) fn page(&mut self) {
        let namespace = self.object("v1", "Namespace", None, json!({}));
        let page = self.object(
            "v1",
            "ConfigMap",
            Some(&namespace),
            json!({"data": {"page": "1"}}),
        );
        self.put(page);
    }

    /// Removes the account from the environment, with all its artifacts.
    pub(crate) fn drop_account(&mut self) {
        self.bundle.targets.remove("aws");
        self.bundle.artifacts.retain(|artifact| artifact.target != "aws");
        for artifact in &mut self.bundle.artifacts {
            artifact.needs.retain(|id| id.as_str().starts_with("kubernetes:"));
            if let Body::Object(object) = &mut artifact.body {
                object.bindings.clear();
            }
        }
    }

    /// Removes the parameter with the address of the Service from the desired state.
    pub(crate) fn drop_notes(&mut self) {
        let id = ArtifactId::stack("aws", &format!("{}-testing-platform-notes", self.name));
        self.bundle.artifacts.retain(|artifact| artifact.id != id);
    }

    fn notes(&mut self, service: &ArtifactId) {
        let template = json!({
            "Parameters": {"Address": {"Type": "String"}},
            "Resources": {"Address": {"Type": "AWS::SSM::Parameter", "Properties": {
                "Name": format!("/{}/address", self.name), "Type": "String", "Value": {"Ref": "Address"}}}},
        });
        let source = Source {
            artifact: service.clone(),
            attribute: path(&["spec", "clusterIP"]),
            shown: "platform/web/service.address".into(),
        };
        let parameters = BTreeMap::from([("Address".into(), vec![Part::Late(source)])]);
        let stack = self.stack("notes", &template, parameters, BTreeSet::from([service.clone()]));
        self.put(stack);
    }

    fn lake_id(&self) -> ArtifactId {
        ArtifactId::stack("aws", &format!("{}-testing-platform-lake", self.name))
    }

    fn put(&mut self, artifact: Artifact) {
        self.bundle.artifacts.retain(|other| other.id != artifact.id);
        self.bundle.artifacts.push(artifact);
        self.bundle.artifacts.sort_by(|a, b| a.id.cmp(&b.id));
    }

    fn stack(
        &self,
        component: &str,
        template: &Json,
        parameters: BTreeMap<Text, Vec<Part>>,
        needs: BTreeSet<ArtifactId>,
    ) -> Artifact {
        let name = format!("{}-testing-platform-{component}", self.name);
        let resources = template["Resources"].as_object().expect("resources");
        let members = resources.iter().map(|(id, resource)| {
            let address = format!("platform/{component}/{}", id.to_lowercase());
            let member = Member {
                address: address.parse().expect("an address"),
                origin: origin("lake.yaml"),
                resource_type: resource["Type"].as_str().expect("a type").into(),
                holds_data: false,
            };
            (Text::from(id.as_str()), member)
        });
        Artifact {
            id: ArtifactId::stack("aws", &name),
            target: "aws".into(),
            needs,
            body: Body::Stack(CloudFormationStack {
                name: name.into(),
                component: component.into(),
                owner: Owner::Platform,
                origin: origin("lake.yaml"),
                members: members.collect(),
                template: Value::from_json(template),
                parameters,
                tags: BTreeMap::from([(LABEL.into(), self.bundle.label().into())]),
                termination_protection: false,
                partition: None,
                policy: None,
                assets: BTreeSet::new(),
            }),
        }
    }

    fn object(&self, api_version: &str, kind: &str, namespace: Option<&Artifact>, body: Json) -> Artifact {
        let name = if namespace.is_some() { "web" } else { self.name };
        let address = format!("platform/web/{}", kind.to_lowercase());
        let mut manifest = json!({"apiVersion": api_version, "kind": kind, "metadata": {
            "name": name,
            "labels": {LABEL: self.bundle.label()},
            "annotations": {ADDRESS: address},
        }});
        if namespace.is_some() {
            manifest["metadata"]["namespace"] = self.name.into();
        }
        for (key, value) in body.as_object().into_iter().flatten() {
            manifest[key] = value.clone();
        }
        let place = namespace.map(|_| self.name);
        Artifact {
            id: ArtifactId::object("kubernetes", api_version, kind, place, name),
            target: "kubernetes".into(),
            needs: namespace.iter().map(|namespace| namespace.id.clone()).collect(),
            body: Body::Object(Object {
                address: address.parse().expect("an address"),
                origin: origin("web.yaml"),
                api_version: api_version.into(),
                kind: kind.into(),
                namespace: place.map(Text::from),
                name: name.into(),
                manifest: Value::from_json(&manifest),
                bindings: Vec::new(),
                holds_data: false,
            }),
        }
    }

    pub(crate) fn access(&self) -> Access {
        let environment = self.account.environment();
        let endpoint = environment.iter().find(|(name, _)| *name == "AWS_ENDPOINT_URL");
        Access {
            folder: PathBuf::from("."),
            directory: terrace_deployer::StackDirectory::default(),
            connect: terrace_deployer::connect,
            kubeconfig: Some(servers::kubernetes().kubeconfig().to_owned()),
            aws: AwsAccess {
                endpoint: endpoint.map(|(_, url)| url.as_str().into()),
                profile: None,
                key: Some((self.account.id().into(), "secret".into())),
            },
            who: "ana@here".into(),
            run: format!("{:?}", SystemTime::now()).into(),
            version: "0.1.0".into(),
            now: SystemTime::now,
        }
    }

    pub(crate) async fn plan(&self) -> Plan {
        self.try_plan().await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn try_plan(&self) -> Result<Plan, Error> {
        plan(&self.bundle, &self.access(), &PlanOptions::everything()).await
    }

    pub(crate) async fn apply_with(&self, plan: &Plan, access: &Access) -> Result<Report, Error> {
        self.run(plan, access, &|_| {}).await
    }

    pub(crate) async fn try_apply(&self, plan: &Plan) -> Result<Report, Error> {
        self.apply_with(plan, &self.access()).await
    }

    /// Applies, and returns all events.
    pub(crate) async fn apply(&self, plan: &Plan) -> Vec<Event> {
        self.apply_and_watch(plan, &|_| {}).await
    }

    /// Applies, calls `watch` for each event, and returns all events.
    pub(crate) async fn apply_and_watch(
        &self,
        plan: &Plan,
        watch: &(dyn Fn(&Event) + Send + Sync),
    ) -> Vec<Event> {
        let events = Mutex::new(Vec::new());
        let record = |event: Event| {
            watch(&event);
            events.lock().expect("no panic").push(event);
        };
        if let Err(error) = self.run(plan, &self.access(), &record).await {
            panic!("{error}");
        }
        events.into_inner().expect("no panic")
    }

    async fn run(
        &self,
        plan: &Plan,
        access: &Access,
        events: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<Report, Error> {
        let options = ApplyOptions {
            // These tests check order and values, so they approve every data loss.
            approved: plan.approvals().into_iter().cloned().collect(),
            timeout: Some(self.timeout),
            cancel: Cancel::channel().1,
        };
        apply(plan, access, &options, events).await
    }

    pub(crate) async fn history(&self) -> History {
        history(&self.bundle, &self.access()).await.expect("a ledger")
    }

    /// Destroys everything. Checks that dependents are deleted first, and that nothing remains.
    pub(crate) async fn destroy(&self) {
        let everything = PlanOptions::everything();
        let plan = destroy_plan(&self.bundle, &self.access(), &everything).await;
        let plan = plan.unwrap_or_else(|error| panic!("{error}"));
        self.fits_the_schema(&plan);
        let events = self.apply(&plan).await;
        let done = |kind: &str| {
            events
                .iter()
                .position(|event| matches!(event, Event::Done { step, .. } if &*step.subject.kind == kind))
        };
        assert!(done("ServiceAccount") < done("Namespace"), "{events:?}");
        let again = destroy_plan(&self.bundle, &self.access(), &everything).await;
        assert!(again.expect("a plan").is_empty());
        assert_eq!(
            self.kubectl(&format!("get namespace {} --ignore-not-found", self.name)),
            ""
        );
    }

    pub(crate) fn kubectl(&self, line: &str) -> String {
        let arguments: Vec<&str> = line.split(' ').collect();
        servers::kubernetes().kubectl(&arguments)
    }

    /// Returns the ARN of the role in the annotation of the live ServiceAccount.
    pub(crate) fn annotation(&self) -> String {
        let name = self.name;
        self.kubectl(&format!(
            "get serviceaccount web --namespace {name} --output=jsonpath={{.metadata.annotations.role}}"
        ))
    }

    /// Returns the plan as a user reads it, without the values that differ from run to run.
    pub(crate) fn shown(&self, plan: &Plan) -> String {
        let cluster = &plan.targets["kubernetes"].shown;
        let server = cluster.rsplit(' ').next().expect("a server");
        render(plan, false)
            .replace(self.account.id(), "ACCOUNT")
            .replace(self.account.region(), "REGION")
            .replace(server, "SERVER")
    }

    #[track_caller]
    pub(crate) fn fits_the_schema(&self, plan: &Plan) {
        let schema: Json = serde_json::from_str(terrace_deployer::PLAN_SCHEMA).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let json = serde_json::to_value(plan).expect("JSON");
        let errors: Vec<String> = validator
            .iter_errors(&json)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let back: Plan = serde_json::from_value(json).expect("a plan");
        assert_eq!(&back, plan);
    }
}

fn annotate(artifact: &mut Artifact, role: &str) {
    if let Body::Object(object) = &mut artifact.body {
        let mut json = object.manifest.to_json();
        json["metadata"]["annotations"]["role"] = role.into();
        object.manifest = Value::from_json(&json);
    }
}

fn bind(artifact: &mut Artifact, to: &[&str], from: &ArtifactId, attribute: &[&str], shown: &str) {
    artifact.needs.insert(from.clone());
    if let Body::Object(object) = &mut artifact.body {
        object.bindings.push(Binding {
            path: path(to),
            parts: vec![Part::Late(Source {
                artifact: from.clone(),
                attribute: path(attribute),
                shown: shown.into(),
            })],
        });
    }
}

fn path(keys: &[&str]) -> Vec<Segment> {
    keys.iter().map(|key| Segment::Key((*key).into())).collect()
}

fn origin(file: &str) -> Origin {
    let at = |line| Location {
        file: file.into(),
        line,
        column: 3,
    };
    Origin {
        component: at(1),
        resource: at(7),
    }
}
