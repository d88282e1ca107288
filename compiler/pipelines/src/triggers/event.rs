//! Events: patterns, event notifications of buckets, and rules that are written by hand.

use terrace_artifact::{Segment, Text, to_json_compact};
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, did_you_mean};

use super::schedule;
use super::started;
use crate::targets::Targets;

/// Returns whether a bucket sends its events to EventBridge.
pub(crate) fn tells_events(bucket: &Resource) -> bool {
    match bucket
        .body
        .at(&["NotificationConfiguration", "EventBridgeConfiguration"])
    {
        Some(configuration) => configuration.get("EventBridgeEnabled").and_then(Term::as_bool) != Some(false),
        None => false,
    }
}

/// Reports a trigger that never fires, because its bucket sends no events.
pub(crate) fn dead(bucket: &Resource, targets: &dyn Targets) -> Diagnostic {
    let path = ["NotificationConfiguration", "EventBridgeConfiguration"].map(|key| Segment::Key(key.into()));
    Diagnostic::new(
        Code::DeadTrigger,
        format!("bucket `{}` does not send events to EventBridge", bucket.address),
    )
    .at(
        targets.place(bucket, &path),
        "requires `EventBridgeEnabled: true`",
    )
    .note("without these events, the trigger never fires")
    .help("add `NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}`")
}

/// Returns the reasons why EventBridge would reject a pattern.
pub(crate) fn pattern_problems(pattern: &Term) -> Vec<String> {
    const FIELDS: [&str; 9] = [
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
    let mut problems = Vec::new();
    for (key, value) in pattern.entries() {
        if !FIELDS.contains(&key.as_str()) && !key.starts_with('$') {
            let near = terrace_catalog::nearest(key, FIELDS.into_iter());
            problems.push(match near {
                Some(near) => format!("an event has no field `{key}` (did you mean `{near}`?)"),
                None => format!("an event has no field `{key}`"),
            });
        }
        leaves(key, value, &mut problems);
    }
    let length = to_json_compact(&pattern.clone().into_value()).len();
    if length > 4096 {
        problems.push(format!(
            "the pattern is too long ({length} bytes, the maximum is 4,096)"
        ));
    }
    problems
}

/// Checks that every leaf of a pattern is a list.
fn leaves(key: &str, value: &Term, problems: &mut Vec<String>) {
    match value {
        Term::Map(entries) => entries
            .iter()
            .for_each(|(key, value)| leaves(key, value, problems)),
        Term::List(items) if items.is_empty() => {
            problems.push(format!(
                "the list `{key}` of the pattern is empty and matches nothing"
            ));
        }
        Term::List(_) => {}
        _ => problems.push(format!(
            "`{key}` of the pattern must be a list, such as `[{}]`",
            value.shown()
        )),
    }
}

/// Checks a rule that is written by hand.
pub(crate) fn check_rule(rule: &Resource, targets: &dyn Targets, diagnostics: &mut Diagnostics) {
    let at = |keys: &[&str]| {
        let path: Vec<Segment> = keys.iter().map(|key| Segment::Key((*key).into())).collect();
        targets.place(rule, &path)
    };
    if let Some(text) = rule.body.get("ScheduleExpression").and_then(Term::as_str)
        && let Err(wrong) = schedule::check(text)
    {
        diagnostics.push(
            Diagnostic::new(Code::InvalidSchedule, wrong.what)
                .at(at(&["ScheduleExpression"]), "EventBridge rejects this schedule")
                .help(wrong.help),
        );
    }
    if let Some(pattern @ Term::Map(_)) = rule.body.get("EventPattern") {
        for problem in pattern_problems(pattern) {
            diagnostics.push(
                Diagnostic::new(Code::InvalidPattern, problem)
                    .at(at(&["EventPattern"]), "EventBridge rejects this pattern"),
            );
        }
        for problem in dead_buckets(rule, targets) {
            diagnostics.push(problem.also(rule.declared, "this rule waits for its events"));
        }
    }
    for target in rule.body.get("Targets").map(Term::items).unwrap_or_default() {
        check_target(rule, target, targets, diagnostics);
    }
}

fn check_target(rule: &Resource, target: &Term, targets: &dyn Targets, diagnostics: &mut Diagnostics) {
    let at = || targets.place(rule, &[Segment::Key("Targets".into())]);
    let machines = targets.of_type("AWS::StepFunctions::StateMachine").into_iter();
    let machine = machines
        .filter(|_| target.get("RoleArn").is_none())
        .find(|resource| started::leads_to(target.get("Arn"), rule, resource, targets));
    if let (Some(machine), None) = (machine, target.get("RoleArn")) {
        diagnostics.push(
            Diagnostic::new(
                Code::DeadTrigger,
                format!("rule `{}` has no permission to start `{}`", rule.address, machine.address),
            )
            .at(at(), "the target has no `RoleArn`")
            .help("add the ARN of a role that `events.amazonaws.com` can assume and that allows `states:StartExecution`"),
        );
    }
    let inputs: Vec<&str> = ["Input", "InputPath", "InputTransformer"]
        .into_iter()
        .filter(|key| target.get(key).is_some())
        .collect();
    if inputs.len() > 1 {
        let names = terrace_syntax::diagnostic::listed(&inputs);
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidPattern,
                format!("a target cannot have {names} together"),
            )
            .at(at(), ""),
        );
    }
    let Some(transformer) = target.get("InputTransformer") else {
        return;
    };
    let Some(template) = transformer.get("InputTemplate").and_then(Term::as_str) else {
        return;
    };
    let known = transformer
        .get("InputPathsMap")
        .map(Term::entries)
        .unwrap_or_default();
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((name, behind)) = after.split_once('>') else {
            break;
        };
        rest = behind;
        let word = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if word && !name.starts_with("aws.") && !known.iter().any(|(key, _)| key == name) {
            let near = terrace_catalog::nearest(name, known.iter().map(|(key, _)| key.as_str()));
            let problem = Diagnostic::new(
                Code::InvalidPattern,
                format!("`<{name}>` of the input template is not in `InputPathsMap`"),
            )
            .at(at(), "EventBridge rejects this template");
            diagnostics.push(match near {
                Some(near) => problem.help(did_you_mean(near)),
                None => problem,
            });
        }
    }
}

