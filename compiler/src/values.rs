//! Values of inputs: layered in one order of precedence, and made what the module says they are.

mod limits;

use terrace_artifact::{Decimal, Segment, Text, show_path};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, Edit, Help, listed, shown, those};
use crate::document::Input;
use crate::input::{InputSchema, InputType, Others};
use crate::node::Node;
use crate::provenance::Giver;
use crate::source::{Files, Span};
use crate::term::{SecretReference, Term};
use crate::unit::Quantity;

/// Somebody who gives values to inputs. Later layers win.
#[derive(Clone, Debug)]
pub(crate) struct Layer<'a> {
    /// Who that is.
    pub(crate) by: Giver,
    /// A map of values by input, as written.
    pub(crate) node: &'a Node,
    /// The same with its expressions evaluated.
    pub(crate) value: Term,
}

/// The inputs of one use of a module: merged, checked, with units read.
pub(crate) fn inputs(
    declared: &[Input],
    defaults: &Term,
    layers: &[Layer<'_>],
    user: Span,
    files: &Files,
    diagnostics: &mut Diagnostics,
) -> Term {
    for layer in layers {
        for (key, node) in layer.node.entries() {
            if !declared.iter().any(|input| input.name.value == *key) {
                let names = declared.iter().map(|input| input.name.value.as_str());
                let mut diagnostic = Diagnostic::new(
                    Code::UnknownInput,
                    format!("the module has no input `{}`", shown(key)),
                )
                .at(node.key, "no such input")
                .nearest(node.key, key, names.clone());
                if diagnostic.help.is_empty() {
                    diagnostic = diagnostic.help(format!("it has {}", listed(names)));
                }
                diagnostics.push(diagnostic);
            }
        }
    }
    let mut out = Vec::with_capacity(declared.len());
    for input in declared {
        let name = &input.name.value;
        let mut value = defaults.get(name).cloned();
        for layer in layers {
            match layer.value.get(name) {
                None | Some(Term::Omit) => {}
                // Null goes back to the module's default.
                Some(Term::Null) => value = defaults.get(name).cloned(),
                Some(over) => value = Some(merge(value, over.clone())),
            }
        }
        let Some(value) = value else {
            diagnostics.push(
                Diagnostic::new(Code::MissingInput, format!("the input `{name}` has no value"))
                    .at(user, format!("`{name}` is missing here"))
                    .also(input.name.span, "declared here, without a default")
                    .help(format!(
                        "write `{name}: {}` under `inputs` of the component; it is {}",
                        example(&input.schema),
                        described(&input.schema)
                    )),
            );
            out.push((name.clone(), Term::Null));
            continue;
        };
        let mut path = vec![Segment::Key(name.clone())];
        let locate = |path: &[Segment]| locate(layers, input, user, path);
        let mut check = Check {
            locate: &locate,
            files,
            declared: input.name.span,
            diagnostics,
        };
        let value = check.value(&input.schema, value, &mut path);
        out.push((name.clone(), value));
    }
    Term::Map(out.into())
}

/// Where the value at a path was written.
struct Place {
    value: Span,
    /// Its key; where only what is around the value was written, the value's own place.
    key: Span,
    /// Whether it is the value itself, and not what is around it.
    exact: bool,
}

/// The place of the value at a path: of the last layer that says something there.
fn locate(layers: &[Layer<'_>], input: &Input, user: Span, path: &[Segment]) -> Place {
    let mut layers_from_last = layers.iter().rev();
    if let Some(node) = layers_from_last.find_map(|layer| layer.node.find(path)) {
        return Place {
            value: node.span,
            key: node.key,
            exact: true,
        };
    }
    let around = match path {
        [_] | [] => input.schema.default.as_ref().map_or(user, |node| node.span),
        [front @ .., _] => locate(layers, input, user, front).value,
    };
    Place {
        value: around,
        key: around,
        exact: false,
    }
}

/// Maps merge, everything else replaces.
fn merge(under: Option<Term>, over: Term) -> Term {
    match (under, over) {
        (Some(Term::Map(entries)), Term::Map(new)) => {
            let mut entries = entries.into_vec();
            for (key, value) in new {
                match entries.iter().position(|(k, _)| *k == key) {
                    Some(at) if value == Term::Null => {
                        entries.remove(at);
                    }
                    Some(at) => {
                        let old = std::mem::take(&mut entries[at].1);
                        entries[at].1 = merge(Some(old), value);
                    }
                    None if value == Term::Null => {}
                    None => entries.push((key, value)),
                }
            }
            Term::Map(entries.into())
        }
        (_, over) => over,
    }
}

struct Check<'a> {
    locate: &'a dyn Fn(&[Segment]) -> Place,
    files: &'a Files,
    declared: Span,
    diagnostics: &'a mut Diagnostics,
}

impl Check<'_> {
    fn say(
        &mut self,
        code: Code,
        path: &[Segment],
        message: String,
        label: impl Into<String>,
    ) -> &mut Diagnostic {
        let diagnostic = Diagnostic::new(code, message)
            .at((self.locate)(path).value, label)
            .also(self.declared, "declared here");
        self.diagnostics.push_mut(diagnostic)
    }

    /// A value as it goes into a message. Where the input's name says that it is a secret, the value is not shown.
    fn written(&self, path: &[Segment], value: &str) -> String {
        let named = path.iter().rev().find_map(|segment| match segment {
            Segment::Key(key) => Some(key),
            Segment::Index(_) => None,
        });
        match named.is_some_and(|key| crate::check::is_confidential(key)) {
            true => "this value".to_owned(),
            false => format!("`{}`", shown(value)),
        }
    }

    /// Where a value stands as it is: not computed, and not only what is around it.
    fn literal(&self, path: &[Segment]) -> Option<Span> {
        let place = (self.locate)(path);
        (place.exact && !self.files.text(place.value).contains("{{")).then_some(place.value)
    }

    fn value(&mut self, schema: &InputSchema, value: Term, path: &mut Vec<Segment>) -> Term {
        if value == Term::Null {
            let may_be_null =
                schema.default.as_ref().is_some_and(Node::is_null) || schema.kind == InputType::Any;
            if !may_be_null {
                let message = format!("`{}` cannot be null", show_path(path));
                self.say(
                    Code::WrongType,
                    path,
                    message,
                    format!("{} is wanted", article(schema.kind)),
                );
            }
            return value;
        }
        let late = matches!(value, Term::Reference(_) | Term::Concat(_) | Term::Asset(_));
        if schema.kind == InputType::Secret {
            return self.secret(value, path);
        }
        if late {
            return value;
        }
        let Some(value) = self.typed(schema, value, path) else {
            return Term::Null;
        };
        self.limits(schema, &value, path);
        value
    }

    fn secret(&mut self, value: Term, path: &[Segment]) -> Term {
        match value {
            Term::Secret(_) | Term::Reference(_) => value,
            Term::Omit => value,
            _ => {
                let message = format!(
                    "`{}` is a secret, and its value does not belong in a file",
                    show_path(path)
                );
                let span = (self.locate)(path).value;
                let diagnostic = self.say(Code::LiteralSecret, path, message, "written out");
                diagnostic.help.push(Help {
                    text: "refer to it: `\"{{ secret('NAME').KEY }}\"`, and change the value that was written here".to_owned(),
                    edit: None,
                });
                // What would be there were it a reference: nothing more is wrong with what reads it.
                let reference = SecretReference {
                    name: "NAME".into(),
                    key: Some("KEY".into()),
                    span,
                };
                Term::Secret(reference.into())
            }
        }
    }

    fn typed(&mut self, schema: &InputSchema, value: Term, path: &mut Vec<Segment>) -> Option<Term> {
        let kind = schema.kind;
        match (kind, value) {
            (InputType::Any, value) => Some(value),
            (InputType::String, value @ Term::String(_))
            | (InputType::Boolean, value @ Term::Bool(_))
            | (InputType::Number, value @ Term::Number(_))
            | (InputType::Duration, value @ Term::Duration(_))
            | (InputType::Size | InputType::Quantity, value @ Term::Quantity(_)) => Some(value),
            (InputType::Integer, Term::Number(n)) if n.is_integer() => Some(Term::Number(n)),
            (InputType::Percent, Term::Number(n)) => Some(Term::Number(n)),
            (InputType::Quantity, Term::Number(amount)) => Some(Term::Quantity(Quantity {
                amount,
                binary: false,
            })),
            (
                InputType::Duration | InputType::Size | InputType::Quantity | InputType::Percent,
                Term::String(text),
            ) => {
                let read = match kind {
                    InputType::Duration => text.parse().map(Term::Duration).ok(),
                    InputType::Size => Quantity::size(&text).map(Term::Quantity),
                    InputType::Quantity => text.parse().map(Term::Quantity).ok(),
                    _ => text
                        .strip_suffix('%')
                        .and_then(|n| n.trim().parse::<Decimal>().ok())
                        .map(Term::Number),
                };
                if read.is_none() {
                    let message = format!("{} is not {}", self.written(path, &text), article(kind));
                    let label = format!("such as {}", examples(kind));
                    self.say(Code::WrongUnit, path, message, label);
                }
                read
            }
            (InputType::Duration | InputType::Size, Term::Number(n)) => {
                let message = format!("`{}` has no unit", show_path(path));
                let label = format!("{n} what?");
                let literal = self.literal(path);
                let diagnostic = self.say(Code::WrongUnit, path, message, label);
                let help = format!("say the unit: {}", examples(kind));
                // The module's own unit is the one that was most likely meant.
                let own = schema.default.as_ref().or(schema.minimum.as_ref());
                let unit = own
                    .and_then(Node::as_str)
                    .and_then(|text| text.strip_prefix(|c: char| c.is_ascii_digit()));
                let unit = unit.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
                let edit = unit
                    .filter(|unit| unit.bytes().all(|byte| byte.is_ascii_alphabetic()))
                    .zip(literal)
                    .map(|(unit, span)| Edit {
                        span,
                        text: format!("{n}{unit}"),
                    });
                diagnostic.help.push(Help { text: help, edit });
                None
            }
            (InputType::Array, Term::List(items)) => {
                let mut out = Vec::with_capacity(items.len());
                for (at, item) in items.into_iter().enumerate() {
                    path.push(Segment::Index(at));
                    out.push(match &schema.items {
                        Some(schema) => self.value(schema, item, path),
                        None => item,
                    });
                    path.pop();
                }
                Some(Term::List(out))
            }
            (InputType::Object, Term::Map(entries)) => Some(self.object(schema, entries.into_vec(), path)),
            (_, value) => {
                let message = format!(
                    "`{}` has to be {}, not {}",
                    show_path(path),
                    article(kind),
                    value.kind()
                );
                let literal = self.literal(path);
                // As it is written: `1.0` is another version than `1`.
                let written = literal.map(|span| self.files.text(span).to_owned());
                let label = format!("this is {}", value.kind());
                let diagnostic = self.say(Code::WrongType, path, message, label);
                if kind == InputType::String
                    && matches!(value, Term::Number(_) | Term::Bool(_))
                    && let (Some(span), Some(written)) = (literal, written)
                {
                    diagnostic.help.push(match form(schema, &written) {
                        None => Help {
                            text: "put it in quotes".to_owned(),
                            edit: Some(Edit {
                                span,
                                text: format!("\"{written}\""),
                            }),
                        },
                        Some(form) => Help {
                            text: form,
                            edit: None,
                        },
                    });
                }
                None
            }
        }
    }

    fn object(&mut self, schema: &InputSchema, entries: Vec<(Text, Term)>, path: &mut Vec<Segment>) -> Term {
        let mut out: Vec<(Text, Term)> = Vec::with_capacity(entries.len().max(schema.properties.len()));
        // What a misspelt key was meant to be is not missing as well.
        let mut meant: Vec<&str> = Vec::new();
        for (key, value) in entries {
            path.push(Segment::Key(key.clone()));
            let property = schema
                .properties
                .iter()
                .find(|(name, _)| name.value == key)
                .map(|(_, schema)| schema);
            let value = match (property, &schema.others) {
                (Some(schema), _) => self.value(schema, value, path),
                (None, Others::Of(schema)) => self.value(schema, value, path),
                (None, Others::Any) => value,
                (None, Others::Refused) => {
                    let properties = schema.properties.iter();
                    let names: Vec<&str> = properties.map(|(name, _)| name.value.as_str()).collect();
                    meant.extend(terrace_catalog::nearest(&key, names.iter().copied()));
                    let message = format!(
                        "`{}` is not a key of `{}`",
                        shown(&key),
                        show_path(&path[..path.len() - 1])
                    );
                    let place = (self.locate)(path);
                    let diagnostic = Diagnostic::new(Code::UnknownKey, message)
                        .at(place.key, "no such key")
                        .also(self.declared, "declared here");
                    self.diagnostics
                        .push(match terrace_catalog::nearest(&key, names.iter().copied()) {
                            Some(name) if place.exact => {
                                diagnostic.replace(place.key, name, format!("`{name}` exists"))
                            }
                            Some(name) => diagnostic.help(format!("`{name}` exists")),
                            None => diagnostic.help(those("the key is", "the keys are", names)),
                        });
                    value
                }
            };
            path.pop();
            out.push((key, value));
        }
        for (name, property) in &schema.properties {
            if out.iter().any(|(key, _)| *key == name.value) || meant.contains(&name.value.as_str()) {
                continue;
            }
            path.push(Segment::Key(name.value.clone()));
            if let Some(default) = &property.default {
                let value = self.value(property, Term::from_value(default.to_value()), path);
                out.push((name.value.clone(), value));
            } else if schema
                .required
                .iter()
                .any(|required| required.value == name.value)
            {
                let message = format!("`{}` is missing", show_path(path));
                let around = (self.locate)(&path[..path.len() - 1]);
                let diagnostic = Diagnostic::new(Code::MissingField, message)
                    .at(around.key, format!("needs `{}`", name.value))
                    .also(self.declared, "declared here");
                self.diagnostics.push(diagnostic);
            } else {
                out.push((name.value.clone(), Term::Null));
            }
            path.pop();
        }
        Term::Map(out.into())
    }
}

