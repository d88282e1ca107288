//! Patches: changes to the resources that a module creates.

use terrace_artifact::{Address, Segment, Text, show_path};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, did_you_mean, shown, those};
use terrace_syntax::node::Node;
use terrace_syntax::source::Files;
use terrace_syntax::source::Spanned;

use crate::body::{Body, Expansion};
use crate::document::Component;
use crate::expression::Scope;
use crate::resource::Resource;
use crate::value::term::Term;

/// Applies patches to the resources of a module. A patch adds a field only with `$add`.
pub fn patch(
    patches: &[(Spanned<Text>, Node)],
    scope: &Scope<'_>,
    component: &Component,
    files: &Files,
    resources: &mut [Resource],
    diagnostics: &mut Diagnostics,
) {
    let stack_scope = Scope {
        local: false,
        ..*scope
    };
    for (target, node) in patches {
        let (name, key) = named(&target.value);
        let mut expansion = Expansion::of_values();
        let value = Body::read_patch(node, files, diagnostics).expand(&stack_scope, &mut expansion);
        for failure in expansion.failures {
            diagnostics.push(failure.diagnostic());
        }
        let names: Vec<Text> = resources
            .iter()
            .map(|resource| resource.address.resource.clone())
            .collect();
        let mut any = false;
        for resource in resources
            .iter_mut()
            .filter(|resource| hits(&target.value, &resource.address))
        {
            any = true;
            if let Some(problem) = resource.kind.language().check_patch(node, &resource.body, files) {
                diagnostics.push(problem);
                continue;
            }
            let mut path = Vec::new();
            patch_term(&mut resource.body, &value, node, &mut path, diagnostics);
        }
        if !any {
            let mut known: Vec<&str> = names.iter().map(Text::as_str).collect();
            known.dedup();
            let keys = resources
                .iter()
                .filter(|resource| resource.address.resource == name);
            let keys: Vec<&str> = keys
                .filter_map(|resource| resource.address.key.as_deref())
                .collect();
            if let (Some(key), false) = (key, keys.is_empty()) {
                diagnostics.push(no_such_key(target, name, key, &keys));
                continue;
            }
            diagnostics.push(
                Diagnostic::new(
                    Code::PatchWithoutTarget,
                    format!(
                        "component `{}` has no resource `{}`",
                        component.name.value,
                        shown(&target.value)
                    ),
                )
                .at(target.span, "")
                .nearest(target.span, name, known.iter().copied())
                .note(those("its only resource is", "its resources are", &known)),
            );
        }
    }
}

/// Reports a patch of a repeated resource whose key does not exist.
fn no_such_key(target: &Spanned<Text>, name: &str, key: &str, keys: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::new(
        Code::PatchWithoutTarget,
        format!("resource `{name}` has no key `{}`", shown(key)),
    )
    .at(target.span, "");
    let diagnostic = match terrace_catalog::nearest(key, keys.iter().copied()) {
        Some(nearest) => diagnostic.replace(
            target.span,
            format!("'{name}[\"{nearest}\"]'"),
            did_you_mean(nearest),
        ),
        None => diagnostic,
    };
    diagnostic.note(those("its only key is", "its keys are", keys))
}

/// Splits the target of a patch into the name of the resource and its key.
fn named(target: &str) -> (&str, Option<&str>) {
    match target.split_once('[') {
        Some((name, key)) => (name, Some(key.trim_end_matches(']').trim_matches(['"', '\'']))),
        None => (target, None),
    }
}

/// Returns whether a patch with this target applies to a resource.
pub fn hits(target: &str, address: &Address) -> bool {
    let (name, key) = named(target);
    address.resource == name && key.is_none_or(|key| address.key.as_deref() == Some(key))
}