/// Reports the buckets whose events a rule waits for and that send none.
pub(crate) fn dead_buckets(rule: &Resource, targets: &dyn Targets) -> Vec<Diagnostic> {
    let Some(pattern @ Term::Map(_)) = rule.body.get("EventPattern") else {
        return Vec::new();
    };
    let silent = buckets(rule, pattern, targets).into_iter();
    silent
        .filter(|bucket| !tells_events(bucket))
        .map(|bucket| dead(bucket, targets))
        .collect()
}

/// Returns the buckets whose new objects a rule waits for.
pub(crate) fn awaited_buckets<'t>(rule: &Resource, targets: &'t dyn Targets) -> Vec<&'t Resource> {
    match rule.body.get("EventPattern") {
        Some(pattern @ Term::Map(_)) => buckets(rule, pattern, targets),
        _ => Vec::new(),
    }
}

/// Returns the prefixes of the object keys that a rule waits for. The result is empty if the rule tests only the suffix, because no
/// prefix is then sufficient.
pub(crate) fn awaited_keys(rule: &Resource) -> Vec<Text> {
    let keys = rule.body.at(&["EventPattern", "detail", "object", "key"]);
    let Some(keys) = keys else {
        return vec!["".into()];
    };
    let prefix = |key: &Term| key.get("prefix").and_then(Term::as_str).map(Text::from);
    keys.items().iter().filter_map(prefix).collect()
}

/// Returns the buckets whose new objects a pattern waits for.
fn buckets<'t>(rule: &Resource, pattern: &Term, targets: &'t dyn Targets) -> Vec<&'t Resource> {
    let list = |key: &str| pattern.get(key).map(Term::items).unwrap_or_default();
    let of_s3 = list("source")
        .iter()
        .any(|source| source.as_str() == Some("aws.s3"));
    let created = list("detail-type")
        .iter()
        .any(|kind| kind.as_str().is_some_and(|kind| kind.starts_with("Object ")));
    if !of_s3 || !created {
        return Vec::new();
    }
    let names = pattern
        .at(&["detail", "bucket", "name"])
        .map(Term::items)
        .unwrap_or_default();
    let is_bucket = |resource: &&Resource| resource.kind.cloudformation() == Some("AWS::S3::Bucket");
    names
        .iter()
        .filter_map(|name| match name {
            Term::Reference(reference) => targets.follow(rule, reference),
            Term::Map(_) => targets
                .of_type("AWS::S3::Bucket")
                .into_iter()
                .find(|bucket| started::leads_to(Some(name), rule, bucket, targets)),
            name => targets
                .of_type("AWS::S3::Bucket")
                .into_iter()
                .find(|bucket| bucket.body.get("BucketName") == Some(name)),
        })
        .filter(is_bucket)
        .collect()
}

/// Checks a schedule that is written by hand.
pub(crate) fn check_schedule(resource: &Resource, targets: &dyn Targets, diagnostics: &mut Diagnostics) {
    let key: Text = "ScheduleExpression".into();
    if let Some(text) = resource.body.get(&key).and_then(Term::as_str)
        && let Err(wrong) = schedule::check(text)
    {
        diagnostics.push(
            Diagnostic::new(Code::InvalidSchedule, wrong.what)
                .at(
                    targets.place(resource, &[Segment::Key(key)]),
                    "EventBridge rejects this schedule",
                )
                .help(wrong.help),
        );
    }
}
