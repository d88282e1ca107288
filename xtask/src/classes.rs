//! `cargo xtask classes`: updates `catalog/data/classes.tsv` from the catalog.
//!
//! Lines marked `hand` stay unchanged. For every other type and kind the command writes a line marked `schema`, if the schema
//! decides the class. A type must be classified by hand if it has backups, retention, storage or encryption, or if the
//! service generates an address or a secret for it.

use std::collections::BTreeMap;
use std::path::Path;

use terrace_catalog::node::{Node, NodeId};
use terrace_catalog::{ResourceType, cloudformation, kinds, types};

/// The words in property names that indicate stored data.
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

/// The suffixes of generated properties whose values others may depend on.
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

/// The suffixes of types that connect other resources.
const TIES: [&str; 6] = [
    "Association",
    "Associations",
    "Attachment",
    "Membership",
    "Assignment",
    "Permission",
];

/// The suffixes of properties that refer to another resource.
const NAMES: [&str; 7] = ["Id", "Ids", "Arn", "ARN", "Arns", "Name", "Identifier"];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(other) = arguments.first() {
        return Err(format!("`{other}` is not an argument of `classes`"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalog/data/classes.tsv");
    let describe = |error: std::io::Error| format!("{}: {error}", path.display());
    let table = update(&std::fs::read_to_string(&path).map_err(describe)?)?;
    std::fs::write(&path, table).map_err(describe)
}

/// Returns the table with new lines of `schema`. Fails with the types that must be classified by hand.
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
        let line = || format!("{name}\tconfiguration\tschema\tis created again from its manifest");
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

/// Returns the properties that prevent a decision by the schema.
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

/// Returns the properties that a template can set, to the second level, each with its node.
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
            format!("only connects the resources that `{first}` and `{second}` name"),
        ),
        _ => ("configuration", remade(known)),
    };
    format!("{name}\t{class}\tschema\t{reason}")
}

/// Describes the identifier of a resource that is created again.
fn remade(known: &ResourceType) -> String {
    let identifier = known.primary_identifier();
    let generated = identifier.iter().find(|path| known.read_only().contains(path));
    match (generated, identifier.last()) {
        (Some(path), _) => format!(
            "is created again from its properties, with a new `{}`",
            path.replace('/', ".")
        ),
        (None, Some(path)) => format!(
            "is created again from its properties, with the same `{}`",
            path.replace('/', ".")
        ),
        (None, None) => "is created again from its properties".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_up_to_date() {
        let table = include_str!("../../catalog/data/classes.tsv");
        assert!(
            super::update(table).unwrap() == table,
            "run `cargo xtask classes`"
        );
    }
}
