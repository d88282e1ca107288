//! Merges the values of inputs in order of precedence, and checks them against the schemas of the module.

mod limits;

use std::fmt;

use terrace_artifact::{Decimal, Quantity, Segment, Text, show_path};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{
    Diagnostic, Diagnostics, Edit, Help, did_you_mean, missing_key, one_of, shown, those,
};
use terrace_syntax::node::Node;
use terrace_syntax::source::{Files, Span};

use crate::document::{Input, Tier};
use crate::module::inputs::{InputSchema, InputType, Others};
use crate::value::term::{SecretReference, Term};

/// The sources of input values, in order of precedence: later ones override earlier ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InputSource {
    /// The default of the module.
    Module,
    /// The platform, for a tier of tenants.
    Tier(Tier),
    /// The component.
    Component(Text),
    /// A tenant.
    Tenant(Text),
    /// An environment, for all tenants.
    Environment(Text),
    /// An environment, for one tenant: the second name.
    EnvironmentForTenant(Text, Text),
    /// `--set`.
    CommandLine,
}

impl fmt::Display for InputSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputSource::Module => f.write_str("the module's default"),
            InputSource::Tier(tier) => write!(f, "tier `{}`", tier.as_str()),
            InputSource::Component(name) => write!(f, "component `{name}`"),
            InputSource::Tenant(name) => write!(f, "tenant `{name}`"),
            InputSource::Environment(name) => write!(f, "environment `{name}`"),
            InputSource::EnvironmentForTenant(name, tenant) => {
                write!(f, "environment `{name}` for `{tenant}`")
            }
            InputSource::CommandLine => f.write_str("`--set`"),
        }
    }
}

/// The input values from one source. Later layers override earlier ones.
#[derive(Clone, Debug)]
pub struct Layer<'a> {
    /// The source of the values.
    pub by: InputSource,
    /// A map of values by input, as written.
    pub node: &'a Node,
    /// The same map with its expressions evaluated.
    pub value: Term,
}

