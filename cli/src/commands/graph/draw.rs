//! Writes a drawing in the languages of Mermaid and Graphviz.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Drawing, Key};

impl Drawing {
    /// Writes the drawing for Mermaid, which Markdown viewers render.
    pub(crate) fn mermaid(&self) -> String {
        let ids = self.ids();
        let mut out = format!("---\ntitle: {}\n---\nflowchart LR\n", self.title);
        for (number, (group, boxes)) in self.groups.iter().enumerate() {
            let _ = writeln!(out, "  subgraph g{number}[\"{}\"]", mermaid_text(group));
            for (key, label) in boxes {
                let _ = writeln!(out, "    {}[\"{}\"]", ids[key], mermaid_text(label));
            }
            out.push_str("  end\n");
        }
        let id = |key: &Key| match &self.whole {
            Some(whole) if whole == key => Some("g0"),
            _ => ids.get(key).map(String::as_str),
        };
        for ((from, to), labels) in &self.arrows {
            let (Some(from), Some(to)) = (id(from), id(to)) else {
                continue;
            };
            let _ = match shown(labels) {
                Some(label) => writeln!(out, "  {from} -->|\"{}\"| {to}", mermaid_text(&label)),
                None => writeln!(out, "  {from} --> {to}"),
            };
        }
        out
    }

    /// Writes the drawing in DOT, for Graphviz.
    pub(crate) fn dot(&self) -> String {
        let ids = self.ids();
        let mut out = format!(
            "digraph {} {{\n  rankdir=LR\n  node [shape=box]\n",
            quoted(&self.title)
        );
        let is_whole = |key: &Key| self.whole.as_ref() == Some(key);
        if self
            .arrows
            .keys()
            .any(|(from, to)| is_whole(from) || is_whole(to))
        {
            out.push_str("  compound=true\n");
        }
        for (number, (group, boxes)) in self.groups.iter().enumerate() {
            let _ = writeln!(out, "  subgraph cluster_{number} {{\n    label={}", quoted(group));
            for (key, label) in boxes {
                let _ = writeln!(out, "    {} [label={}]", ids[key], quoted(label));
            }
            out.push_str("  }\n");
        }
        // DOT has no arrows to groups. The arrow ends at a box of the group, and `ltail` or `lhead` cuts it at the border.
        let id = |key: &Key| {
            if is_whole(key) {
                Some("n0")
            } else {
                ids.get(key).map(String::as_str)
            }
        };
        for ((from, to), labels) in &self.arrows {
            let (Some(tail), Some(head)) = (id(from), id(to)) else {
                continue;
            };
            let label = shown(labels).map(|label| format!("label={}", quoted(&label)));
            let tail_group = is_whole(from).then(|| "ltail=cluster_0".to_owned());
            let head_group = is_whole(to).then(|| "lhead=cluster_0".to_owned());
            let attributes: Vec<String> = [label, tail_group, head_group].into_iter().flatten().collect();
            let _ = match attributes.as_slice() {
                [] => writeln!(out, "  {tail} -> {head}"),
                attributes => writeln!(out, "  {tail} -> {head} [{}]", attributes.join(" ")),
            };
        }
        out.push_str("}\n");
        out
    }

    /// Returns a short ID for each box.
    fn ids(&self) -> BTreeMap<&Key, String> {
        let keys = self.groups.iter().flat_map(|(_, boxes)| boxes.keys());
        keys.enumerate()
            .map(|(number, key)| (key, format!("n{number}")))
            .collect()
    }
}

/// Joins the labels of one arrow, up to three. Returns `None` if there are none.
fn shown(labels: &BTreeSet<String>) -> Option<String> {
    const SHOWN: usize = 3;
    let labels: Vec<&str> = labels
        .iter()
        .map(String::as_str)
        .filter(|label| !label.is_empty())
        .collect();
    match labels.len() {
        0 => None,
        1..=SHOWN => Some(labels.join(", ")),
        many => Some(format!(
            "{}, {} more",
            labels[..SHOWN - 1].join(", "),
            many - SHOWN + 1
        )),
    }
}

fn mermaid_text(text: &str) -> String {
    text.replace('"', "#quot;").replace('\n', "<br/>")
}

fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}
