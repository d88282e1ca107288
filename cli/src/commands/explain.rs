//! `terrace explain`: describes a diagnostic code, or shows the origin of a resource or a field.

use std::fmt::Write as _;
use std::path::PathBuf;

use terrace_artifact::{
    Address, Artifact, Body, Bundle, Location, Origin, Segment, Value, show_path, to_json_compact, to_yaml,
};
use terrace_compiler::code::Code;
use terrace_compiler::provenance::{InputSource, Provenance};
use terrace_compiler::source::{Files, Span};

use crate::arguments::is_component;
use crate::console::Console;
use crate::problem::{Problem, Status};
use crate::stack::{Stack, listed};
use terrace_diagnostics::shown_path;

/// The stack and the environment that contain an address.
pub(crate) struct ExplainQuery<'a> {
    pub(crate) stack: &'a PathBuf,
    pub(crate) environment: Option<&'a String>,
    pub(crate) set: &'a [String],
}

pub(crate) fn run(
    what: &str,
    field: Option<&str>,
    place: &ExplainQuery<'_>,
    console: &Console,
) -> Result<Status, Problem> {
    if what.contains('/') {
        return address(what, field, place, console);
    }
    // Accept a code as it appears in a message: `error[unknown-tier]`.
    let slug = what
        .split_once('[')
        .and_then(|(_, rest)| rest.strip_suffix(']'))
        .unwrap_or(what);
    let code = Code::from_slug(slug).ok_or_else(|| unknown_code(slug, place.environment))?;
    if field.is_some() || place.environment.is_some() {
        return Err(Problem::new(format!(
            "`{what}` is a diagnostic code; codes have no fields and no environment"
        )));
    }
    console.data(&format!("{}\n", code.page().trim_end()))?;
    Ok(Status::Done)
}

fn unknown_code(what: &str, environment: Option<&String>) -> Problem {
    let problem = Problem::new(format!("`{what}` is not a diagnostic code or an address"));
    if environment.is_some() {
        return problem.help(format!(
            "for a component, include its tenant: `finance/{what}` or `platform/{what}`"
        ));
    }
    match terrace_catalog::nearest(what, Code::ALL.iter().map(|code| code.slug())) {
        Some(nearest) => problem.help(format!("did you mean the code `{nearest}`?")),
        None => problem
            .help("a code appears in the brackets of a message: `error[unknown-tier]`")
            .help("an address has three parts: `finance/web/deployment`"),
    }
}

/// Shows where a resource is declared, which component declares it, and the value of a field.
fn address(
    what: &str,
    field: Option<&str>,
    place: &ExplainQuery<'_>,
    console: &Console,
) -> Result<Status, Problem> {
    if field.is_none() && is_component(what) {
        return component(what, place, console);
    }
    let address: Address = what
        .parse()
        .map_err(|error| Problem::new(format!("`{what}` is not an address")).help(format!("{error}")))?;
    let stack = Stack::open(place.stack)?;
    let path = field.map(parse_path).unwrap_or_default();
    let ((bundle, provenance), compiled) =
        stack.environment_with(place.environment, place.set, console, |emission| {
            let provenance = emission.provenance(&address, &path);
            (emission.into_bundle(), provenance)
        })?;
    let bundled = bundled(&bundle);
    let resource = bundled
        .iter()
        .find(|bundled| *bundled.address == address)
        .ok_or_else(|| unknown_address(&address, &bundled, &bundle.environment.name))?;
    let place = |location: &Location| {
        format!(
            "{}:{}:{}",
            shown_path(&stack.folder, &location.file),
            location.line,
            location.column
        )
    };
    let mut page = format!("{address}: {}\n", resource.kind);
    let _ = writeln!(
        page,
        "  component declared at {}",
        place(&resource.origin.component)
    );
    let _ = writeln!(
        page,
        "  resource declared at {}",
        place(&resource.origin.resource)
    );
    let _ = writeln!(
        page,
        "  deployed as {} to {}",
        resource.artifact.id, resource.artifact.target
    );
    if resource.holds_data {
        page.push_str("  holds data: deleting or replacing it requires `--approve` with this address\n");
    }
    if let Some(field) = field {
        let value = path
            .iter()
            .try_fold(resource.body, step)
            .ok_or_else(|| unknown_field(&address, field, &path, resource.body))?;
        let _ = writeln!(page, "\n{field}:{}", shown(value));
        if let Some(provenance) = &provenance {
            let place = |span: Span| place(&compiled.files.location(span));
            page.push_str(&origin_of(provenance, &compiled.files, &place));
        }
    }
    console.data(&page)?;
    Ok(Status::Done)
}

/// Formats a value: short values on the line of the field, long values on the lines below.
fn shown(value: &Value) -> String {
    const LONG: usize = 100;
    let line = to_json_compact(value);
    if line.len() <= LONG || !matches!(value, Value::Map(_) | Value::List(_)) {
        return format!(" {line}");
    }
    let lines = to_yaml(value);
    lines.lines().map(|line| format!("\n    {line}")).collect()
}

