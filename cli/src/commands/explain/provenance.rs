//! Where a field comes from: the line of the module that makes it, the inputs which that line reads, and for each input the
//! line that set it and those it displaced.

use std::fmt::Write as _;

use terrace_artifact::{Address, Segment, to_json_compact};
use terrace_compiler::diagnostic::Diagnostics;
use terrace_compiler::library;
use terrace_compiler::node::Node;
use terrace_compiler::source::{Files, Sources, Span};
use terrace_compiler::yaml;

use super::Known;
use crate::diagnostics::shown_path;
use crate::stack::Stack;

/// The documents of a stack as they were written. They have been compiled: what is wrong with one was told before.
struct Documents {
    nodes: Vec<Node>,
    files: Files,
}

/// What a field is looked for with.
pub(super) struct Question<'a> {
    pub(super) stack: &'a Stack,
    pub(super) environment: &'a str,
    pub(super) set: &'a [String],
    pub(super) field: &'a [Segment],
}

/// A value that an input was given, and the place; in order of precedence the last one counts.
struct Setting {
    by: String,
    place: Option<Span>,
    value: String,
}

/// The lines about a field; none where no line of a document makes it, but the compiler itself.
pub(super) fn of_field(resource: &Known<'_>, question: &Question<'_>) -> String {
    let declared = &resource.origin.resource;
    let documents = Documents::read(question.stack, &declared.file);
    let address = resource.address;
    let makers = documents.nodes.iter().filter(|node| {
        matches!(kind(node), "Module" | "Component")
            && *documents.files.location(node.span).file == *declared.file
            && node
                .get("resources")
                .is_some_and(|all| all.get(&address.resource).is_some())
    });
    // A file may have several documents: the one that begins last before the declaration.
    let mut before = makers.filter(|node| documents.files.location(node.span).line <= declared.line);
    let maker = before.next_back();
    let Some(made) = maker.and_then(|maker| maker.get("resources")?.get(&address.resource)) else {
        return String::new();
    };
    let body = made.get("properties").unwrap_or(made);
    let node = body.at(question.field);
    if node.span == body.span {
        return String::new();
    }
    let mut page = String::new();
    let _ = writeln!(page, "  made at {}", documents.place(question.stack, node.key));
    let text = documents.files.text(node.span);
    let _ = writeln!(page, "    {}", text.lines().next().unwrap_or_default().trim());
    for path in inputs(text) {
        let mut settings = documents.settings(address, &path, question);
        settings.extend(
            maker
                .filter(|maker| kind(maker) == "Module")
                .and_then(|maker| default(maker, &path)),
        );
        let mut settings = settings.into_iter();
        let Some(counts) = settings.next() else { continue };
        let _ = writeln!(
            page,
            "\n  inputs.{}: {}",
            path.join("."),
            documents.told(question.stack, &counts)
        );
        for displaced in settings {
            let _ = writeln!(
                page,
                "    instead of {}",
                documents.told(question.stack, &displaced)
            );
        }
    }
    page
}

impl Documents {
    fn read(stack: &Stack, declared: &str) -> Documents {
        let mut files = Files::default();
        let mut nodes = Vec::new();
        let mut said = Diagnostics::new();
        let listed = stack.sources.list("").unwrap_or_default();
        let mut paths: Vec<String> = listed.into_iter().filter(|path| is_document(path)).collect();
        if !paths.iter().any(|path| path == declared) {
            paths.push(declared.to_owned());
        }
        for path in paths {
            let own = path
                .strip_prefix("module:")
                .and_then(|rest| rest.split('/').next());
            match own.and_then(library::text) {
                Some(text) => nodes.extend(yaml::read(&path, text.as_bytes(), &mut files, &mut said)),
                None => {
                    if let Ok(bytes) = stack.sources.read(&path) {
                        nodes.extend(yaml::read(&path, &bytes, &mut files, &mut said));
                    }
                }
            }
        }
        Documents { nodes, files }
    }

