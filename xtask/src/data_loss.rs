//! `cargo xtask data-loss`: writes `docs/data-loss.md` from the catalog's tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use terrace_catalog::{DataClass, Line, classes, loss_lines, supports_snapshot};

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(other) = arguments.first() {
        return Err(format!("`{other}` is not an argument of `data-loss`"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/data-loss.md");
    std::fs::write(&path, page()).map_err(|error| format!("{}: {error}", path.display()))
}

const INTRODUCTION: &str = "\
# Approvals for data, identities and protection

<!-- Written by `cargo xtask data-loss` from `catalog/data`. Change the tables there, not this page. -->

This page lists the changes that Terrace makes only with an approval. The plan marks such a change. `apply` and `destroy` refuse it with exit code 4, also
when they run a saved plan. `--approve ADDRESS` allows it for one resource. There are three kinds of such changes:

| plan | meaning | cause |
|---|---|---|
| `[LOSES DATA]` | data is deleted, or is no longer protected | a resource that holds data is deleted or replaced, or one of its properties changes in the direction that loses data |
| `data would be retained but no longer managed` | the resource stays in the account or the cluster, outside of every stack | a resource that holds data leaves the stack or is replaced, and its `DeletionPolicy` or `UpdateReplacePolicy` retains it |
| `[LOSES IDENTITY]` | a new resource does not have the address, credential or acceptance that other systems use | a resource whose identity the service generates is deleted or replaced and is not retained |

The type and the live state of a resource determine whether a change needs an approval:

- A resource holds data if its type or kind is in the tables below, or if its module declares `holds_data: true`. A type that Terrace does not know is treated
  as holding data. An object of an unknown kind holds data if its `spec` requests storage.
- `holds_data: false` removes the guard. If the live resource holds data, that change needs an approval, once. Terrace accepts the mark on a live resource
  only if the last release contains the same mark, or if the last change set of the stack proves that Terrace wrote its template. A mark that another user adds or removes has no effect.
- An absent property has its default value. Removing a property changes it to the default.
- A value that is known only after apply cannot be compared during plan. The plan shows a note and requires no approval. `apply` compares again when the
  value is known, and stops before a write that would lose data without an approval.
- A change in the other direction needs no approval: longer retention, more backups, protection that is enabled, columns that are added or widened.

Without a `deletion_policy`, Terrace deploys every CloudFormation resource that holds data with `DeletionPolicy: Retain` and `UpdateReplacePolicy: Retain`.
CloudFormation supports `Snapshot` for the types marked with * in the first table. For every other type, `deletion_policy: Snapshot` is a compile error.
";

/// Composes the whole page.
fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let is_type = |name: &str| name.contains("::");
    let mut tables = |class: DataClass, property: &str, what: &str, remark: &str| {
        for (title, types) in [("CloudFormation types", true), ("Kubernetes kinds", false)] {
            let rows = classes().filter(|(name, entry)| entry.data.class == class && is_type(name) == types);
            table(&mut page, &format!("{title} {property}"), what, rows);
        }
        page.push_str(remark);
    };
    tables(
        DataClass::Data,
        "that hold data",
        "data that a delete loses",
        "\nA StatefulSet, a Prometheus or an Alertmanager holds data only if it has volume claim templates. Its PersistentVolumeClaims stay when it is deleted, \
         unless its retention policy contains `whenDeleted: Delete`. The disk of a PersistentVolume with the policy `Retain` stays as well.\n",
    );
    tables(
        DataClass::Identity,
        "with an identity that other systems use",
        "identity that other systems use",
        "",
    );
    protection(&mut page);
    in_place(&mut page, "CloudFormation", is_type);
    in_place(&mut page, "Kubernetes", |name| !is_type(name));
    harmless(&mut page);
    page
}

fn table(
    page: &mut String,
    title: &str,
    what: &str,
    rows: impl Iterator<Item = (&'static str, terrace_catalog::Entry)>,
) {
    let _ = writeln!(page, "\n## {title}\n\n| | {what} |\n|---|---|");
    for (name, entry) in rows {
        let star = if supports_snapshot(name) { " *" } else { "" };
        let _ = writeln!(page, "| {}{star} | {} |", shown(name), entry.data.reason);
    }
}

/// Formats a type or kind as users write it: `core/Secret` is `Secret`.
fn shown(name: &str) -> String {
    format!("`{}`", name.strip_prefix("core/").unwrap_or(name))
}

fn protection(page: &mut String) {
    page.push_str("\n## Types and kinds that protect other resources\n\nThese resources hold no data, and the resources that they protect stay. Deleting one of them needs an approval.\n\n| | after it is deleted |\n|---|---|\n");
    for line in loss_lines().filter(|line| words(line)[0] == "deleted") {
        let _ = writeln!(page, "| {} | {} |", shown(line.name), line.what);
    }
}

fn in_place(page: &mut String, title: &str, belongs: impl Fn(&str) -> bool) {
    let _ = writeln!(
        page,
        "\n## Changes of {title} resources that lose data in place\n\n| property | loses data when | default | effect |\n|---|---|---|---|"
    );
    let mut last = "";
    for line in loss_lines().filter(|line| line.name != "*" && belongs(line.name)) {
        let words = words(&line);
        if matches!(words[0], "deleted" | "harmless") {
            continue;
        }
        if line.name != last {
            last = line.name;
            let _ = writeln!(page, "| **{}** | | | |", shown(line.name));
        }
        let (when, happens) = (when(&words, &line), happens(words[0], line.what));
        let path = line.path.replace('/', ".");
        let _ = writeln!(page, "| `{path}` | {when} | {} | {happens} |", default(&line));
    }
}

/// Returns the rule without its options.
fn words(line: &Line) -> Vec<&'static str> {
    line.rule.split(' ').filter(|word| !word.contains('=')).collect()
}

fn option<'l>(line: &'l Line, name: &str) -> Option<&'l str> {
    line.rule.split(' ').find_map(|word| word.strip_prefix(name))
}

