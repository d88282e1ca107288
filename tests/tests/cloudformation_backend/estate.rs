//! An account with a few CloudFormation stacks, described in the form of the compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Value as Json, json};
use terrace_artifact::{
    Address, Artifact, ArtifactId, Body, Bundle, Class, CloudFormationStack, Environment, Location, Member,
    Origin, Owner, Part, Segment, Source, Target, Text, Value,
};
use terrace_catalog::{DataClass, data_of_type};
use terrace_deployer::{
    Access, ApplyOptions, AwsAccess, Cancel, Change, Error, Event, MemberChange, Plan, PlanOptions, Report,
    apply, bootstrap, destroy_plan, plan,
};
use terrace_tests::plans::{write_fields, write_losses_and_notes};
use terrace_tests::servers::{Account, Fault, aws};

/// An account and its desired stacks.
pub(crate) struct Estate {
    pub(crate) account: Account<'static>,
    pub(crate) access: Access,
    pub(crate) bundle: Bundle,
    pub(crate) approved: BTreeSet<Address>,
    pub(crate) timeout: Duration,
}

impl Estate {
    /// Returns a bootstrapped account without desired stacks.
    pub(crate) async fn new() -> Estate {
        let estate = Estate::without_bucket();
        bootstrap(&estate.bundle, &estate.access)
            .await
            .expect("the bootstrap must succeed");
        estate
    }

    /// Returns an account without a bootstrap bucket.
    pub(crate) fn without_bucket() -> Estate {
        let account = aws().account();
        let endpoint = account
            .environment()
            .into_iter()
            .find(|(name, _)| *name == "AWS_ENDPOINT_URL");
        let endpoint = endpoint.expect("an endpoint").1;
        let target = Target::Aws {
            account: account.id().into(),
            region: account.region().into(),
            profile: None,
        };
        Estate {
            access: access(&endpoint, account.id()),
            bundle: Bundle {
                platform: "acme".into(),
                environment: Environment {
                    name: "dev".into(),
                    class: Class::Development,
                    places: BTreeMap::new(),
                },
                targets: BTreeMap::from([("aws".into(), target)]),
                artifacts: Vec::new(),
                assets: BTreeMap::new(),
                set: Vec::new(),
            },
            account,
            approved: BTreeSet::new(),
            timeout: Duration::from_secs(60),
        }
    }

    /// Declares the stack of a component with these resources and outputs, in the form of a template.
    pub(crate) fn want(
        &mut self,
        component: &str,
        resources: Json,
        outputs: Json,
    ) -> &mut CloudFormationStack {
        let stack = self.stack(component, resources, outputs);
        let artifact = Artifact {
            id: id(component),
            target: "aws".into(),
            needs: BTreeSet::new(),
            body: Body::Stack(stack),
        };
        self.drop_component(component);
        self.bundle.artifacts.push(artifact);
        self.bundle.artifacts.sort_by(|a, b| a.id.cmp(&b.id));
        self.wanted(component)
    }

    /// Returns the desired stack of a component for changes.
    pub(crate) fn wanted(&mut self, component: &str) -> &mut CloudFormationStack {
        match &mut self.artifact(component).body {
            Body::Stack(stack) => stack,
            Body::Object(_) => panic!("an object"),
        }
    }

    /// Removes a component from the desired state.
    pub(crate) fn drop_component(&mut self, component: &str) {
        self.bundle
            .artifacts
            .retain(|artifact| artifact.id != id(component));
    }

    /// Binds a parameter of the stack of one component to an output of the stack of another.
    pub(crate) fn bind(&mut self, component: &str, parameter: &str, from: &str, output: &str) {
        let source = Source {
            artifact: id(from),
            attribute: vec![Segment::Key(output.into())],
            shown: format!("platform/{from}/{}", output.to_lowercase()).into(),
        };
        let artifact = self.artifact(component);
        artifact.needs.insert(id(from));
        let needs: Vec<Json> = artifact.needs.iter().map(|id| id.as_str().into()).collect();
        let stack = self.wanted(component);
        stack
            .parameters
            .insert(parameter.into(), vec![Part::Late(source)]);
        let mut template = stack.template.to_json();
        template["Parameters"][parameter] = json!({"Type": "String"});
        template["Metadata"] = json!({"terrace": {"needs": needs}});
        stack.template = Value::from_json(&template);
    }

