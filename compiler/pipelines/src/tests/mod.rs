//! Tests of pipelines and of state machines that are written by hand, next to a few resources and without the other phases.

mod by_hand;
mod definitions;
mod edges;
mod lowering;
mod mistakes;
mod services;

use std::collections::BTreeMap;

use terrace_artifact::{Address, Class, Owner, Text};
use terrace_language::document::{Component, ComponentSource, Document, Tenants};
use terrace_language::expression::{Scope, Variables, template};
use terrace_language::resource::{Destination, Instance, Resource, ResourceKind};
use terrace_language::validate::DocumentKind;
use terrace_language::value::term::{Reference, Term};
use terrace_syntax::diagnostic::{Diagnostics, Label};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::{Files, Span};

use super::targets::{Context, Found, Runs, Targets};

/// The environment of a case: the resources of its components, and its files.
struct World {
    instances: Vec<Instance>,
    resources: Vec<Resource>,
    scripts: Vec<(&'static str, &'static str)>,
    pipelines: BTreeMap<usize, Runs>,
}

impl Targets for World {
    fn find(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<Found<'_>> {
        let found = self.look(name);
        if found.is_none() {
            let code = terrace_syntax::code::Code::UnknownReference;
            diagnostics.push(
                terrace_syntax::diagnostic::Diagnostic::new(
                    code,
                    format!("no component or resource is named `{name}`"),
                )
                .at(span, ""),
            );
        }
        found
    }

    fn look(&self, name: &str) -> Option<Found<'_>> {
        let at = self
            .instances
            .iter()
            .position(|instance| instance.component == name)?;
        Some(Found {
            instance: &self.instances[at],
            index: at,
            runs: self.pipelines.get(&at).cloned(),
            resources: self
                .resources
                .iter()
                .filter(|resource| resource.instance == at)
                .collect(),
        })
    }

    fn lead(&self, reference: &Reference) -> Option<&Resource> {
        if let Ok(address) = reference.name.parse::<Address>() {
            return self.resources.iter().find(|resource| resource.address == address);
        }
        // The outputs of a module name its buckets: `raw_bucket`, or a map by zone.
        let attribute = reference.path.first().map(Text::as_str).unwrap_or_default();
        let is_meant = |resource: &&&Resource| match (&reference.key, &resource.address.key) {
            (Some(wanted), Some(key)) => wanted == key,
            (None, Some(key)) => attribute.starts_with(key.as_str()) || reference.path.contains(key),
            _ => true,
        };
        self.look(&reference.name)?
            .resources
            .iter()
            .find(is_meant)
            .copied()
    }

    fn home(&self, _: usize) -> Option<&Destination> {
        None
    }

    fn module_of(&self, resource: &Resource) -> Option<&str> {
        self.instances[resource.instance].module.as_deref()
    }

    fn follow(&self, from: &Resource, reference: &Reference) -> Option<&Resource> {
        if let Ok(address) = reference.name.parse::<Address>() {
            return self.resources.iter().find(|resource| resource.address == address);
        }
        let own = self.resources.iter().find(|resource| {
            resource.instance == from.instance
                && resource.address.resource == reference.name
                && (reference.key.is_none() || resource.address.key == reference.key)
        });
        own.or_else(|| self.look(&reference.name)?.resources.first().copied())
    }

    fn writable<'s>(&'s self, _: &Resource) -> Vec<(&'s Resource, Text)> {
        Vec::new()
    }

    fn resources(&self) -> &[Resource] {
        &self.resources
    }

    fn text(&self, path: &str) -> Option<String> {
        self.scripts
            .iter()
            .find(|(name, _)| *name == path)
            .map(|(_, text)| (*text).to_owned())
    }
}

fn instance(owner: Owner, name: &str, declared: Span) -> Instance {
    Instance {
        name: format!("acme-production-{owner}-{}", name.replace('_', "-")).into(),
        owner,
        component: name.into(),
        identity: name.into(),
        module: None,
        namespace: "data".into(),
        cluster: None,
        account: Some("default".into()),
        declared,
        outputs: Vec::new(),
        divided: 0,
        requires: Vec::new(),
    }
}