fn patch_term(
    target: &mut Term,
    patch: &Term,
    node: &Node,
    path: &mut Vec<Segment>,
    diagnostics: &mut Diagnostics,
) {
    let Term::Map(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if let Some(added) = patch.get("$add") {
        diagnostics.push(there_already(added, node, path));
        return;
    }
    // A list is patched by the name of its items: `containers: {app: {image: …}}`.
    if let Term::List(items) = target {
        for (key, change) in changes {
            let place = node.get(key).unwrap_or(node);
            let named = |item: &&mut Term| {
                let is = |name: &&str| item.get(name).and_then(Term::as_str) == Some(key);
                NAMES.iter().any(is)
            };
            match items.iter_mut().find(named) {
                Some(item) => {
                    path.push(Segment::Key(key.clone()));
                    patch_term(item, change, place, path, diagnostics);
                    path.pop();
                }
                None => match change.get("$add") {
                    Some(added) => items.push(added.clone()),
                    None => no_such_item(key, place, path, items, diagnostics),
                },
            }
        }
        return;
    }
    for (key, change) in changes {
        let place = node.get(key).unwrap_or(node);
        path.push(Segment::Key(key.clone()));
        match (target.get_mut(key), change) {
            (Some(_), Term::Null) => {
                if let Term::Map(entries) = target {
                    entries.make_mut().retain(|(k, _)| k != key);
                }
            }
            (Some(field), change) => patch_term(field, change, place, path, diagnostics),
            (None, change) => match change.get("$add") {
                Some(added) => target.set(key.clone(), added.clone()),
                None => {
                    path.pop();
                    no_such_field(key, place, path, target, diagnostics);
                    path.push(Segment::Key(key.clone()));
                }
            },
        }
        path.pop();
    }
}

/// Reports `$add` of a field that exists: it would replace a value that the user does not see.
fn there_already(added: &Term, node: &Node, path: &[Segment]) -> Diagnostic {
    let place = show_path(path);
    let field = path.last().map_or(String::new(), |last| match last {
        Segment::Key(key) => key.to_string(),
        Segment::Index(at) => at.to_string(),
    });
    let diagnostic = Diagnostic::new(
        Code::PatchWithoutTarget,
        format!("`$add` cannot add `{place}`, which already exists"),
    )
    .at(node.key, "");
    match added {
        Term::Map(entries) => {
            let first = entries.first().map_or("…", |(key, _)| key.as_str());
            diagnostic.help(format!(
                "to add fields to it, write `$add` for each: `{field}: {{{first}: {{$add: …}}}}`"
            ))
        }
        _ => diagnostic.help(format!(
            "to change it, write the value without `$add`: `{field}: …`"
        )),
    }
}

const NAMES: [&str; 5] = ["name", "Name", "Id", "Sid", "Key"];

/// Returns the name that a patch uses for an item of a list.
fn name_of(item: &Term) -> Option<&str> {
    NAMES.iter().find_map(|key| item.get(key).and_then(Term::as_str))
}

fn no_such_field(key: &str, node: &Node, path: &[Segment], target: &Term, diagnostics: &mut Diagnostics) {
    let known = target.entries().iter().map(|(key, _)| key.as_str());
    hits_nothing("field", key, node, path, known, diagnostics);
}

fn no_such_item(key: &str, node: &Node, path: &[Segment], items: &[Term], diagnostics: &mut Diagnostics) {
    hits_nothing(
        "item",
        key,
        node,
        path,
        items.iter().filter_map(name_of),
        diagnostics,
    );
}

/// Reports a field or item of a patch that does not exist in its resource.
fn hits_nothing<'a>(
    what: &str,
    key: &str,
    node: &Node,
    path: &[Segment],
    known: impl Iterator<Item = &'a str>,
    diagnostics: &mut Diagnostics,
) {
    let place = if path.is_empty() {
        "the resource".to_owned()
    } else {
        format!("`{}`", show_path(path))
    };
    let message = format!("{place} has no {what} `{}`", shown(key));
    diagnostics.push(
        Diagnostic::new(Code::PatchWithoutTarget, message)
            .at(node.key, "")
            .nearest(node.key, key, known)
            .help(format!("to add it, write `{key}: {{$add: …}}`")),
    );
}