    fn artifact(&mut self, component: &str) -> &mut Artifact {
        let found = self
            .bundle
            .artifacts
            .iter_mut()
            .find(|artifact| artifact.id == id(component));
        found.expect("a declared component")
    }

    fn stack(&self, component: &str, mut resources: Json, outputs: Json) -> CloudFormationStack {
        let mut members = BTreeMap::new();
        let map = resources.as_object_mut().expect("a map of resources");
        for (line, (logical_id, resource)) in map.iter_mut().enumerate() {
            let address = address(component, logical_id);
            let holds_data = resource["Metadata"]["holds"] == true;
            let fields = resource.as_object_mut().expect("a resource");
            fields.remove("Metadata");
            // The compiler marks resources with data, and resources whose module declares that they hold none although their type does.
            let by_type = data_of_type(fields["Type"].as_str().unwrap_or_default()).class == DataClass::Data;
            if holds_data || by_type {
                let marks = json!({"terrace": {"address": address.to_string(), "holds-data": holds_data}});
                fields.insert("Metadata".to_owned(), marks);
            }
            members.insert(
                logical_id.as_str().into(),
                Member {
                    address,
                    origin: origin(u32::try_from(line + 10).unwrap_or_default()),
                    resource_type: resource["Type"].as_str().expect("a type").into(),
                    holds_data,
                },
            );
        }
        let mut template = json!({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources});
        if outputs.as_object().is_some_and(|outputs| !outputs.is_empty()) {
            template["Outputs"] = outputs;
        }
        CloudFormationStack {
            name: name(component).into(),
            component: component.into(),
            owner: Owner::Platform,
            origin: origin(3),
            template: Value::from_json(&template),
            parameters: BTreeMap::new(),
            tags: BTreeMap::from([("terrace:component".into(), component.into())]),
            members,
            termination_protection: false,
            partition: None,
            policy: None,
            assets: BTreeSet::new(),
        }
    }

    pub(crate) fn approve(&mut self, component: &str, logical_id: &str) {
        self.approved.insert(address(component, logical_id));
    }

    pub(crate) async fn try_plan(&self) -> Result<Plan, Error> {
        plan(&self.bundle, &self.access, &PlanOptions::everything()).await
    }

    pub(crate) async fn plan(&self) -> Plan {
        self.try_plan()
            .await
            .unwrap_or_else(|error| panic!("the plan failed: {error}"))
    }

    pub(crate) async fn try_destroy_plan(&self) -> Result<Plan, Error> {
        destroy_plan(&self.bundle, &self.access, &PlanOptions::everything()).await
    }

    pub(crate) async fn destroy_plan(&self) -> Plan {
        self.try_destroy_plan()
            .await
            .unwrap_or_else(|error| panic!("the plan failed: {error}"))
    }

    /// Returns the plan as a user reads it, without the id of this account.
    pub(crate) async fn shown(&self) -> String {
        self.neutral(&shown(&self.plan().await))
    }

    /// Replaces the id of this account, which differs from run to run.
    pub(crate) fn neutral(&self, text: &str) -> String {
        text.replace(self.account.id(), "ACCOUNT")
    }

    pub(crate) async fn try_apply(&self, plan: &Plan) -> Result<Report, Error> {
        self.apply_with(plan, &self.access, &|_| {}).await
    }

