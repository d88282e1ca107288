//! The triggers of a pipeline: rules and schedules, with their role and the queue of undelivered events.

mod delivery;
pub(crate) mod event;
mod input;
pub(crate) mod schedule;
pub(crate) mod started;

use terrace_artifact::{Text, to_json_compact};
use terrace_language::aws::arn::arn;
use terrace_language::resource::Resource;
use terrace_language::value::term::{Reference, Term};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Span;

use super::definition::Shape;
use super::lower::Lowering;
use super::targets::{Context, Targets, own, resource_of};
use crate::runtime::names::TAKEN;
pub use crate::triggers::delivery::UNDELIVERED;
use crate::triggers::delivery::{Delivery, RULE_ROLE, SCHEDULE_ROLE, delivery};
use crate::triggers::input::{Input, write};

/// A trigger of a pipeline.
pub(super) struct Trigger<'n> {
    /// The prefix of the keys of its resources.
    pub(super) name: Text,
    pub(super) span: Span,
    /// The shape of the input of the pipeline.
    pub(super) shape: Shape,
    kind: TriggerKind<'n>,
    input: Option<&'n Node>,
    enabled: bool,
}

#[derive(Clone, Copy)]
enum TriggerKind<'n> {
    Schedule {
        expression: &'n Node,
        timezone: Option<&'n Node>,
    },
    ObjectCreated(&'n Node),
    Event(&'n Node),
}

/// Reads the triggers of a pipeline.
pub(super) fn read<'n>(pipeline: &'n Node, diagnostics: &mut Diagnostics) -> Vec<Trigger<'n>> {
    let mut triggers: Vec<Trigger<'n>> = Vec::new();
    for node in pipeline.get("triggers").map(Node::items).unwrap_or_default() {
        let (word, kind, at) = if let Some(expression) = node.get("schedule") {
            let timezone = node.get("timezone").filter(|zone| zone.as_str() != Some("UTC"));
            (
                "schedule",
                TriggerKind::Schedule { expression, timezone },
                expression,
            )
        } else if let Some(objects) = node.get("object_created") {
            ("object_created", TriggerKind::ObjectCreated(objects), objects)
        } else if let Some(event) = node.get("event") {
            ("event", TriggerKind::Event(event), event)
        } else {
            continue;
        };
        let name: Text = node
            .get("name")
            .and_then(Node::as_str)
            .unwrap_or(word)
            .replace('-', "_")
            .into();
        if let Some(first) = triggers.iter().find(|trigger| trigger.name == name) {
            let problem = Diagnostic::new(Code::DuplicateName, format!("duplicate trigger `{name}`"))
                .repeats(at.key, first.span);
            diagnostics.push(match node.get("name") {
                Some(_) => problem,
                None => problem.help("add a name, such as `name: nightly`"),
            });
            continue;
        }
        let input = node.get("input").filter(|input| !input.is_null());
        for (key, value) in input.map(Node::entries).unwrap_or_default() {
            if TAKEN.contains(&key.as_str()) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::InvalidValue,
                        format!("`{key}` is not a valid name of an input"),
                    )
                    .at(value.key, "reserved for the pipeline"),
                );
            }
        }
        let shape = match (input, kind) {
            (Some(input), _) => shape_of(input),
            (None, TriggerKind::Schedule { .. }) => Shape::closed([]),
            (None, TriggerKind::ObjectCreated(_)) => Shape::closed([
                ("inputPath".into(), Shape::Unknown),
                ("bucketName".into(), Shape::Unknown),
            ]),
            (None, TriggerKind::Event(_)) => started::event(),
        };
        triggers.push(Trigger {
            name,
            span: at.key,
            shape,
            kind,
            input,
            enabled: node.get("enabled").and_then(Node::as_bool) != Some(false),
        });
    }
    triggers
}

