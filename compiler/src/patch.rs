//! Patches: the escape hatch onto what a module makes.

use terrace_artifact::{Segment, Text, show_path};

use crate::body::{Body, Expansion};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, listed, shown};
use crate::document::{Component, Spanned};
use crate::expression::Scope;
use crate::resource::Resource;
use crate::source::Files;
use crate::term::Term;

/// Lays patches over what a module made. A field that is not there has to say `$add`.
pub(crate) fn patch(
    patches: &[(Spanned<Text>, crate::node::Node)],
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
        let (name, key) = match target.value.split_once('[') {
            Some((name, key)) => (name, Some(key.trim_end_matches(']').trim_matches(['"', '\'']))),
            None => (target.value.as_str(), None),
        };
        let mut expansion = Expansion::of_values();
        let value = Body::read(node, files, diagnostics).expand(&stack_scope, &mut expansion);
        for failure in expansion.failures {
            diagnostics.push(failure.diagnostic());
        }
        let names: Vec<Text> = resources
            .iter()
            .map(|resource| resource.address.resource.clone())
            .collect();
        let hit = |resource: &&mut Resource| {
            resource.address.resource == name
                && key.is_none_or(|key| resource.address.key.as_deref() == Some(key))
        };
        let mut any = false;
        for resource in resources.iter_mut().filter(hit) {
            any = true;
            let mut path = Vec::new();
            patch_term(&mut resource.body, &value, node, &mut path, diagnostics);
        }
        if !any {
            let mut known: Vec<&str> = names.iter().map(Text::as_str).collect();
            known.dedup();
            diagnostics.push(
                Diagnostic::new(
                    Code::PatchWithoutTarget,
                    format!(
                        "component `{}` has no resource `{}`",
                        component.name.value,
                        shown(&target.value)
                    ),
                )
                .at(target.span, "patches nothing")
                .nearest(target.span, name, known.iter().copied())
                .help(format!("its resources are {}", listed(&known))),
            );
        }
    }
}

fn patch_term(
    target: &mut Term,
    patch: &Term,
    node: &crate::node::Node,
    path: &mut Vec<Segment>,
    diagnostics: &mut Diagnostics,
) {
    let Term::Map(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if let Some(added) = patch.get("$add") {
        *target = added.clone();
        return;
    }
    // A list is patched by the name of its items: `containers: {app: {image: …}}`.
    if let Term::List(items) = target {
        for (key, change) in changes {
            let place = node.get(key).unwrap_or(node);
            let named = |item: &&mut Term| {
                ["name", "Name", "Id", "Sid", "Key"]
                    .iter()
                    .any(|k| item.get(k).and_then(Term::as_str) == Some(key))
            };
            match items.iter_mut().find(named) {
                Some(item) => {
                    path.push(Segment::Key(key.clone()));
                    patch_term(item, change, place, path, diagnostics);
                    path.pop();
                }
                None => match change.get("$add") {
                    Some(added) => items.push(added.clone()),
                    None => no_such_field(key, place, path, diagnostics),
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
                    entries.retain(|(k, _)| k != key);
                }
            }
            (Some(field), change) => patch_term(field, change, place, path, diagnostics),
            (None, change) => match change.get("$add") {
                Some(added) => target.set(key.clone(), added.clone()),
                None => {
                    path.pop();
                    no_such_field(key, place, path, diagnostics);
                    path.push(Segment::Key(key.clone()));
                }
            },
        }
        path.pop();
    }
}

fn no_such_field(key: &str, node: &crate::node::Node, path: &[Segment], diagnostics: &mut Diagnostics) {
    let place = if path.is_empty() {
        "the resource".to_owned()
    } else {
        format!("`{}`", show_path(path))
    };
    diagnostics.push(
        Diagnostic::new(
            Code::PatchWithoutTarget,
            format!("{place} has no `{}` to patch", shown(key)),
        )
        .at(node.key, "hits nothing")
        .help(format!("to add it, write `{key}: {{$add: …}}`")),
    );
}
