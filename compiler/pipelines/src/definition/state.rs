//! Checks the fields of each state.

use terrace_artifact::{Decimal, Segment};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{did_you_mean, shown};

use super::{Finding, Level, Machine, inner, type_of};
use crate::lower::failure::{ERRORS, is_invented};
use crate::runtime::path::{paths_of, templates};

const EVERY: [&str; 3] = ["Type", "Comment", "QueryLanguage"];
const FLOW: [&str; 6] = ["InputPath", "OutputPath", "Output", "Assign", "Next", "End"];

/// The fields of each type, in addition to those of every state.
const FIELDS: [(&str, &[&str], bool); 8] = [
    (
        "Task",
        &[
            "Resource",
            "Parameters",
            "Arguments",
            "ResultSelector",
            "ResultPath",
            "TimeoutSeconds",
            "TimeoutSecondsPath",
            "HeartbeatSeconds",
            "HeartbeatSecondsPath",
            "Credentials",
            "Retry",
            "Catch",
        ],
        true,
    ),
    ("Pass", &["Result", "Parameters", "ResultPath"], true),
    (
        "Wait",
        &["Seconds", "Timestamp", "SecondsPath", "TimestampPath"],
        true,
    ),
    (
        "Choice",
        &[
            "Choices",
            "Default",
            "InputPath",
            "OutputPath",
            "Output",
            "Assign",
        ],
        false,
    ),
    (
        "Parallel",
        &[
            "Branches",
            "Parameters",
            "Arguments",
            "ResultSelector",
            "ResultPath",
            "Retry",
            "Catch",
        ],
        true,
    ),
    (
        "Map",
        &[
            "ItemProcessor",
            "Iterator",
            "ItemsPath",
            "Items",
            "ItemSelector",
            "Parameters",
            "ItemReader",
            "ItemBatcher",
            "MaxConcurrency",
            "MaxConcurrencyPath",
            "ToleratedFailurePercentage",
            "ToleratedFailurePercentagePath",
            "ToleratedFailureCount",
            "ToleratedFailureCountPath",
            "ResultWriter",
            "Label",
            "ResultSelector",
            "ResultPath",
            "Retry",
            "Catch",
        ],
        true,
    ),
    ("Succeed", &["InputPath", "OutputPath", "Output"], false),
    ("Fail", &["Error", "Cause", "ErrorPath", "CausePath"], false),
];

/// The fields of the state machine itself.
const TOP: [&str; 7] = [
    "Comment",
    "StartAt",
    "States",
    "Version",
    "TimeoutSeconds",
    "QueryLanguage",
    "ProcessorConfig",
];
const ONLY_JSONPATH: [&str; 16] = [
    "InputPath",
    "OutputPath",
    "Parameters",
    "ResultSelector",
    "ResultPath",
    "ItemsPath",
    "SecondsPath",
    "TimestampPath",
    "TimeoutSecondsPath",
    "HeartbeatSecondsPath",
    "MaxConcurrencyPath",
    "ToleratedFailurePercentagePath",
    "ToleratedFailureCountPath",
    "ErrorPath",
    "CausePath",
    "Variable",
];
const ONLY_JSONATA: [&str; 4] = ["Arguments", "Output", "Items", "Condition"];

pub(super) fn check(machine: &mut Machine<'_>, definition: &Term) {
    for (key, _) in definition.entries() {
        if !TOP.contains(&key.as_str()) {
            let path = [Segment::Key(key.clone())];
            machine.findings.push(
                Finding::new(
                    Code::InvalidState,
                    &path,
                    format!("unknown field `{key}` in a state machine"),
                )
                .nearest(key, TOP.into_iter()),
            );
        }
    }
    match definition.get("TimeoutSeconds").map(Term::as_integer) {
        None => {}
        Some(Some(seconds)) if machine.express && seconds > 300 => machine.findings.push(Finding::new(
            Code::TimeoutOrder,
            &[Segment::Key("TimeoutSeconds".into())],
            format!("the timeout of an Express state machine ({seconds} s) is longer than 300 s"),
        )),
        Some(Some(1..)) => {}
        Some(_) => machine.findings.push(Finding::new(
            Code::InvalidState,
            &[Segment::Key("TimeoutSeconds".into())],
            "`TimeoutSeconds` must be an integer of at least 1",
        )),
    }
    levels(machine, &Level::of(definition, &[]));
}

