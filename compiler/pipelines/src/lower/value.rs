//! Lowers values and conditions of steps to the form of states.

use std::collections::BTreeSet;

use terrace_language::expression::{Template, template};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, not_in_this_version};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Span;

use crate::lower::Lowering;
use crate::runtime::names::{NamesInScope, Position};
use crate::runtime::{Condition, Runtime, Value, secret_in_pipeline};

impl<'a> Lowering<'a, '_> {
    /// Lowers a condition. Adds the paths that exist if it is true to `guards`.
    pub(crate) fn condition(
        &mut self,
        node: &'a Node,
        position: &Position,
        reads: &mut Vec<(usize, Span)>,
        guards: &mut Vec<String>,
    ) -> Option<Condition> {
        if let Some(known) = node.as_bool() {
            return Some(Condition::Known(known));
        }
        match template(node, self.files, self.diagnostics) {
            Template::Whole(expression) => {
                let mut found = Vec::new();
                let condition = self.with_runtime(position, reads, |runtime| {
                    runtime.condition(&expression, &mut found)
                });
                guards.extend(found);
                condition
            }
            _ => {
                self.diagnostics.push(
                    Diagnostic::new(Code::WrongType, "a condition must be an expression")
                        .at(node.span, "not in `{{ }}`")
                        .help("write an expression such as `\"{{ input.mode == 'full' }}\"`"),
                );
                None
            }
        }
    }

    /// Runs a translation and reports its problems.
    pub(crate) fn with_runtime<T>(
        &mut self,
        position: &Position,
        reads: &mut Vec<(usize, Span)>,
        translate: impl FnOnce(&mut Runtime<'_, '_>) -> Result<T, crate::runtime::Reported>,
    ) -> Option<T> {
        let kept: BTreeSet<usize> = (0..self.steps.all.len()).filter(|id| self.keeps(*id)).collect();
        let mut here = NamesInScope {
            steps: &self.steps,
            kept: &kept,
            triggers: self.triggers,
            maps: &mut self.maps,
            position,
            reads,
            guards: position.guards.clone(),
        };
        let mut runtime = Runtime {
            scope: self.scope,
            names: &mut here,
            substitutions: &mut self.substitutions,
            failures: Vec::new(),
            problems: Vec::new(),
        };
        let result = translate(&mut runtime);
        let (failures, problems) = (runtime.failures, runtime.problems);
        for failure in failures {
            self.diagnostics.push(failure.diagnostic());
        }
        for problem in problems {
            self.diagnostics.push(problem);
        }
        result.ok()
    }

    /// Lowers a value: a map with keys that end in `.$`, or one run-time value.
    pub(crate) fn payload(
        &mut self,
        node: &Node,
        position: &Position,
        reads: &mut Vec<(usize, Span)>,
    ) -> Option<Value> {
        match &node.kind {
            NodeKind::String(_) => {
                let template = template(node, self.files, self.diagnostics);
                let value = self.with_runtime(position, reads, |runtime| runtime.template(&template))?;
                Some(match value {
                    Value::Known(term) => {
                        if has_secret(&term) {
                            self.diagnostics.push(secret_in_pipeline(node.span));
                        }
                        Value::Known(self.substitutions.value(&term))
                    }
                    late => late,
                })
            }
            NodeKind::Map(entries) => {
                let mut out = Vec::new();
                for (key, value) in entries {
                    if key.starts_with('$') || key.ends_with(".$") {
                        self.diagnostics.push(
                            not_in_this_version(&format!("in pipelines, `{key}`"))
                                .at(value.key, "")
                                .help("write the value as an expression: `key: \"{{ input.x }}\"`"),
                        );
                        continue;
                    }
                    match self.payload(value, position, reads) {
                        Some(Value::Late(text)) => out.push((format!("{key}.$").into(), Term::from(text))),
                        Some(Value::Known(Term::Omit)) | None => {}
                        Some(Value::Known(term)) => out.push((key.clone(), term)),
                    }
                }
                Some(Value::Known(Term::Map(out.into())))
            }
            NodeKind::List(items) => {
                let values: Vec<Value> = items
                    .iter()
                    .filter_map(|item| self.payload(item, position, reads))
                    .collect();
                if !values.iter().any(|value| matches!(value, Value::Late(_))) {
                    let terms = values.into_iter().filter_map(|value| match value {
                        Value::Known(term) => Some(term),
                        Value::Late(_) => None,
                    });
                    return Some(Value::Known(Term::List(terms.collect())));
                }
                let mut arguments = Vec::new();
                for value in values {
                    arguments.push(match value {
                        Value::Late(text) => text,
                        Value::Known(Term::String(text)) => {
                            format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
                        }
                        Value::Known(term @ (Term::Number(_) | Term::Bool(_) | Term::Null)) => {
                            terrace_artifact::to_json_compact(&term.into_value())
                        }
                        Value::Known(_) => {
                            self.diagnostics.push(
                                Diagnostic::new(
                                    Code::NotAtRunTime,
                                    "a list cannot contain both run-time values and maps or lists",
                                )
                                .at(node.span, "")
                                .help("compute the values in `pass` steps before this one"),
                            );
                            return None;
                        }
                    });
                }
                Some(Value::Late(format!("States.Array({})", arguments.join(", "))))
            }
            _ => Some(Value::Known(Term::from_value(node.to_value()))),
        }
    }
}

fn has_secret(term: &Term) -> bool {
    match term {
        Term::Secret(_) => true,
        Term::List(items) => items.iter().any(has_secret),
        Term::Map(entries) => entries.iter().any(|(_, term)| has_secret(term)),
        Term::Concat(parts) => parts.iter().any(has_secret),
        _ => false,
    }
}