fn shape_of(node: &Node) -> Shape {
    match &node.kind {
        NodeKind::Map(entries) => {
            Shape::closed(entries.iter().map(|(key, node)| (key.clone(), shape_of(node))))
        }
        _ => Shape::Unknown,
    }
}

/// Lowers all triggers to resources. `key` encrypts the state machine, `topic` gets notifications of failures, and `make` builds a resource of the pipeline.
pub(super) fn lower(
    triggers: &[Trigger<'_>],
    key: Option<&Term>,
    topic: Option<Term>,
    lowering: &mut Lowering<'_, '_>,
    make: &impl Fn(&str, &str, Term) -> Resource,
) -> Vec<Resource> {
    let span = lowering.context.instance.declared;
    let mut resources = Vec::new();
    let (mut rules, mut has_schedules) = (Vec::new(), false);
    for trigger in triggers {
        let key = format!("{}_trigger", trigger.name);
        let enabled = trigger.enabled && lowering.context.place.triggers;
        let state = if enabled { "ENABLED" } else { "DISABLED" };
        let by_schedule = matches!(trigger.kind, TriggerKind::Schedule { expression, timezone } if {
            timezone.is_some() || expression.as_str().is_some_and(|text| text.starts_with("at("))
        });
        let mut input = input_of(trigger, lowering, by_schedule);
        let Some(mut body) = source_of(trigger.kind, lowering) else {
            continue;
        };
        if by_schedule {
            has_schedules = true;
            let mut target: Vec<(Text, Term)> = vec![
                ("Arn".into(), own("state_machine", "arn", span)),
                ("RoleArn".into(), own(SCHEDULE_ROLE, "arn", span)),
            ];
            target.extend(input.take_static().map(|input| ("Input".into(), input)));
            target.extend(delivery(span));
            body.extend([
                ("State".into(), state.into()),
                ("FlexibleTimeWindow".into(), Term::map([("Mode", "OFF")])),
                ("Target".into(), Term::Map(target.into())),
            ]);
            resources.push(make(&key, "AWS::Scheduler::Schedule", Term::Map(body.into())));
            continue;
        }
        let mut target: Vec<(Text, Term)> = vec![
            ("Id".into(), "pipeline".into()),
            ("Arn".into(), own("state_machine", "arn", span)),
            ("RoleArn".into(), own(RULE_ROLE, "arn", span)),
        ];
        target.extend(input.finish());
        target.extend(delivery(span));
        body.push(("State".into(), state.into()));
        body.push(("Targets".into(), Term::List(vec![Term::Map(target.into())])));
        let mut rule = make(&key, "AWS::Events::Rule", Term::Map(body.into()));
        rule.declared = trigger.span;
        rules.push(key);
        if let TriggerKind::Event(event) = trigger.kind {
            let dead = event::dead_buckets(&rule, lowering.context.targets);
            lowering.diagnostics.extend(
                dead.into_iter()
                    .map(|problem| problem.also(event.key, "this trigger waits for its events")),
            );
        }
        resources.push(rule);
    }
    if !resources.is_empty() {
        let delivery = Delivery {
            pipeline: &lowering.context.instance.name,
            key,
            rules: &rules,
            has_schedules,
            span,
        };
        resources.extend(delivery.resources(topic, make));
    }
    resources
}

/// Returns the fields of a rule or schedule that determine when it fires. Reports a trigger without such fields.
fn source_of(kind: TriggerKind<'_>, lowering: &mut Lowering<'_, '_>) -> Option<Vec<(Text, Term)>> {
    let mut fields: Vec<(Text, Term)> = Vec::new();
    match kind {
        TriggerKind::Schedule { expression, timezone } => {
            let text = expression.as_str().unwrap_or_default();
            if let Err(wrong) = schedule::check(text) {
                lowering.diagnostics.push(
                    Diagnostic::new(Code::InvalidSchedule, wrong.what)
                        .at(expression.span, "EventBridge rejects this schedule")
                        .help(wrong.help),
                );
            }
            fields.push(("ScheduleExpression".into(), text.into()));
            // Only a schedule has a time zone, not a rule.
            if let Some(zone) = timezone.and_then(Node::as_str) {
                fields.push(("ScheduleExpressionTimezone".into(), zone.into()));
            }
        }
        TriggerKind::ObjectCreated(objects) => {
            fields.push(("EventPattern".into(), objects_pattern(objects, lowering)?));
        }
        TriggerKind::Event(event) => {
            if let Some(bus) = event.get("bus") {
                let resource = resource_of(
                    lowering.context,
                    bus.as_str().unwrap_or_default(),
                    bus.span,
                    "AWS::Events::EventBus",
                    lowering.diagnostics,
                )?;
                lowering.beside(resource.instance, bus)?;
                fields.push(("EventBusName".into(), resource.attribute("name", bus.span)));
            }
            fields.push(("EventPattern".into(), event_pattern(event, lowering)?));
        }
    }
    Some(fields)
}

fn input_of(trigger: &Trigger<'_>, lowering: &mut Lowering<'_, '_>, by_schedule: bool) -> Input {
    match (trigger.input, trigger.kind) {
        (Some(node), _) => {
            let has_event = !by_schedule;
            write(
                node,
                has_event,
                &lowering.scope,
                lowering.files,
                lowering.diagnostics,
            )
        }
        (None, TriggerKind::Schedule { .. }) => Input::fixed(Term::from("{}")),
        (None, TriggerKind::ObjectCreated(_)) => Input::of_paths(&[
            ("inputPath", "$.detail.object.key"),
            ("bucketName", "$.detail.bucket.name"),
        ]),
        (None, TriggerKind::Event(_)) => Input::default(),
    }
}

/// Returns the pattern of new objects in a bucket, and checks that the bucket sends events.
fn objects_pattern(objects: &Node, lowering: &mut Lowering<'_, '_>) -> Option<Term> {
    let (bucket, at) = match (objects.get("zone"), objects.get("bucket")) {
        (Some(zone), _) => (zone_bucket(zone, lowering.context, lowering.diagnostics)?, zone),
        (None, Some(node)) => match lowering.target(node, "AWS::S3::Bucket")?.resource() {
            Some(bucket) => (bucket, node),
            None => {
                lowering.diagnostics.push(
                    Diagnostic::new(Code::WrongTarget, "the bucket must be named by its component")
                        .at(node.span, "the trigger requires the settings of the bucket")
                        .help("write the name of the component, or `COMPONENT.RESOURCE`"),
                );
                return None;
            }
        },
        (None, None) => return None,
    };
    lowering.beside(bucket.instance, at)?;
    if !event::tells_events(bucket) {
        lowering.diagnostics.push(
            event::dead(bucket, lowering.context.targets).also(at.span, "this trigger waits for its events"),
        );
    }
    let text = |key: &str| objects.get(key).and_then(Node::as_str);
    let (prefix, suffix) = (text("prefix"), text("suffix"));
    let key = match (prefix, suffix) {
        (Some(prefix), Some(suffix)) => {
            let escaped = |text: &str| text.replace('\\', "\\\\").replace('*', "\\*");
            Some(Term::map([(
                "wildcard",
                format!("{}*{}", escaped(prefix), escaped(suffix)),
            )]))
        }
        (Some(prefix), None) => Some(Term::map([("prefix", prefix)])),
        (None, Some(suffix)) => Some(Term::map([("suffix", suffix)])),
        (None, None) => None,
    };
    let name = Term::List(vec![bucket.attribute("name", at.span)]);
    let mut detail: Vec<(Text, Term)> = vec![("bucket".into(), Term::map([("name", name)]))];
    if let Some(key) = key {
        detail.push(("object".into(), Term::map([("key", Term::List(vec![key]))])));
    }
    Some(Term::map([
        ("source", Term::list(["aws.s3"])),
        ("detail-type", Term::list(["Object Created"])),
        ("detail", Term::Map(detail.into())),
    ]))
}

/// Finds the bucket of a zone of the lake.
fn zone_bucket<'a>(
    zone: &Node,
    context: &Context<'a>,
    diagnostics: &mut Diagnostics,
) -> Option<&'a Resource> {
    let name = zone.as_str()?;
    let targets: &'a dyn Targets = context.targets;
    let lake = targets.find("lake", zone.span, diagnostics)?;
    let buckets: Vec<&Resource> = lake
        .resources
        .into_iter()
        .filter(|r| r.kind.cloudformation() == Some("AWS::S3::Bucket"))
        .collect();
    let zone_of = |bucket: &Resource| -> Text {
        match &bucket.address.key {
            Some(key) => key.clone(),
            None => bucket
                .address
                .resource
                .strip_suffix("_bucket")
                .unwrap_or(&bucket.address.resource)
                .into(),
        }
    };
    let found = buckets.iter().copied().find(|bucket| zone_of(bucket) == name);
    if found.is_none() {
        let names: Vec<Text> = buckets.iter().map(|bucket| zone_of(bucket)).collect();
        let problem = Diagnostic::new(Code::UnknownValue, format!("the lake has no zone `{name}`"))
            .at(zone.span, "")
            .nearest(zone.span, name, names.iter().map(Text::as_str));
        diagnostics.push(if problem.help.is_empty() {
            problem.note(terrace_syntax::diagnostic::those(
                "its only zone is",
                "its zones are",
                &names,
            ))
        } else {
            problem
        });
    }
    found
}