fn levels(machine: &mut Machine<'_>, level: &Level<'_>) {
    for (name, state) in level.states {
        let path = level.path_of(name);
        let mut checker = State {
            machine,
            path: &path,
            name,
            state,
            jsonata: false,
        };
        checker.check();
        for (steps, below) in inner(state) {
            let mut path = path.clone();
            path.extend(steps);
            levels(machine, &Level::of(below, &path));
        }
    }
}

pub(super) struct State<'m, 'a, 's> {
    pub(super) machine: &'m mut Machine<'a>,
    pub(super) path: &'s [Segment],
    pub(super) name: &'s str,
    pub(super) state: &'s Term,
    pub(super) jsonata: bool,
}

impl State<'_, '_, '_> {
    fn check(&mut self) {
        let kind = type_of(self.state);
        let Some((_, fields, flows)) = FIELDS.iter().find(|(name, ..)| *name == kind) else {
            let types = || FIELDS.iter().map(|(name, ..)| *name);
            let message = match kind {
                "" => format!("state `{}` has no `Type`", self.name),
                kind => format!("state `{}` has the unknown type `{kind}`", self.name),
            };
            let finding = Finding::new(Code::InvalidState, self.path, message).nearest(kind, types());
            self.machine.findings.push(finding);
            return;
        };
        self.jsonata = match self.state.get("QueryLanguage").and_then(Term::as_str) {
            Some("JSONata") => true,
            Some("JSONPath") if self.machine.jsonata => {
                self.say(
                    &["QueryLanguage"],
                    "a JSONata state machine cannot have JSONPath states".into(),
                );
                false
            }
            _ => self.machine.jsonata,
        };
        for (key, _) in self.state.entries() {
            let key = key.as_str();
            let known = EVERY.contains(&key) || fields.contains(&key) || (*flows && FLOW.contains(&key));
            if !known {
                let all = EVERY
                    .iter()
                    .chain(fields.iter())
                    .chain(FLOW.iter().filter(|_| *flows))
                    .copied();
                let finding = self
                    .finding(&[key], format!("unknown field `{key}` in a {kind} state"))
                    .nearest(key, all);
                self.machine.findings.push(finding);
            }
            self.language(key);
        }
        if *flows {
            self.way_on();
        }
        match kind {
            "Task" => self.task(),
            "Choice" => self.choice(),
            "Wait" => self.wait(),
            "Parallel" if self.state.get("Branches").is_none_or(|b| b.items().is_empty()) => {
                self.say(&["Branches"], format!("state `{}` has no branches", self.name));
            }
            "Map" => self.map(),
            _ => {}
        }
        self.errors();
        self.payloads();
    }

    pub(super) fn finding(&self, keys: &[&str], message: String) -> Finding {
        let mut path = self.path.to_vec();
        path.extend(keys.iter().map(|key| Segment::Key((*key).into())));
        Finding::new(Code::InvalidState, &path, message)
    }

    pub(super) fn say(&mut self, keys: &[&str], message: String) {
        let finding = self.finding(keys, message);
        self.machine.findings.push(finding);
    }

    fn language(&mut self, key: &str) {
        let (foreign, own) = if self.jsonata {
            (ONLY_JSONPATH.contains(&key), "JSONata")
        } else {
            (ONLY_JSONATA.contains(&key), "JSONPath")
        };
        if foreign {
            let other = if self.jsonata { "JSONPath" } else { "JSONata" };
            self.say(
                &[key],
                format!(
                    "`{key}` is a field of {other}, but state `{}` uses {own}",
                    self.name
                ),
            );
        }
    }

    fn way_on(&mut self) {
        let next = self.state.get("Next").is_some();
        let end = self.state.get("End").and_then(Term::as_bool) == Some(true);
        let message = match (next, end) {
            (true, true) => format!("state `{}` has both `Next` and `End`", self.name),
            (false, false) => format!("state `{}` has neither `Next` nor `End: true`", self.name),
            _ => return,
        };
        self.say(&[], message);
    }

    fn choice(&mut self) {
        let name = self.name;
        let choices = self.state.get("Choices").map(Term::items).unwrap_or_default();
        if choices.is_empty() {
            self.say(&["Choices"], format!("state `{name}` has no choices"));
        }
        for (index, choice) in choices.iter().enumerate() {
            if choice.get("Next").is_none() {
                self.say(
                    &["Choices"],
                    format!("choice {} of state `{name}` has no `Next`", index + 1),
                );
            }
            let condition = if self.jsonata {
                choice.get("Condition").is_some()
            } else {
                is_rule(choice)
            };
            if !condition {
                self.say(
                    &["Choices"],
                    format!("choice {} of state `{name}` has no condition", index + 1),
                );
            }
        }
    }

    fn wait(&mut self) {
        let keys = ["Seconds", "Timestamp", "SecondsPath", "TimestampPath"];
        let count = keys.iter().filter(|key| self.state.get(key).is_some()).count();
        if count != 1 {
            self.say(
                &[],
                format!(
                    "state `{}` requires exactly one of {}",
                    self.name,
                    terrace_syntax::diagnostic::listed(keys)
                ),
            );
        }
    }

    fn map(&mut self) {
        let name = self.name;
        let processor = self
            .state
            .get("ItemProcessor")
            .or_else(|| self.state.get("Iterator"));
        let Some(processor) = processor else {
            return self.say(&[], format!("state `{name}` has no `ItemProcessor`"));
        };
        let mode = processor
            .get("ProcessorConfig")
            .and_then(|c| c.get("Mode"))
            .and_then(Term::as_str);
        if mode == Some("DISTRIBUTED") && self.machine.express {
            self.say(
                &["ItemProcessor"],
                format!("state `{name}` is a distributed map, which an Express state machine cannot have"),
            );
        }
        if mode != Some("DISTRIBUTED") && self.state.get("ItemReader").is_some() {
            self.say(
                &["ItemReader"],
                format!("state `{name}` reads its items from S3, which requires the mode `DISTRIBUTED`"),
            );
        }
    }

    fn errors(&mut self) {
        for key in ["Retry", "Catch"] {
            let rules = self.state.get(key).map(Term::items).unwrap_or_default();
            for (index, rule) in rules.iter().enumerate() {
                self.rule(key, index, rules.len(), rule);
            }
        }
    }

    fn rule(&mut self, key: &'static str, index: usize, count: usize, rule: &Term) {
        let name = self.name;
        let place = format!("`{key}` rule {} of state `{name}`", index + 1);
        let errors = rule.get("ErrorEquals").map(Term::items).unwrap_or_default();
        let all = errors.iter().any(|e| e.as_str() == Some("States.ALL"));
        if errors.is_empty() {
            self.say(&[key], format!("{place} has no `ErrorEquals`"));
        }
        for error in errors
            .iter()
            .filter_map(Term::as_str)
            .filter(|error| is_invented(error))
        {
            let message = format!("{place}: no error is named `{}`", shown(error));
            let finding = self.finding(&[key], message);
            self.machine
                .findings
                .push(match terrace_catalog::nearest(error, ERRORS.into_iter()) {
                    Some(near) => finding.help(did_you_mean(near)),
                    None => finding,
                });
        }
        let order = |finding: Finding| Finding {
            code: Code::CatchOrder,
            ..finding
        };
        if all && errors.len() > 1 {
            let finding = self.finding(
                &[key],
                format!("{place}: `States.ALL` must be the only error of its rule"),
            );
            self.machine.findings.push(order(finding));
        }
        if all && index + 1 < count {
            let finding = self
                .finding(
                    &[key],
                    format!("{place} matches every error, so later rules are never reached"),
                )
                .help("put the rule with `States.ALL` last");
            self.machine.findings.push(order(finding));
        }
        if key == "Catch" {
            if rule.get("Next").is_none() {
                self.say(&[key], format!("{place} has no `Next`"));
            }
            if rule.get("ResultPath").is_none() && !self.jsonata && rule.get("Next").is_some() {
                let mut finding = self
                    .finding(&[key], format!("{place} has no `ResultPath`"))
                    .help("add `ResultPath: $.error`");
                finding.code = Code::LostContext;
                finding.label = "the error replaces the input of the handler".into();
                self.machine.findings.push(finding);
            }
            return;
        }
        let number = |key: &str| rule.get(key).map(|t| t.as_number());
        let mut limit = |key: &'static str, least: i64, whole: bool| {
            let minimum = Decimal::from(least);
            if let Some(value) = number(key)
                && value.is_none_or(|v| v < minimum || (whole && !v.is_integer()))
            {
                let what = if whole { "an integer" } else { "a number" };
                self.say(
                    &["Retry", key],
                    format!("{place}: `{key}` must be {what} of at least {least}"),
                );
            }
        };
        limit("IntervalSeconds", 1, true);
        limit("MaxAttempts", 0, true);
        limit("BackoffRate", 1, false);
        limit("MaxDelaySeconds", 1, true);
        let interval = rule
            .get("IntervalSeconds")
            .and_then(Term::as_integer)
            .unwrap_or(1);
        if let Some(longest) = rule.get("MaxDelaySeconds").and_then(Term::as_integer)
            && longest <= interval
        {
            self.say(
                &[key],
                format!(
                    "{place}: `MaxDelaySeconds` ({longest}) is not longer than `IntervalSeconds` ({interval})"
                ),
            );
        }
        if let Some(strategy) = rule.get("JitterStrategy").and_then(Term::as_str)
            && !matches!(strategy, "FULL" | "NONE")
        {
            self.say(
                &[key],
                format!("{place}: `JitterStrategy` must be `FULL` or `NONE`, found `{strategy}`"),
            );
        }
    }

    /// Checks that keys that end in `.$` contain a path or a function.
    fn payloads(&mut self) {
        for key in ["Parameters", "ResultSelector", "ItemSelector"] {
            let Some(template) = self.state.get(key) else {
                continue;
            };
            let mut wrong = Vec::new();
            templates(template, &mut Vec::new(), &mut |keys, value| {
                let last = keys.last().cloned().unwrap_or_default();
                match value.as_str() {
                    None => wrong.push((
                        last.clone(),
                        format!(
                            "`{last}` of state `{}` must be a path, found {}",
                            self.name,
                            value.kind()
                        ),
                    )),
                    Some(text) => {
                        if let Err(why) = paths_of(text, &mut |_, _| {}) {
                            wrong.push((last.clone(), format!("`{last}` of state `{}`: {why}", self.name)));
                        }
                    }
                }
            });
            for (last, why) in wrong {
                let finding = self.finding(&[key], why).help(format!(
                    "write a path such as `$.x`, or rename the key to `{}` for a literal value",
                    last.trim_end_matches(".$")
                ));
                self.machine.findings.push(finding);
            }
        }
    }
}

/// Returns whether a choice rule contains a comparison.
fn is_rule(rule: &Term) -> bool {
    for key in ["And", "Or"] {
        if let Some(rules) = rule.get(key) {
            return !rules.items().is_empty() && rules.items().iter().all(is_rule);
        }
    }
    if let Some(rule) = rule.get("Not") {
        return is_rule(rule);
    }
    let compares = |key: &str| {
        key.starts_with("Is")
            || ["String", "Numeric", "Boolean", "Timestamp"]
                .iter()
                .any(|start| key.starts_with(start))
    };
    rule.get("Variable").is_some() && rule.entries().iter().any(|(key, _)| compares(key))
}
