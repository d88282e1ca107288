//! The rules and schedules that start a state machine, and the input that each passes.

use terrace_artifact::{Text, Value};
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;

use crate::definition::Shape;
use crate::targets::Targets;

/// A rule or schedule that starts a state machine.
pub(crate) struct Start {
    /// Its name in messages.
    pub(crate) name: String,
    /// The shape of its input.
    pub(crate) input: Shape,
}

/// Returns the rules and schedules that start a state machine.
pub(crate) fn starts(machine: &Resource, targets: &dyn Targets) -> Vec<Start> {
    let mut starts = Vec::new();
    let rules = targets.of_type("AWS::Events::Rule");
    let schedules = targets.of_type("AWS::Scheduler::Schedule");
    for resource in rules.into_iter().chain(schedules) {
        let of_machine = |target: &&Term| leads_to(target.get("Arn"), resource, machine, targets);
        let list = match resource.kind.cloudformation() {
            Some("AWS::Events::Rule") => resource.body.get("Targets").map(Term::items).unwrap_or_default(),
            Some("AWS::Scheduler::Schedule") => resource
                .body
                .get("Target")
                .map(std::slice::from_ref)
                .unwrap_or_default(),
            _ => continue,
        };
        for target in list.iter().filter(of_machine) {
            starts.push(Start {
                name: format!("`{}`", resource.address),
                input: input_of(target),
            });
        }
    }
    starts
}

/// Returns whether a value refers to a resource: with a reference, or with `Fn::GetAtt` in the same component.
pub(crate) fn leads_to(term: Option<&Term>, from: &Resource, to: &Resource, targets: &dyn Targets) -> bool {
    match term {
        Some(Term::Reference(reference)) => targets
            .follow(from, reference)
            .is_some_and(|found| found.address == to.address),
        Some(Term::Map(entries)) => {
            let logical_id = match &**entries {
                [(key, Term::List(items))] if key == "Fn::GetAtt" => items.first().and_then(Term::as_str),
                [(key, Term::String(text))] if key == "Fn::GetAtt" => text.split('.').next(),
                [(key, Term::String(text))] if key == "Ref" => Some(text.as_str()),
                _ => None,
            };
            let id = format!(
                "{}{}",
                terrace_language::expression::words::pascal(&to.address.resource),
                to.address
                    .key
                    .as_deref()
                    .map(terrace_language::expression::words::pascal)
                    .unwrap_or_default()
            );
            from.address.owner == to.address.owner
                && from.address.component == to.address.component
                && logical_id == Some(id.as_str())
        }
        _ => false,
    }
}

/// Returns the shape of the input of a target.
fn input_of(target: &Term) -> Shape {
    let parse = |text: &str| {
        let value: Option<Value> = serde_json::from_str(text).ok();
        value.map_or(Shape::Unknown, |value| Shape::of(&Term::from_value(value)))
    };
    if let Some(input) = target.get("Input") {
        return match input {
            Term::String(text) => parse(text),
            _ => Shape::Unknown,
        };
    }
    if let Some(transformer) = target.get("InputTransformer") {
        return match transformer.get("InputTemplate").and_then(Term::as_str) {
            Some(template) => parse(&quoted(template)),
            None => Shape::Unknown,
        };
    }
    match target.get("InputPath") {
        Some(_) => Shape::Unknown,
        None => event(),
    }
}

/// Returns the shape of an event of EventBridge.
pub(crate) fn event() -> Shape {
    let keys = [
        "version",
        "id",
        "detail-type",
        "source",
        "account",
        "time",
        "region",
        "resources",
        "detail",
    ];
    Shape::closed(keys.map(|key| (Text::from(key), Shape::Unknown)))
}

/// Converts an input template to JSON: `<name>` outside quotes becomes a string.
fn quoted(template: &str) -> String {
    let mut out = String::new();
    let (mut inside, mut escaped) = (false, false);
    for c in template.chars() {
        match c {
            '"' if !escaped => inside = !inside,
            '<' if !inside => out.push('"'),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        out.push(c);
        if c == '>' && !inside {
            out.push('"');
        }
    }
    out
}