    /// Every value that an input is given by the stack, the one that counts first.
    fn settings(&self, address: &Address, path: &[&str], question: &Question<'_>) -> Vec<Setting> {
        let component = address.component.as_str();
        let mut settings = Vec::new();
        for set in question.set.iter().rev() {
            if let Some((name, value)) = set.split_once('=')
                && name
                    .split('.')
                    .eq(std::iter::once(component).chain(path.iter().copied()))
            {
                settings.push(Setting {
                    by: "`--set`".to_owned(),
                    place: None,
                    value: value.to_owned(),
                });
            }
        }
        let mut add = |by: String, from: Option<&Node>, prefix: &[&str]| {
            let keys = prefix.iter().chain(path);
            let node = from.and_then(|node| keys.copied().try_fold(node, |node, key| node.get(key)));
            settings.extend(node.map(|node| Setting {
                by,
                place: Some(node.key),
                value: to_json_compact(&node.to_value()),
            }));
        };
        let environment = self.named("Environment", question.environment);
        let tenant = self.named("Tenant", &address.tenant);
        let place = format!("environment `{}`", question.environment);
        let for_tenant = ["overrides", "tenants", &address.tenant, component];
        add(
            format!("{place} for `{}`", address.tenant),
            environment,
            &for_tenant,
        );
        add(place, environment, &["overrides", component]);
        add(
            format!("tenant `{}`", address.tenant),
            tenant,
            &["overrides", component],
        );
        add(
            format!("component `{component}`"),
            self.named("Component", component),
            &["inputs"],
        );
        if let Some(tier) = tenant
            .and_then(|tenant| tenant.get("tier"))
            .and_then(Node::as_str)
        {
            let platform = self.nodes.iter().find(|node| kind(node) == "Platform");
            add(
                format!("tier `{tier}`"),
                platform,
                &["tiers", tier, "inputs", component],
            );
        }
        settings
    }

    fn named(&self, of: &str, name: &str) -> Option<&Node> {
        let name_of = |node: &Node| node.get("name").and_then(Node::as_str).map(str::to_owned);
        self.nodes
            .iter()
            .find(|node| kind(node) == of && name_of(node).as_deref() == Some(name))
    }

    fn told(&self, stack: &Stack, setting: &Setting) -> String {
        let place = setting
            .place
            .map_or(String::new(), |span| format!(" at {}", self.place(stack, span)));
        format!("{}, by {}{place}", setting.value, setting.by)
    }

    fn place(&self, stack: &Stack, span: Span) -> String {
        let at = self.files.location(span);
        format!(
            "{}:{}:{}",
            shown_path(&stack.folder, &at.file),
            at.line,
            at.column
        )
    }
}

fn is_document(path: &str) -> bool {
    let written = path.ends_with(".yaml") || path.ends_with(".yml");
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    written && !hidden && !path.starts_with("golden/") && !path.starts_with("out/")
}

fn kind(node: &Node) -> &str {
    node.get("kind").and_then(Node::as_str).unwrap_or_default()
}

/// The default that the module gives an input.
fn default(module: &Node, path: &[&str]) -> Option<Setting> {
    let mut keys = path.iter();
    let mut schema = module.get("inputs")?.get(keys.next()?)?;
    for key in keys {
        schema = schema
            .get("properties")
            .and_then(|all| all.get(key))
            .unwrap_or(schema);
    }
    let node = schema.get("default")?;
    Some(Setting {
        by: "the module's default".to_owned(),
        place: Some(node.key),
        value: to_json_compact(&node.to_value()),
    })
}

/// The inputs that an expression reads, as paths: `inputs.scheduler.replicas` is two keys.
fn inputs(text: &str) -> Vec<Vec<&str>> {
    let mut found: Vec<Vec<&str>> = Vec::new();
    for piece in text.split("inputs.").skip(1) {
        let end = piece
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
            .unwrap_or(piece.len());
        let path: Vec<&str> = piece[..end].split('.').filter(|key| !key.is_empty()).collect();
        if !path.is_empty() && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_names_its_inputs() {
        let text = "{{ inputs.min_replicas if not inputs.scaling.auto else inputs.min_replicas + 1 }}";
        assert_eq!(inputs(text), [vec!["min_replicas"], vec!["scaling", "auto"]]);
        assert!(inputs("{{ tenant.name }}").is_empty());
    }
}