/// Returns the inputs of one use of a module: merged, checked, and with units parsed.
pub fn inputs(
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
                diagnostics.push(unknown_input("the module", key, node.key, declared));
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
                // Null selects the default of the module.
                Some(Term::Null) => value = defaults.get(name).cloned(),
                Some(over) => value = Some(merge(value, over.clone())),
            }
        }
        let Some(value) = value else {
            diagnostics.push(
                Diagnostic::new(Code::MissingInput, format!("missing input `{name}`"))
                    .at(user, format!("requires a value for `{name}`"))
                    .also(input.name.span, "declared here, without a default")
                    .note(format!("`{name}` is {}", described(&input.schema)))
                    .help(format!(
                        "add `{name}: {}` to `inputs` of the component",
                        example(&input.schema)
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

/// Reports an input that a module does not declare. `module` names the module.
pub fn unknown_input(module: &str, name: &str, span: Span, declared: &[Input]) -> Diagnostic {
    let names = || declared.iter().map(|input| input.name.value.as_str());
    let message = format!("{module} has no input `{}`", shown(name));
    let diagnostic = Diagnostic::new(Code::UnknownInput, message)
        .at(span, "")
        .nearest(span, name, names());
    match diagnostic.help.is_empty() {
        true if declared.is_empty() => diagnostic.note("the module has no inputs"),
        true => diagnostic.note(those("its only input is", "its inputs are", names())),
        false => diagnostic,
    }
}

/// The place of the value at a path.
struct ValueSpans {
    value: Span,
    /// Its key, or the place of the value if only the value around it was written.
    key: Span,
    /// Whether it is the place of the value itself, not of the value around it.
    exact: bool,
}

/// Returns the place of the value at a path, in the last layer that sets it.
fn locate(layers: &[Layer<'_>], input: &Input, user: Span, path: &[Segment]) -> ValueSpans {
    let mut layers_from_last = layers.iter().rev();
    if let Some(node) = layers_from_last.find_map(|layer| layer.node.find(path)) {
        return ValueSpans {
            value: node.span,
            key: node.key,
            exact: true,
        };
    }
    let around = match path {
        [_] | [] => input.schema.default.as_ref().map_or(user, |node| node.span),
        [front @ .., _] => locate(layers, input, user, front).value,
    };
    ValueSpans {
        value: around,
        key: around,
        exact: false,
    }
}

/// Merges maps and replaces other values.
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
    locate: &'a dyn Fn(&[Segment]) -> ValueSpans,
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

    /// Returns a value for a message. The value of an input whose name suggests a secret is not shown.
    fn written(&self, path: &[Segment], value: &str) -> String {
        let named = path.iter().rev().find_map(|segment| match segment {
            Segment::Key(key) => Some(key),
            Segment::Index(_) => None,
        });
        match named.is_some_and(|key| terrace_syntax::secrets::is_confidential(key)) {
            true => "this value".to_owned(),
            false => format!("`{}`", shown(value)),
        }
    }

    /// Returns the place of a value that is a literal, not computed and not part of another value.
    fn literal(&self, path: &[Segment]) -> Option<Span> {
        let place = (self.locate)(path);
        (place.exact && !self.files.text(place.value).contains("{{")).then_some(place.value)
    }

    fn value(&mut self, schema: &InputSchema, value: Term, path: &mut Vec<Segment>) -> Term {
        if value == Term::Null {
            let may_be_null =
                schema.default.as_ref().is_some_and(Node::is_null) || schema.kind == InputType::Any;
            if !may_be_null {
                let message = format!("`{}` must be {}", show_path(path), article(schema.kind));
                self.say(Code::WrongType, path, message, "found null");
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
                let message = format!("`{}` is a secret and must not be in a file", show_path(path));
                let span = (self.locate)(path).value;
                let diagnostic = self.say(Code::LiteralSecret, path, message, "secret in plain text");
                diagnostic.help.push(Help {
                    text: "refer to the secret with `\"{{ secret('NAME').KEY }}\"`, and rotate it".to_owned(),
                    edit: None,
                });
                // A reference takes its place, so that the readers of the input cause no further errors.
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
                    let label = format!("expected a value such as {}", examples(kind));
                    self.say(Code::WrongUnit, path, message, label);
                }
                read
            }
            (InputType::Duration | InputType::Size, Term::Number(n)) => {
                let message = format!("`{}` must have a unit", show_path(path));
                let literal = self.literal(path);
                let diagnostic = self.say(Code::WrongUnit, path, message, "missing unit");
                let help = format!("add a unit, as in {}", examples(kind));
                // The unit that the module uses itself is the most likely one.
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
                let message = format!("`{}` must be {}", show_path(path), article(kind));
                let literal = self.literal(path);
                // The literal text, because the versions `1.0` and `1` differ.
                let written = literal.map(|span| self.files.text(span).to_owned());
                let found = match &value {
                    // Without quotes, `1.0` is an integer, which the user does not see.
                    Term::Number(_) if kind == InputType::String => "a number",
                    value => value.kind(),
                };
                let diagnostic = self.say(Code::WrongType, path, message, format!("found {found}"));
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
        // A key that is present but misspelled is not reported as missing.
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
                        "unknown key `{}` in `{}`",
                        shown(&key),
                        show_path(&path[..path.len() - 1])
                    );
                    let place = (self.locate)(path);
                    let diagnostic = Diagnostic::new(Code::UnknownKey, message)
                        .at(place.key, "")
                        .also(self.declared, "declared here");
                    self.diagnostics
                        .push(match terrace_catalog::nearest(&key, names.iter().copied()) {
                            Some(name) if place.exact => {
                                diagnostic.replace(place.key, name, did_you_mean(name))
                            }
                            Some(name) => diagnostic.help(did_you_mean(name)),
                            None => diagnostic.note(those("the only key is", "the keys are", names)),
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
                let outer = &path[..path.len() - 1];
                let map = format!("`{}`", show_path(outer));
                let diagnostic = missing_key(&name.value, &map, (self.locate)(outer).key);
                self.diagnostics
                    .push(diagnostic.also(self.declared, "declared here"));
            } else {
                out.push((name.value.clone(), Term::Null));
            }
            path.pop();
        }
        Term::Map(out.into())
    }
}

/// Returns the help for a string that is not valid even in quotes.
fn form(schema: &InputSchema, text: &str) -> Option<String> {
    if let Some(allowed) = &schema.allowed {
        let words = || allowed.iter().filter_map(Node::as_str);
        return (!words().any(|word| word == text)).then(|| format!("write {}", one_of(words())));
    }
    let pattern = &schema.pattern.as_ref()?.value;
    let regex = regex_lite::Regex::new(pattern).ok()?;
    (!regex.is_match(text)).then(|| format!("write a string that matches `{pattern}`"))
}

/// Returns the name of a type with its article.
fn article(kind: InputType) -> String {
    match kind {
        InputType::String => "a string".to_owned(),
        InputType::Integer => "an integer".to_owned(),
        InputType::Array => "a list".to_owned(),
        InputType::Object => "a map".to_owned(),
        InputType::Any => "any value".to_owned(),
        InputType::Percent => "a percentage".to_owned(),
        kind => format!("a {}", kind.as_str()),
    }
}

/// Returns an example value in YAML.
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

/// Describes a value: its type, examples with a unit, and its purpose.
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

/// Returns example values of a type with a unit.
fn examples(kind: InputType) -> &'static str {
    match kind {
        InputType::Duration => "`30s`, `24h` or `90d`",
        InputType::Size => "`128Mi`, `500Gi` or `10GB`",
        InputType::Quantity => "`500m`, `2` or `4Gi`",
        _ => "`70%` or `70`",
    }
}