/// What form a text would need to have that it has not: quotes alone would not help it.
fn form(schema: &InputSchema, text: &str) -> Option<String> {
    if let Some(allowed) = &schema.allowed {
        let words = || allowed.iter().filter_map(Node::as_str);
        return (!words().any(|word| word == text)).then(|| those("the value is", "the values are", words()));
    }
    let pattern = &schema.pattern.as_ref()?.value;
    let regex = regex_lite::Regex::new(pattern).ok()?;
    (!regex.is_match(text)).then(|| format!("it is text of the form `{pattern}`"))
}

fn article(kind: InputType) -> String {
    match kind {
        InputType::String => "text".to_owned(),
        InputType::Integer => "a whole number".to_owned(),
        InputType::Array => "a list".to_owned(),
        InputType::Object => "a map".to_owned(),
        InputType::Any => "any value".to_owned(),
        InputType::Percent => "a percentage".to_owned(),
        kind => format!("a {}", kind.as_str()),
    }
}

/// What a value could be, as it is written.
fn example(schema: &InputSchema) -> String {
    let first = schema.allowed.as_ref().and_then(|allowed| allowed.first());
    if let Some(value) = first.or(schema.minimum.as_ref()) {
        return Term::from_value(value.to_value()).shown();
    }
    match schema.kind {
        InputType::String | InputType::Any => "\"…\"".to_owned(),
        InputType::Integer | InputType::Number => "1".to_owned(),
        InputType::Boolean => "true".to_owned(),
        InputType::Array => "[…]".to_owned(),
        InputType::Object => "{…}".to_owned(),
        InputType::Secret => "\"{{ secret('NAME').KEY }}\"".to_owned(),
        kind => examples(kind).split('`').nth(1).unwrap_or_default().to_owned(),
    }
}

/// What a value is, in words: its type, the forms of a unit, and what it is for.
fn described(schema: &InputSchema) -> String {
    let kind = schema.kind;
    let forms = match kind {
        InputType::Duration | InputType::Size | InputType::Quantity | InputType::Percent => {
            format!(" such as {}", examples(kind))
        }
        _ => String::new(),
    };
    match &schema.description {
        Some(text) => format!("{}{forms}: {}", article(kind), text.value),
        None => format!("{}{forms}", article(kind)),
    }
}

fn examples(kind: InputType) -> &'static str {
    match kind {
        InputType::Duration => "`30s`, `24h`, `90d`",
        InputType::Size => "`128Mi`, `500Gi`, `10GB`",
        InputType::Quantity => "`500m`, `2`, `4Gi`",
        _ => "`70%`, `70`",
    }
}