/// Lists the resources of a component.
fn component(what: &str, place: &ExplainQuery<'_>, console: &Console) -> Result<Status, Problem> {
    let stack = Stack::open(place.stack)?;
    let (bundle, _) = stack.environment(place.environment, place.set, console)?;
    let bundled = bundled(&bundle);
    let of: Vec<&BundledResource<'_>> = bundled
        .iter()
        .filter(|bundled| bundled.address.is_of(what))
        .collect();
    if of.is_empty() {
        let environment = &bundle.environment.name;
        let problem = Problem::new(format!(
            "`{what}` has no resources in environment `{environment}`"
        ));
        return Err(problem.help(components_of(what, &bundled)));
    }
    let mut page = format!(
        "{what} has {}\n",
        if of.len() == 1 {
            "one resource:"
        } else {
            "these resources:"
        }
    );
    for bundled in of {
        let _ = writeln!(page, "  {}: {}", bundled.address, bundled.kind);
    }
    console.data(&page)?;
    Ok(Status::Done)
}

/// Builds the error for a field that does not exist. The help lists the fields at the level where the path ends.
fn unknown_field(address: &Address, field: &str, path: &[Segment], body: &Value) -> Problem {
    let problem = Problem::new(format!("`{address}` has no field `{field}`"));
    let (mut value, mut at) = (body, 0);
    while let Some(inner) = path.get(at).and_then(|segment| step(value, segment)) {
        (value, at) = (inner, at + 1);
    }
    let (above, rest) = path.split_at(at);
    let below = |key: &str| {
        let mut path = above.to_vec();
        path.push(Segment::Key(key.into()));
        show_path(&path)
    };
    let whole = show_path(above);
    match (value, rest.first()) {
        (Value::Map(entries), asked) => {
            let keys = || entries.iter().map(|(key, _)| &**key);
            if let Some(Segment::Key(asked)) = asked
                && let Some(nearest) = terrace_catalog::nearest(asked, keys())
            {
                return problem.help(format!("did you mean `{}`?", below(nearest)));
            }
            let fields: Vec<String> = keys().map(|key| format!("`{key}`")).collect();
            problem.help(match above {
                [] => format!("the top-level fields are {}", listed(&fields)),
                _ => format!("`{whole}` has {}", listed(&fields)),
            })
        }
        (Value::List(items), asked) => problem.help(match (named(items, asked), items.len()) {
            (Some(index), _) => format!("list items are selected by index: use `{whole}[{index}]`"),
            (None, 0) => format!("`{whole}` is empty"),
            (None, 1) => format!("`{whole}` has one item: `{whole}[0]`"),
            (None, count) => format!(
                "`{whole}` has {count} items: `{whole}[0]` to `{whole}[{}]`",
                count - 1
            ),
        }),
        _ => problem.help(format!("`{whole}` has no fields")),
    }
}

