//! Failure handling: `Retry` and `Catch`.

use terrace_artifact::Text;
use terrace_language::aws::encryption;
use terrace_language::aws::iam;
use terrace_language::expression::template;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Span;

use crate::lower::{Exit, FAILED, Lowering, State, failed};
use crate::read::{Catcher, Continuation, Step, StepKind};
use crate::runtime::names::Position;
use crate::targets::{Targets, resource_of};

/// The errors that Step Functions defines. It reserves their prefix.
pub(crate) const ERRORS: [&str; 17] = [
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.IntrinsicFailure",
    "States.ItemReaderFailed",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.ResultWriterFailed",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
];

/// Returns whether an error has the reserved prefix but is not an error of Step Functions.
pub(crate) fn is_invented(error: &str) -> bool {
    error.starts_with("States.") && !ERRORS.contains(&error) && !error.starts_with("States.Http.StatusCode.")
}

/// The maximum of `MaxDelaySeconds`: less than 366 days.
const LONGEST_DELAY: i64 = 366 * 86_400 - 1;

impl<'a> Lowering<'a, '_> {
    /// Returns the topic of failures, if an alarm can publish to it. The step reports problems with its name.
    pub(crate) fn topic_of(&self, on_failure: Option<&Node>) -> Option<Term> {
        let failure = on_failure?;
        let steps = failure.get("steps").map(Node::items).unwrap_or_default();
        let mut steps = steps.iter().flat_map(Node::entries).map(|(_, step)| step);
        let node = match failure.get("sns") {
            Some(node) => node,
            None => steps.find_map(|step| step.get("sns"))?,
        };
        let text = node.as_str()?;
        let mut silent = Diagnostics::new();
        if text.contains("{{") {
            let template = template(node, self.files, &mut silent);
            let topic = template.evaluate(&self.scope).ok()?;
            return topic.is_late().then_some(topic);
        }
        if text.starts_with("arn:") {
            return Some(text.into());
        }
        let topic = resource_of(self.context, text, node.span, "AWS::SNS::Topic", &mut silent)?;
        let fifo = topic.body.get("FifoTopic").and_then(Term::as_bool) == Some(true);
        (!fifo && self.alarms_reach(topic)).then(|| topic.attribute("arn", node.span))
    }

    /// Returns whether CloudWatch can use the key of a topic. Its messages would be lost otherwise.
    fn alarms_reach(&self, topic: &'a Resource) -> bool {
        let targets: &'a dyn Targets = self.context.targets;
        if encryption::named_key(topic).is_none() {
            return true;
        }
        let key = encryption::key(topic, |from, to| targets.follow(from, to));
        let policy = key.and_then(|key| key.body.get("KeyPolicy"));
        let mut statements = iam::statements(policy).iter();
        statements.any(|statement| iam::lets_encrypt(statement, "cloudwatch.amazonaws.com"))
    }

    pub(crate) fn catch(
        &mut self,
        step: &Step<'a>,
        position: &Position,
        made: &mut State,
        more: &mut Vec<State>,
    ) {
        let mut rules = Vec::new();
        let mut all = false;
        for rule in step.body.get("catch").map(Node::items).unwrap_or_default() {
            self.known_errors(rule.get("on"));
        }
        for catcher in &step.catch {
            self.order(&catcher.errors, all, step.body.get("catch"), step.span);
            all |= catcher.errors.contains(&"States.ALL");
            let Some(target) = self.caught(step, catcher, position, more) else {
                continue;
            };
            made.exits.push((target.clone(), false));
            rules.push(catch_rule(&catcher.errors, &target));
        }
        if let Some(handler) = self.handler.clone()
            && position.top
            && !position.error
            && !all
        {
            made.exits.push((handler.clone(), false));
            rules.push(catch_rule(&["States.ALL"], &handler));
        }
        if !rules.is_empty() {
            made.body.set("Catch", Term::List(rules));
        }
    }

    pub(crate) fn caught(
        &mut self,
        step: &Step<'a>,
        catcher: &Catcher<'a>,
        position: &Position,
        more: &mut Vec<State>,
    ) -> Option<Text> {
        let inside = Position {
            error: true,
            ..position.clone()
        };
        let Continuation::Steps(steps) = &catcher.way else {
            return self.way(step, &catcher.way, &Exit::End, &inside, more);
        };
        // The pipeline, or the branch, has failed after the steps of a `catch`.
        let name = if position.top {
            Text::from(FAILED)
        } else {
            Text::from(format!("{}Failed", step.state))
        };
        let (start, states) = self.list(steps, &Exit::Next(name.clone()), &inside);
        more.extend(states);
        if !position.top && !more.iter().any(|state| state.name == name) {
            more.push(failed(&name, step.id, step.span));
        }
        start.or(Some(name))
    }

    /// Checks that `States.ALL` is the only error of its rule, and that its rule is the last.
    pub(crate) fn order(&mut self, errors: &[&str], after_all: bool, list: Option<&Node>, span: Span) {
        let at = list.map_or(span, |list| list.key);
        if errors.contains(&"States.ALL") && errors.len() > 1 {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::CatchOrder,
                    "`States.ALL` must be the only error of its rule",
                )
                .at(at, "`States.ALL` already matches every error"),
            );
        }
        if after_all {
            self.diagnostics.push(
                Diagnostic::new(Code::CatchOrder, "a rule after `States.ALL` is never reached")
                    .at(at, "only the first matching rule applies")
                    .help("put the rule with `States.ALL` last"),
            );
        }
    }

    /// Reports errors with the reserved prefix that Step Functions does not define.
    fn known_errors(&mut self, on: Option<&Node>) {
        for node in on.map(Node::items).unwrap_or_default() {
            let Some(name) = node.as_str().filter(|name| is_invented(name)) else {
                continue;
            };
            self.diagnostics.push(
                Diagnostic::new(Code::UnknownValue, format!("no error is named `{}`", shown(name)))
                    .at(node.span, "never raised")
                    .nearest(node.span, name, ERRORS)
                    .note("only Step Functions defines errors that start with `States.`"),
            );
        }
    }

    pub(crate) fn retry(&mut self, step: &Step<'a>, made: &mut State) {
        let own = step.body.get("retry");
        let task = matches!(step.kind, StepKind::Task(_));
        // The steps of a branch retry themselves. Only an explicit `retry` repeats the whole branch.
        if own.is_none() && !task {
            return;
        }
        if let Some(rules) = self.retriers(own.or(self.retry), step.span) {
            made.body.set("Retry", rules);
        }
    }

    /// Returns `Retry`, or `None` for a step without retries.
    pub(crate) fn retriers(&mut self, node: Option<&Node>, span: Span) -> Option<Term> {
        let fallback = Node {
            kind: NodeKind::Map(Vec::new()),
            span,
            key: span,
        };
        let node = node.unwrap_or(&fallback);
        if node.as_bool() == Some(false) {
            return None;
        }
        let list = if node.items().is_empty() {
            std::slice::from_ref(node)
        } else {
            node.items()
        };
        let mut rules = Vec::new();
        let mut all = false;
        for rule in list {
            let on = rule.get("on");
            self.known_errors(on);
            let errors = on.map(Node::items).unwrap_or_default();
            let mut errors: Vec<&str> = errors.iter().filter_map(Node::as_str).collect();
            if errors.is_empty() {
                errors.push("States.TaskFailed");
            }
            self.order(&errors, all, Some(node), span);
            all |= errors.contains(&"States.ALL");
            let interval = rule.get("interval").map_or(Some(30), |node| self.seconds(node))?;
            let number =
                |key: &str, default: i64| rule.get(key).and_then(Node::as_number).unwrap_or(default.into());
            let mut entries: Vec<(Text, Term)> = vec![
                ("ErrorEquals".into(), Term::list(errors)),
                ("IntervalSeconds".into(), interval.into()),
                ("MaxAttempts".into(), number("attempts", 3).into()),
                ("BackoffRate".into(), number("backoff", 2).into()),
            ];
            if let Some(longest) = rule
                .get("max_delay")
                .and_then(|node| self.seconds(node).map(|s| (s, node)))
            {
                if longest.0 > LONGEST_DELAY {
                    self.diagnostics.push(
                        Diagnostic::new(Code::InvalidState, "`max_delay` must be shorter than 366 days")
                            .at(longest.1.span, ""),
                    );
                }
                if longest.0 <= interval {
                    self.diagnostics.push(
                        Diagnostic::new(Code::InvalidState, "`max_delay` must be longer than `interval`")
                            .at(longest.1.span, "not longer than the first delay"),
                    );
                }
                entries.push(("MaxDelaySeconds".into(), longest.0.into()));
            }
            if rule.get("jitter").and_then(Node::as_str) == Some("full") {
                entries.push(("JitterStrategy".into(), "FULL".into()));
            }
            rules.push(Term::Map(entries.into()));
        }
        Some(Term::List(rules))
    }
}

fn catch_rule(errors: &[&str], target: &str) -> Term {
    Term::map([
        ("ErrorEquals", Term::list(errors.iter().copied())),
        ("ResultPath", "$.error".into()),
        ("Next", target.into()),
    ])
}