fn term(node: &Node, scope: &Scope<'_>, files: &Files) -> Term {
    match &node.kind {
        NodeKind::Map(entries) => Term::Map(
            entries
                .iter()
                .map(|(key, node)| (key.clone(), term(node, scope, files)))
                .collect(),
        ),
        NodeKind::List(items) => Term::List(items.iter().map(|item| term(item, scope, files)).collect()),
        NodeKind::String(_) => {
            let template = template(node, files, &mut Diagnostics::new());
            template
                .evaluate(scope)
                .unwrap_or_else(|failure| panic!("{}", failure.message))
        }
        _ => Term::from_value(node.to_value()),
    }
}

fn add(world: &mut World, component: &Component, files: &Files) {
    let owner = match &component.tenants {
        Tenants::Named(names) => Owner::Tenant(names[0].value.clone()),
        _ => Owner::Platform,
    };
    let at = world.instances.len();
    let name = component.name.value.clone();
    world
        .instances
        .push(instance(owner.clone(), &name, component.name.span));
    let ComponentSource::Own(body) = &component.recipe else {
        panic!("a component of a case has resources")
    };
    for (key, node) in &body.resources {
        let keys: Vec<Option<Text>> = match node.get("for_each") {
            Some(keys) => keys
                .items()
                .iter()
                .map(|key| Some(key.as_str().unwrap().into()))
                .collect(),
            None => vec![None],
        };
        for each in keys {
            let value = Term::map([("key", each.as_ref().map_or(Term::Null, Term::from))]);
            let variables = Variables {
                name: "each",
                value: &value,
                outer: None,
            };
            let scope = Scope {
                names: &[],
                variables: Some(&variables),
                local: true,
            };
            let attributes = node
                .get("metadata")
                .map(|node| ("Metadata".into(), term(node, &scope, files)));
            world.resources.push(Resource {
                address: Address {
                    owner: owner.clone(),
                    component: name.clone(),
                    resource: key.value.clone(),
                    key: each.clone(),
                },
                kind: ResourceKind::CloudFormation(node.get("type").unwrap().as_str().unwrap().into()),
                body: node
                    .get("properties")
                    .map_or(Term::Map(Vec::new().into()), |node| term(node, &scope, files)),
                depends_on: Vec::new(),
                attributes: attributes.into_iter().collect(),
                holds_data: false,
                granted_only: false,
                part: 0,
                declared: key.span,
                instance: at,
            });
        }
    }
}

/// The result of a case: the resources of its pipelines, and the diagnostics.
struct Outcome {
    resources: Vec<Resource>,
    diagnostics: String,
}

/// Compiles the documents of a case, and checks the state machines, rules and schedules in its components.
fn compile(yaml: &str, scripts: &[(&'static str, &'static str)]) -> Outcome {
    let mut files = Files::default();
    let mut diagnostics = Diagnostics::new();
    let nodes = terrace_syntax::yaml::read("case.yaml", yaml.as_bytes(), &mut files, &mut diagnostics);
    let mut world = World {
        instances: Vec::new(),
        resources: Vec::new(),
        scripts: scripts.to_vec(),
        pipelines: BTreeMap::new(),
    };
    let mut pipelines = Vec::new();
    for node in nodes {
        match node.get("kind").and_then(Node::as_str) {
            Some("Component") => {
                let Document::Component(component) = Document::decode(DocumentKind::Component, node) else {
                    unreachable!()
                };
                add(&mut world, &component, &files);
            }
            _ => {
                let Document::Pipeline(pipeline) = Document::decode(DocumentKind::Pipeline, node) else {
                    unreachable!()
                };
                let tenant = pipeline.tenant.as_ref();
                let owner = tenant.map_or(Owner::Platform, |tenant| Owner::Tenant(tenant.value.clone()));
                let at = world.instances.len();
                world.pipelines.insert(at, Runs::of_pipeline(&pipeline));
                world
                    .instances
                    .push(instance(owner, &pipeline.name.value, pipeline.name.span));
                pipelines.push(pipeline);
            }
        }
    }
    let place = Destination {
        class: Class::Production,
        account: Some("111122223333".into()),
        region: Some("eu-west-1".into()),
        triggers: true,
    };
    let names: Vec<(Text, Term)> = vec![
        ("environment".into(), Term::map([("name", "production")])),
        ("tenant".into(), Term::map([("name", "finance")])),
    ];
    let mut made = Vec::new();
    for (pipeline, at) in pipelines.iter().zip(world.pipelines.keys()) {
        let context = Context {
            instance: &world.instances[*at],
            index: *at,
            place: &place,
            targets: &world,
        };
        let scope = Scope {
            names: &names,
            variables: None,
            local: false,
        };
        made.extend(super::lower(pipeline, &context, &scope, &files, &mut diagnostics));
    }
    for resource in &world.resources {
        super::check(resource, &world, &mut diagnostics);
    }
    let mut out = String::new();
    for diagnostic in diagnostics.into_sorted() {
        out.push_str(&format!("{}: {}\n", diagnostic.code.slug(), diagnostic.message));
        let mut label = |mark: &str, label: &Label| {
            let line = files.location(label.span).line;
            let text = files.text(label.span).lines().next().unwrap_or_default();
            out.push_str(&format!("  {mark} {line}: `{text}` {}\n", label.text));
        };
        diagnostic.primary.iter().for_each(|l| label("-->", l));
        diagnostic.related.iter().for_each(|l| label("...", l));
        for note in &diagnostic.notes {
            out.push_str(&format!("  note: {note}\n"));
        }
        for help in &diagnostic.help {
            out.push_str(&format!("  help: {}\n", help.text));
        }
    }
    Outcome {
        resources: made,
        diagnostics: out,
    }
}