fn event_pattern(event: &Node, lowering: &mut Lowering<'_, '_>) -> Option<Term> {
    let mut pattern: Vec<(Text, Term)> = Vec::new();
    for (key, name) in [
        ("source", "source"),
        ("detail_type", "detail-type"),
        ("detail", "detail"),
    ] {
        if let Some(node) = event.get(key) {
            pattern.push((name.into(), lowering.known(node)?));
        }
    }
    let pattern = Term::Map(pattern.into());
    for problem in event::pattern_problems(&pattern) {
        lowering.diagnostics.push(
            Diagnostic::new(Code::InvalidPattern, problem).at(event.key, "EventBridge rejects this pattern"),
        );
    }
    Some(pattern)
}

impl<'a> Lowering<'a, '_> {
    /// Evaluates a tree without run-time values.
    fn known(&mut self, node: &Node) -> Option<Term> {
        Some(match &node.kind {
            NodeKind::Map(entries) => {
                let mut out = Vec::new();
                for (key, node) in entries {
                    out.push((key.clone(), self.known(node)?));
                }
                Term::Map(out.into())
            }
            NodeKind::List(items) => {
                Term::List(items.iter().map(|item| self.known(item)).collect::<Option<_>>()?)
            }
            NodeKind::String(_) => {
                let template = terrace_language::expression::template(node, self.files, self.diagnostics);
                match template.evaluate(&self.scope) {
                    Ok(term) => term,
                    Err(failure) => {
                        self.diagnostics.push(failure.diagnostic());
                        return None;
                    }
                }
            }
            _ => Term::from_value(node.to_value()),
        })
    }

    /// Returns the bucket that a reference resolves to.
    pub(super) fn bucket_named(&self, reference: &Reference) -> Option<&'a Resource> {
        let targets: &'a dyn Targets = self.context.targets;
        let found = targets.lead(reference)?;
        (found.kind.cloudformation() == Some("AWS::S3::Bucket")).then_some(found)
    }
}

/// Returns a string as JSON.
pub(super) fn json(text: &str) -> String {
    to_json_compact(&text.into())
}

/// Returns the ARN of the state machine with a name.
pub(super) fn machine_arn(name: &Text, span: Span) -> Term {
    arn("states", [format!("stateMachine:{name}").into()], span)
}
