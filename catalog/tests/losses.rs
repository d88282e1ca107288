//! The table of changes that lose data matches the schemas, and covers every property that decides how long data is kept.

use std::collections::BTreeSet;

use terrace_catalog::node::{Node, NodeId, flags};
use terrace_catalog::{
    DataClass, cloudformation, data_of_type, kinds, kubernetes, loss_line_count, loss_lines, types,
};

/// Collects the nodes that a value may be validated against.
fn alternatives(nodes: &[Node<'static>], id: NodeId, seen: &mut BTreeSet<NodeId>) {
    if !seen.insert(id) {
        return;
    }
    let Some(rules) = &nodes[id as usize].rules else {
        return;
    };
    let branches = rules
        .condition
        .iter()
        .flat_map(|(_, then, other)| [*then, *other])
        .flatten();
    let all = rules
        .all
        .iter()
        .chain(&rules.any)
        .chain(&rules.one)
        .copied()
        .chain(branches);
    for next in all.collect::<Vec<_>>() {
        alternatives(nodes, next, seen);
    }
}

fn leads_somewhere(nodes: &[Node<'static>], id: NodeId, steps: &[&str]) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return true;
    };
    let mut seen = BTreeSet::new();
    alternatives(nodes, id, &mut seen);
    seen.into_iter().any(|id| {
        let node = &nodes[id as usize];
        if node.is(flags::ANY) {
            return true;
        }
        let next = if step.starts_with('*') {
            node.items
        } else {
            node.field(step).map(|field| field.node).or(node.values)
        };
        let is_free = node.fields.is_empty() && node.is(flags::OPEN);
        is_free || next.is_some_and(|next| leads_somewhere(nodes, next, rest))
    })
}

#[test]
fn every_line_names_a_property_that_exists() {
    let lines: Vec<_> = loss_lines().collect();
    assert_eq!(lines.len(), loss_line_count(), "a line cannot be read");
    let mut seen = BTreeSet::new();
    for line in lines.iter().filter(|line| line.name != "*") {
        assert!(
            seen.insert((line.name, line.path)),
            "{} {} twice",
            line.name,
            line.path
        );
        let own_words = [
            "columns",
            "s3-lifecycle",
            "ecr-lifecycle",
            "aoss-lifecycle",
            "kafka",
            "schema",
        ];
        let word = line.rule.split(' ').next().unwrap();
        assert_eq!(
            line.what.is_empty(),
            own_words.contains(&word),
            "{} {}",
            line.name,
            line.path
        );
        let conditions = line.rule.split(' ').filter_map(|word| word.strip_prefix("if="));
        let conditions = conditions.map(|text| text.split('=').next().unwrap());
        for path in std::iter::once(line.path)
            .chain(conditions)
            .filter(|path| !path.is_empty())
        {
            let steps: Vec<&str> = path.split('/').collect();
            if line.name.contains("::") {
                let known = cloudformation(line.name).unwrap_or_else(|| panic!("no type {}", line.name));
                let (nodes, root) = known.nodes();
                assert!(
                    leads_somewhere(nodes, root, &steps),
                    "{} has no {path}",
                    line.name
                );
                continue;
            }
            let (group, kind) = line.name.split_once('/').unwrap();
            let of_group =
                |version: &str| version.split_once('/').map_or("core", |(group, _)| group) == group;
            for (version, name) in kinds().filter(|(version, name)| *name == kind && of_group(version)) {
                let (nodes, root) = kubernetes(version, name).unwrap().nodes();
                assert!(
                    leads_somewhere(nodes, root, &steps),
                    "{version} {name} has no {path}"
                );
            }
        }
    }
}

/// The words in the names of properties that decide how long data is kept, or whether it can be restored.
const KEEPING: [&str; 13] = [
    "retention",
    "expir",
    "backup",
    "snapshot",
    "protect",
    "ttl",
    "timetolive",
    "version",
    "lifecycle",
    "days",
    "delet",
    "recovery",
    "pointintime",
];

#[derive(Default)]
struct Survey {
    open: Vec<String>,
}

impl Survey {
    fn visit(
        &mut self,
        name: &str,
        nodes: &[Node<'static>],
        id: NodeId,
        path: &mut Vec<String>,
        fixed: &[&str],
    ) {
        if path.len() > 9 {
            return;
        }
        let mut seen = BTreeSet::new();
        alternatives(nodes, id, &mut seen);
        for id in seen {
            let node = &nodes[id as usize];
            for field in &node.fields {
                path.push(field.name.to_owned());
                let joined = path.join("/");
                let below = |known: &&str| joined == **known || joined.starts_with(&format!("{known}/"));
                if !field.read_only && !fixed.iter().any(below) {
                    let lower = field.name.to_ascii_lowercase();
                    if KEEPING.iter().any(|word| lower.contains(word)) && !is_decided(name, &joined) {
                        self.open.push(format!("{name}\t{joined}"));
                    }
                    self.visit(name, nodes, field.node, path, fixed);
                }
                path.pop();
            }
            if let Some(items) = node.items {
                path.push("*".to_owned());
                self.visit(name, nodes, items, path, fixed);
                path.pop();
            }
        }
    }
}

/// Returns whether the table has a line for a property, for one that contains it, or for one in it.
fn is_decided(name: &str, path: &str) -> bool {
    loss_lines().any(|line| {
        if line.name == "*" {
            let last = path.rsplit('/').next().unwrap_or_default();
            return match line.path.strip_prefix('*') {
                Some(end) => last.ends_with(end),
                None => last == line.path,
            };
        }
        let plain = |step: &str| {
            if step.starts_with('*') {
                "*".to_owned()
            } else {
                step.to_owned()
            }
        };
        let known: Vec<String> = line.path.split('/').map(plain).collect();
        let steps: Vec<&str> = path.split('/').collect();
        let common = known
            .iter()
            .zip(&steps)
            .take_while(|(known, step)| known == step)
            .count();
        line.name == name && (common == known.len() || common == steps.len())
    })
}

#[test]
fn every_retention_property_has_a_line() {
    let mut survey = Survey::default();
    for name in types().filter(|name| data_of_type(name).class == DataClass::Data) {
        let known = cloudformation(name).unwrap();
        let (nodes, root) = known.nodes();
        let fixed: Vec<&str> = known
            .create_only()
            .iter()
            .chain(known.read_only())
            .copied()
            .collect();
        survey.visit(name, nodes, root, &mut Vec::new(), &fixed);
    }
    survey.open.sort();
    survey.open.dedup();
    assert!(
        survey.open.is_empty(),
        "decide these in losses.tsv:\n{}",
        survey.open.join("\n")
    );
}