/// Returns the body of one resource, with references as expressions.
fn body(outcome: &Outcome, resource: &str) -> String {
    let found = outcome.resources.iter().find(|r| r.address.resource == resource);
    let found = found.unwrap_or_else(|| panic!("no `{resource}`; diagnostics:\n{}", outcome.diagnostics));
    terrace_artifact::to_json_pretty(&found.body.clone().into_value())
}

/// Returns the definition of the state machine.
fn definition(outcome: &Outcome) -> Term {
    let machine = outcome
        .resources
        .iter()
        .find(|r| r.address.resource == "state_machine");
    let machine =
        machine.unwrap_or_else(|| panic!("no state machine; diagnostics:\n{}", outcome.diagnostics));
    machine.body.get("Definition").cloned().unwrap_or_default()
}

/// The components that the cases call.
const PLATFORM: &str = r#"
kind: Component
name: validate-input
tenants: [finance]
resources:
  function: {type: AWS::Lambda::Function, properties: {Runtime: python3.13}}
---
kind: Component
name: profiler
tenants: [finance]
resources:
  function: {type: AWS::Lambda::Function, properties: {Runtime: python3.13}}
---
kind: Component
name: report
tenants: [finance]
resources:
  function: {type: AWS::Lambda::Function, properties: {Runtime: python3.13}}
---
kind: Component
name: sales-quality
tenants: [finance]
resources:
  job:
    type: AWS::Glue::Job
    properties: {Timeout: 2880, Command: {Name: glueetl, ScriptLocation: "{{ asset('quality.py') }}"}}
---
kind: Component
name: sales-etl
tenants: [finance]
resources:
  job:
    type: AWS::Glue::Job
    properties: {Timeout: 60, Command: {Name: glueetl}, DefaultArguments: {--job-language: python}}
---
kind: Component
name: operations
resources:
  key: {type: AWS::KMS::Key, properties: {}}
  topic: {type: AWS::SNS::Topic, properties: {KmsMasterKeyId: "{{ ref('key').arn }}"}}
---
kind: Component
name: lake
tenants: [finance]
resources:
  bucket:
    type: AWS::S3::Bucket
    for_each: [raw, processed]
    properties: {NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}}
---
kind: Component
name: work
tenants: [finance]
resources:
  queue: {type: AWS::SQS::Queue, properties: {FifoQueue: true, ContentBasedDeduplication: true}}
  application: {type: AWS::EMRServerless::Application, properties: {}}
  spark: {type: AWS::IAM::Role, properties: {}}
  results: {type: AWS::S3::Bucket, properties: {}}
  queries:
    type: AWS::Athena::WorkGroup
    properties:
      WorkGroupConfiguration: {ResultConfiguration: {OutputLocation: "s3://{{ ref('results').name }}/athena/"}}
---
"#;