    pub(crate) async fn apply_with(
        &self,
        plan: &Plan,
        access: &Access,
        events: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<Report, Error> {
        let (_never, cancel) = Cancel::channel();
        let options = ApplyOptions {
            approved: self.approved.clone(),
            timeout: Some(self.timeout),
            cancel,
        };
        apply(plan, access, &options, events).await
    }

    /// Plans and applies. Checks that a second plan is empty.
    pub(crate) async fn apply(&self) -> Report {
        let plan = self.plan().await;
        let report = self
            .try_apply(&plan)
            .await
            .unwrap_or_else(|error| panic!("the apply failed: {error}"));
        let again = self.plan().await;
        assert!(again.is_empty(), "a second plan is not empty:\n{}", shown(&again));
        report
    }

    /// Returns the error of an apply that must fail.
    pub(crate) async fn apply_fails(&self) -> String {
        let plan = self.plan().await;
        match self.try_apply(&plan).await {
            Ok(_) => panic!("the apply succeeded"),
            Err(error) => self.neutral(&error.to_string()),
        }
    }

    /// Returns the description of the stack of a component, as `DescribeStacks` returns it.
    pub(crate) fn described(&self, component: &str) -> Option<Json> {
        let request = json!({"StackName": name(component)});
        let response = self
            .account
            .try_call("cloudformation", "describe_stacks", request)
            .ok()?;
        response["Stacks"].get(0).cloned()
    }

    pub(crate) fn status(&self, component: &str) -> String {
        match self.described(component) {
            Some(stack) => stack["StackStatus"].as_str().unwrap_or_default().to_owned(),
            None => "absent".to_owned(),
        }
    }

    pub(crate) fn output(&self, component: &str, output: &str) -> String {
        let stack = self.described(component).expect("a stack");
        let outputs = stack["Outputs"].as_array().cloned().unwrap_or_default();
        let found = outputs
            .iter()
            .find(|it| it["OutputKey"] == output)
            .expect("an output");
        found["OutputValue"].as_str().unwrap_or_default().to_owned()
    }
}

/// Formats a plan with a line for each changed step, member and field.
pub(crate) fn shown(plan: &Plan) -> String {
    let mut out = String::new();
    for step in plan.changes() {
        let Change {
            action, reason, risk, ..
        } = &step.change;
        let _ = writeln!(out, "{action:?} {} ({risk:?}): {reason}", step.subject.name);
        write_fields(&step.change.fields, "  ", &mut out);
        for member in &step.change.members {
            let address = member
                .address
                .as_ref()
                .map_or("?".to_owned(), ToString::to_string);
            let MemberChange {
                action, reason, risk, ..
            } = member;
            let _ = writeln!(out, "  {action:?} {address} ({risk:?}): {reason}");
            write_fields(&member.fields, "    ", &mut out);
        }
        write_losses_and_notes(&step.change, &mut out);
    }
    if out.is_empty() {
        "no changes\n".to_owned()
    } else {
        out
    }
}

/// Returns the access of a user whose access key is `key`, the id of an account.
pub(crate) fn access(endpoint: &str, key: &str) -> Access {
    Access {
        folder: PathBuf::from("."),
        directory: terrace_deployer::StackDirectory::default(),
        connect: terrace_deployer::connect,
        kubeconfig: None,
        aws: AwsAccess {
            endpoint: Some(endpoint.into()),
            profile: None,
            key: Some((key.into(), "test".into())),
        },
        who: "ana@laptop".into(),
        run: "1".into(),
        version: "0.1.0".into(),
        now: SystemTime::now,
    }
}

pub(crate) fn name(component: &str) -> String {
    format!("acme-dev-platform-{component}")
}

pub(crate) fn id(component: &str) -> ArtifactId {
    ArtifactId::stack("aws", &name(component))
}

pub(crate) fn address(component: &str, logical_id: &str) -> Address {
    format!("platform/{component}/{}", logical_id.to_lowercase())
        .parse()
        .expect("an address")
}

fn origin(line: u32) -> Origin {
    let at = |file: &str, line| Location {
        file: Text::from(file),
        line,
        column: 1,
    };
    Origin {
        component: at("components.yaml", 3),
        resource: at("module:lake/module.yaml", line),
    }
}

/// Marks a resource as one whose component declares that it holds data.
pub(crate) fn held(mut resource: Json) -> Json {
    resource["Metadata"] = json!({"holds": true});
    resource
}

/// Returns a queue with this visibility timeout.
pub(crate) fn queue(seconds: u32) -> Json {
    json!({"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": seconds}})
}

/// Returns a fault that makes the endpoint fail one operation on a resource, once.
pub(crate) fn fault<'a>(operation: &'a str, logical_id: &'a str, reason: &'a str) -> Fault<'a> {
    Fault {
        operation,
        logical_id,
        reason,
        times: 1,
        ..Fault::default()
    }
}