fn unknown_address(address: &Address, bundled: &[BundledResource<'_>], environment: &str) -> Problem {
    let problem = Problem::new(format!(
        "no resource in environment `{environment}` has the address `{address}`"
    ));
    let names: Vec<String> = bundled
        .iter()
        .map(|bundled| bundled.address.to_string())
        .collect();
    if let Some(nearest) = terrace_catalog::nearest(&address.to_string(), names.iter().map(String::as_str)) {
        return problem.help(format!("did you mean `{nearest}`?"));
    }
    let component = format!("{}/{}", address.owner, address.component);
    let of = |name: &&String| {
        name.strip_prefix(&component)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let own: Vec<String> = names.iter().filter(of).map(|name| format!("`{name}`")).collect();
    if !own.is_empty() {
        return problem.help(format!("`{component}` has {}", listed(&own)));
    }
    problem.help(components_of(&component, bundled))
}

/// Suggests the component with the most similar name, or lists all components.
fn components_of(named: &str, bundled: &[BundledResource<'_>]) -> String {
    let mut components: Vec<String> = bundled
        .iter()
        .map(|bundled| format!("{}/{}", bundled.address.owner, bundled.address.component))
        .collect();
    components.sort();
    components.dedup();
    if let Some(nearest) = terrace_catalog::nearest(named, components.iter().map(String::as_str)) {
        return format!("did you mean `{nearest}`?");
    }
    let quoted: Vec<String> = components.iter().map(|name| format!("`{name}`")).collect();
    format!("the components are {}", listed(&quoted))
}

/// Describes where the value of a field comes from.
fn origin_of(provenance: &Provenance, files: &Files, place: &dyn Fn(Span) -> String) -> String {
    let how = if provenance.patched { "patched" } else { "set" };
    let mut page = format!("  {how} at {}\n", place(provenance.place));
    if let Some(written) = provenance.written {
        let line = files.text(written).lines().next().unwrap_or_default();
        let _ = writeln!(page, "    {}", line.trim());
    }
    for input in &provenance.inputs {
        let _ = write!(page, "\n  inputs.{}: ", input.path.join("."));
        for (at, setting) in input.settings.iter().enumerate() {
            let value = to_json_compact(&setting.value);
            let displaced = if at > 0 { "    overrides " } else { "" };
            let place = match setting.by {
                InputSource::CommandLine => String::new(),
                _ => format!(" at {}", place(setting.place)),
            };
            let _ = writeln!(page, "{displaced}{value}, from {}{place}", setting.by);
        }
    }
    page
}

/// A resource of a bundle.
struct BundledResource<'a> {
    address: &'a Address,
    kind: &'a str,
    origin: &'a Origin,
    artifact: &'a Artifact,
    body: &'a Value,
    holds_data: bool,
}

fn bundled(bundle: &Bundle) -> Vec<BundledResource<'_>> {
    let mut bundled = Vec::new();
    for artifact in &bundle.artifacts {
        match &artifact.body {
            Body::Object(object) => bundled.push(BundledResource {
                address: &object.address,
                kind: &object.kind,
                origin: &object.origin,
                artifact,
                body: &object.manifest,
                holds_data: object.holds_data,
            }),
            Body::Stack(template) => {
                for (id, member) in &template.members {
                    let body = template.template.at(&["Resources", id]);
                    bundled.extend(body.map(|body| BundledResource {
                        address: &member.address,
                        kind: &member.resource_type,
                        origin: &member.origin,
                        artifact,
                        body: body.get("Properties").unwrap_or(body),
                        holds_data: member.holds_data,
                    }));
                }
            }
        }
    }
    bundled
}

/// Parses a path such as `spec.containers[0].image` or `metadata.labels["a.b/c"]`.
fn parse_path(text: &str) -> Vec<Segment> {
    let mut path = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = inside.split_once(']').unwrap_or((inside, ""));
            path.push(match step.parse() {
                Ok(index) => Segment::Index(index),
                Err(_) => Segment::Key(step.trim_matches(['"', '\'']).into()),
            });
            rest = after;
        } else {
            let text = rest.strip_prefix('.').unwrap_or(rest);
            let end = text.find(['.', '[']).unwrap_or(text.len());
            path.push(Segment::Key(text[..end].into()));
            rest = &text[end..];
        }
    }
    path
}

/// Returns the index of the list item that a path selects by name instead of by index.
fn named(items: &[Value], segment: Option<&Segment>) -> Option<usize> {
    let Some(Segment::Key(selector)) = segment else {
        return None;
    };
    let name = selector
        .rsplit_once('=')
        .map_or(selector.as_str(), |(_, name)| name);
    let name = name.trim_matches(['"', '\'']);
    let is = |item: &Value| {
        let names = ["name", "Name", "Id", "Sid", "Key"].into_iter();
        names
            .filter_map(|key| item.get(key)?.as_str())
            .any(|item_name| item_name == name)
    };
    items.iter().position(is)
}

fn step<'a>(value: &'a Value, segment: &Segment) -> Option<&'a Value> {
    match (value, segment) {
        (Value::Map(_), Segment::Key(key)) => value.get(key),
        (Value::List(items), Segment::Index(index)) => items.get(*index),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use terrace_artifact::Map;

    use super::*;

    #[test]
    fn finds_list_items_by_name() {
        let item = |key: &str, name: &str| Value::Map([(key, name)].into_iter().collect());
        let items = [item("name", "web"), item("Key", "owner")];
        for asked in ["web", "name=web", "name=\"web\""] {
            assert_eq!(
                named(&items, Some(&Segment::Key(asked.into()))),
                Some(0),
                "{asked}"
            );
        }
        assert_eq!(named(&items, Some(&Segment::Key("owner".into()))), Some(1));
        assert_eq!(named(&items, Some(&Segment::Index(0))), None);
    }

    #[test]
    fn shows_long_values_below_the_field() {
        assert_eq!(shown(&Value::from("a".repeat(200))).lines().count(), 1);
        let short: Map = [("a", 1_i64)].into_iter().collect();
        assert_eq!(shown(&short.into()), " {\"a\":1}");
        let long: Map = [("a", "b".repeat(60)), ("c", "d".repeat(60))]
            .into_iter()
            .collect();
        assert!(shown(&long.into()).starts_with("\n    a: bbb"));
    }

    #[test]
    fn parses_paths_in_the_shown_form() {
        for path in [
            "spec.replicas",
            "spec.containers[0].image",
            "metadata.labels[\"a.b/c\"].d",
        ] {
            assert_eq!(show_path(&parse_path(path)), path);
        }
        for odd in ["", ".", "[", "]", "a..b", "a[", "a[0", "[\"]"] {
            let _ = parse_path(odd);
        }
    }
}
