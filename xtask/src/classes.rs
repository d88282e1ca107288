//! `cargo xtask classes`: brings `catalog/data/classes.tsv` up to date with the catalog.
//!
//! Lines of `hand` stay as they are. Lines of `schema` are written anew for every other type and kind, as long as its schema shows
//! nothing that needs a decision: a type with backups, retention, storage or encryption of its own, or one with an address or
//! secret that the service generates, has to be classified by a person.

use std::collections::BTreeMap;
use std::path::Path;

use terrace_catalog::node::{Node, NodeId};
use terrace_catalog::{ResourceType, cloudformation, kinds, types};

/// Parts of the names of properties that say that a resource stores something.
const STORES: [&str; 18] = [
    "Backup",
    "Snapshot",
    "Retention",
    "DeletionProtect",
    "TerminationProtect",
    "PointInTime",
    "TimeToLive",
    "Archiv",
    "Storage",
    "Volume",
    "Kms",
    "KMS",
    "Encryption",
    "SseSpec",
    "ServerSide",
    "DataDeletion",
    "Expir",
    "Expiry",
];

/// Ends of the names of generated properties that somebody may hold.
const HELD: [&str; 18] = [
    "Url",
    "URL",
    "Urls",
    "Endpoint",
    "Endpoints",
    "DomainName",
    "DnsName",
    "DNSName",
    "NameServers",
    "Secret",
    "Token",
    "PublicIp",
    "Address",
    "Addresses",
    "Password",
    "PrivateKey",
    "Hostname",
    "HostName",
];

/// Ends of the names of types that tie others together.
const TIES: [&str; 6] = [
    "Association",
    "Associations",
    "Attachment",
    "Membership",
    "Assignment",
    "Permission",
];

/// Ends of the names of properties that name another resource.
const NAMES: [&str; 7] = ["Id", "Ids", "Arn", "ARN", "Arns", "Name", "Identifier"];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(other) = arguments.first() {
        return Err(format!("`{other}` is not an argument of `classes`"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalog/data/classes.tsv");
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let table = update(&std::fs::read_to_string(&path).map_err(told)?)?;
    std::fs::write(&path, table).map_err(told)
}

/// The table with the lines of `schema` made anew. Fails with the types that a person has to classify.
fn update(table: &str) -> Result<String, String> {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for line in table.lines() {
        let mut columns = line.split('\t');
        if let (Some(name), Some("hand")) = (columns.next(), columns.nth(1)) {
            lines.insert(name.to_owned(), line.to_owned());
        }
    }
    let mut open = Vec::new();
    for name in types()
        .filter(|name| !lines.contains_key(*name))
        .collect::<Vec<_>>()
    {
        let Some(known) = cloudformation(name) else {
            continue;
        };
        match signals(known).as_slice() {
            [] => {
                lines.insert(name.to_owned(), line_of(known));
            }
            found => open.push(format!("{name}: {}", found.join(", "))),
        }
    }
    for (version, kind) in kinds() {
        let group = version.split_once('/').map_or("core", |(group, _)| group);
        let name = format!("{group}/{kind}");
        let line = || format!("{name}\tconfiguration\tschema\tis made again from its manifest");
        lines.entry(name.clone()).or_insert_with(line);
    }
    if !open.is_empty() {
        return Err(format!(
            "these types need a line of `hand` in classes.tsv:\n  {}",
            open.join("\n  ")
        ));
    }
    Ok(lines.into_values().map(|line| line + "\n").collect())
}

/// The properties that keep a schema from deciding the class of a type.
fn signals(known: &ResourceType) -> Vec<String> {
    let (nodes, root) = known.nodes();
    let read_only = known.read_only();
    let mut found = Vec::new();
    for (path, _) in settable(nodes, root, read_only) {
        let name = path.rsplit('/').next().unwrap_or_default();
        if STORES.iter().any(|word| name.contains(word)) {
            found.push(path);
        }
    }
    let held = read_only
        .iter()
        .filter(|path| HELD.iter().any(|end| path.ends_with(end)));
    found.extend(held.map(|path| (*path).to_owned()));
    found
}

/// The properties that can be given, to the second level, each with its node.
fn settable(nodes: &[Node<'static>], root: NodeId, read_only: &[&str]) -> Vec<(String, NodeId)> {
    let mut found = Vec::new();
    for field in &nodes[root as usize].fields {
        if read_only.contains(&field.name) {
            continue;
        }
        found.push((field.name.to_owned(), field.node));
        for inner in &nodes[field.node as usize].fields {
            let path = format!("{}/{}", field.name, inner.name);
            if !read_only.contains(&path.as_str()) {
                found.push((path, inner.node));
            }
        }
    }
    found
}

fn line_of(known: &ResourceType) -> String {
    let name = known.name();
    let mut required: Vec<&str> = known
        .required()
        .filter(|name| !known.read_only().contains(name))
        .collect();
    required.sort_by_key(|name| !NAMES.iter().any(|end| name.ends_with(end)));
    let (class, reason) = match required.as_slice() {
        [first, second, ..] if TIES.iter().any(|end| name.ends_with(end)) => (
            "none",
            format!("only ties together what `{first}` and `{second}` name"),
        ),
        _ => ("configuration", remade(known)),
    };
    format!("{name}\t{class}\tschema\t{reason}")
}

/// Under which identifier a new one is made.
fn remade(known: &ResourceType) -> String {
    let identifier = known.primary_identifier();
    let generated = identifier.iter().find(|path| known.read_only().contains(path));
    match (generated, identifier.last()) {
        (Some(path), _) => format!(
            "is made again from its properties, with a new `{}`",
            path.replace('/', ".")
        ),
        (None, Some(path)) => format!(
            "is made again from its properties, with the same `{}`",
            path.replace('/', ".")
        ),
        (None, None) => "is made again from its properties".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_what_this_command_writes() {
        let table = include_str!("../../catalog/data/classes.tsv");
        assert!(
            super::update(table).unwrap() == table,
            "run `cargo xtask classes`"
        );
    }
}
