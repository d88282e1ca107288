//! Packs the provider schemas of CloudFormation that cfn-lint ships.

use std::path::Path;

use serde_json::{Map, Value};
use terrace_catalog::Facts;
use terrace_catalog::node::{Node, NodeId};
use terrace_catalog::store::Packer;

use super::attributes::Attributes;
use super::build::{Builder, Style, strings};
use super::read_json;

/// The approximate number of bytes to unpack for one type.
const CHUNK: usize = 24 * 1024;

/// Packs the file from the directory `cfnlint/data/schemas`. Uses the types of us-east-1, which has all of them.
pub(super) fn pack(directory: &Path) -> Result<Vec<u8>, String> {
    let types = read_json(&directory.join("providers/us-east-1.json"))?;
    let attributes = Attributes::read(&directory.join("../../schema/_getatts.py"))?;
    let mut packer = Packer::new(CHUNK);
    let mut names: Vec<(&String, &Value)> = types.as_object().into_iter().flatten().collect();
    names.sort_by_key(|(name, _)| *name);
    for (name, file) in names {
        let file = file
            .as_str()
            .ok_or_else(|| format!("{name}: not the name of a file"))?;
        let schema = read_json(&directory.join("resources").join(format!("{file}.json")))?;
        add(&mut packer, name, &schema, &attributes)?;
    }
    Ok(packer.finish())
}

fn add(packer: &mut Packer, name: &str, schema: &Value, attributes: &Attributes) -> Result<(), String> {
    let object = schema
        .as_object()
        .ok_or_else(|| format!("{name}: not an object"))?;
    let mut builder = Builder::new(Style::CloudFormation, schema);
    let mut root_schema = builder.node(object);
    // The root schema has no type of its own.
    root_schema.types = terrace_catalog::node::types::MAP;
    let mut root = builder.nodes.len() as NodeId;
    builder.nodes.push(root_schema);
    let mut facts = facts(object);
    facts.attributes = attributes.of(name, schema, &facts.read_only);
    for path in &facts.read_only {
        let settable = [&facts.create_only, &facts.write_only]
            .iter()
            .any(|list| list.contains(path));
        if !settable {
            mark_read_only(&mut builder, root, path);
        }
    }
    let nodes = builder.reachable(&mut [&mut root]);
    packer.section(&[name.to_owned()], &nodes, |writer| {
        Facts {
            root,
            ..facts.clone()
        }
        .write(writer);
    });
    Ok(())
}

/// Marks the last field of a path as read-only. Copies the nodes along the path, because other fields may share them.
fn mark_read_only(builder: &mut Builder<'_>, root: NodeId, path: &str) {
    let steps: Vec<&str> = path.split('/').collect();
    let mut id = root;
    for (index, step) in steps.iter().enumerate() {
        let is_last = index + 1 == steps.len();
        let node: Node<'_> = builder.nodes[id as usize].clone();
        let next = match *step {
            "*" => node.items,
            name => node
                .field(name)
                .filter(|field| !is_last || !field.required)
                .map(|field| field.node),
        };
        let Some(next) = next else { return };
        if is_last {
            if *step == "*" {
                return;
            }
            for field in builder.nodes[id as usize]
                .fields
                .iter_mut()
                .filter(|field| field.name == *step)
            {
                field.read_only = true;
            }
            return;
        }
        let copy = builder.nodes.len() as NodeId;
        let target = builder.nodes[next as usize].clone();
        builder.nodes.push(target);
        let node = &mut builder.nodes[id as usize];
        match *step {
            "*" => node.items = Some(copy),
            name => {
                for field in node.fields.iter_mut().filter(|field| field.name == name) {
                    field.node = copy;
                }
            }
        }
        id = copy;
    }
}

fn facts(object: &Map<String, Value>) -> Facts<String> {
    let paths = |key: &str| -> Vec<String> {
        let paths = strings(object.get(key))
            .into_iter()
            .filter_map(|path| path.strip_prefix("/properties/"));
        // Some paths are pointers into the schema, with `properties` and `items` in them.
        let plain = |path: &str| {
            path.split('/')
                .filter(|step| *step != "properties")
                .map(|step| if step == "items" { "*" } else { step })
                .collect::<Vec<_>>()
                .join("/")
        };
        paths.map(plain).collect()
    };
    Facts {
        root: 0,
        create_only: paths("createOnlyProperties"),
        conditional: paths("conditionalCreateOnlyProperties"),
        read_only: paths("readOnlyProperties"),
        write_only: paths("writeOnlyProperties"),
        identifier: paths("primaryIdentifier"),
        attributes: Vec::new(),
    }
}