fn default(line: &Line) -> String {
    let unit = option(line, "unit=").filter(|unit| !unit.is_empty());
    match option(line, "default=") {
        None => String::new(),
        Some("?") => "the service decides".to_owned(),
        Some("forever") => "no limit".to_owned(),
        Some(value) if option(line, "forever=") == Some(value) => format!("`{value}`, no limit"),
        Some(value) => match unit {
            Some(unit) if value.chars().all(|c| c.is_ascii_digit()) => format!("{value} {unit}"),
            _ => format!("`{value}`"),
        },
    }
}

fn when(words: &[&str], line: &Line) -> String {
    let limit =
        option(line, "forever=").map_or(String::new(), |value| format!(" (`{value}` means no limit)"));
    let text = match words {
        ["shrinks"] => format!("the value decreases{limit}"),
        ["grows"] => "the value increases".to_owned(),
        ["order", values @ ..] => {
            let names: Vec<String> = values
                .iter()
                .filter(|word| **word != ">")
                .map(|word| if *word == "*" { "any other value".to_owned() } else { format!("`{word}`") })
                .collect();
            match names.as_slice() {
                [before, after] => format!("the value changes from {before} to {after}"),
                names => format!("the value changes to one that is later in this order: {}", names.join(", ")),
            }
        }
        ["removed"] => "the property is removed".to_owned(),
        ["changed"] => "the value changes".to_owned(),
        ["fewer", ..] => "an item is removed".to_owned(),
        ["more", ..] => "an item is added".to_owned(),
        ["columns", ..] => "a column is removed or gets a narrower type".to_owned(),
        ["s3-lifecycle" | "ecr-lifecycle" | "aoss-lifecycle"] => {
            "a rule deletes objects sooner than every previous rule: fewer days, a wider filter, a new rule".to_owned()
        }
        ["kafka"] => "`retention.ms`, `retention.bytes` or a similar setting decreases, or `cleanup.policy` becomes `delete`".to_owned(),
        ["schema"] => "a field is removed from the schema".to_owned(),
        _ => "unknown: the plan shows a note when the property changes, and requires no approval".to_owned(),
    };
    let conditions: Vec<String> = line
        .rule
        .split(' ')
        .filter_map(|word| word.strip_prefix("if="))
        .map(|condition| match condition.split_once('=') {
            Some((path, value)) => format!("`{}` is `{value}`", path.replace('/', ".")),
            None => format!("`{}` exists", condition.replace('/', ".")),
        })
        .collect();
    match conditions.as_slice() {
        [] => text,
        conditions => format!("{text}, where {}", conditions.join(" and ")),
    }
}

fn happens<'l>(word: &str, what: &'l str) -> &'l str {
    match word {
        "columns" => "its values can no longer be read",
        "s3-lifecycle" => "objects are deleted sooner",
        "ecr-lifecycle" => "images are deleted sooner",
        "aoss-lifecycle" => "documents are deleted sooner",
        "kafka" => "older records are deleted",
        "schema" => "the field is dropped from every object when it is next written",
        _ => what,
    }
}

fn harmless(page: &mut String) {
    page.push_str("\n## Related properties that lose nothing\n\nA test requires a decision for every property of a data type whose name contains retention, expiry, backup, snapshot, protection, version, lifecycle or days. The decision is in the tables above or here.\n\n| property | reason |\n|---|---|\n");
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in loss_lines().filter(|line| words(line)[0] == "harmless") {
        let name = match line.name {
            "*" => format!("`{}` of any type", line.path),
            name => format!("{} `{}`", shown(name), line.path.replace('/', ".")),
        };
        reasons.entry(line.what).or_default().push(name);
    }
    for (why, names) in reasons {
        let _ = writeln!(page, "| {} | {why} |", names.join(", "));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_what_this_command_writes() {
        let written = include_str!("../../docs/data-loss.md");
        assert!(super::page() == written, "run `cargo xtask data-loss`");
    }
}
