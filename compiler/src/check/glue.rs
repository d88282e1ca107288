//! Glue jobs and tables.

use terrace_artifact::Segment;

use super::{Finding, Subject};
use crate::code::Code;
use crate::term::Term;

/// The capacities that a Python shell job may have.
const SHELL_CAPACITIES: [&str; 2] = ["0.0625", "1"];

/// What AWS refuses about capacity; cfn-lint does not find it.
pub(super) fn job(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let body = subject.body;
    let version = body.get("GlueVersion").map(Term::shown);
    let command = body
        .at(&["Command", "Name"])
        .and_then(Term::as_str)
        .unwrap_or_default();
    let shell = command == "pythonshell";
    let workers = body.get("WorkerType").is_some() || body.get("NumberOfWorkers").is_some();
    let old = version
        .as_deref()
        .is_some_and(|version| matches!(version, "0.9" | "1.0"));
    if let Some(capacity) = body.get("MaxCapacity")
        && !shell
        && (workers || !old)
    {
        let message = match (workers, &version) {
            (true, _) => "`MaxCapacity` does not go with `WorkerType` and `NumberOfWorkers`".to_owned(),
            (false, Some(version)) => {
                format!("`MaxCapacity` is for Glue 1.0 and before, and this is {version}")
            }
            (false, None) => {
                "`MaxCapacity` is for Glue 1.0 and before, and without `GlueVersion` a job is newer"
                    .to_owned()
            }
        };
        let help = format!(
            "write `WorkerType: G.1X` and `NumberOfWorkers: {}`",
            capacity.shown()
        );
        findings.push(Finding::new(Code::GlueCapacity, &["MaxCapacity"], message).help(help));
    }
    if let (true, Some(Term::Number(capacity))) = (shell, body.get("MaxCapacity"))
        && !SHELL_CAPACITIES.contains(&capacity.to_string().as_str())
    {
        let message = format!("a Python shell job has a capacity of 0.0625 or 1, not {capacity}");
        findings.push(
            Finding::new(Code::GlueCapacity, &["MaxCapacity"], message)
                .help("write `MaxCapacity: 1`; for more, make it a Spark job (`glueetl`) with workers"),
        );
    }
    if body.get("ExecutionClass").and_then(Term::as_str) == Some("FLEX") && command != "glueetl" {
        let message = "`FLEX` is for Spark jobs (`glueetl`)";
        findings.push(Finding::new(Code::GlueCapacity, &["ExecutionClass"], message));
    }
}

/// A column may be in a table once, partition keys counted: Hive's names do not differ by case.
pub(super) fn table(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let input = subject.body.get("TableInput");
    let columns = input.and_then(|input| input.at(&["StorageDescriptor", "Columns"]));
    let keys = input.and_then(|input| input.get("PartitionKeys"));
    let name = |term: &Term| term.get("Name").and_then(Term::as_str).map(str::to_lowercase);
    let mut seen: Vec<String> = Vec::new();
    for (list, path) in [
        (columns, &["TableInput", "StorageDescriptor", "Columns"][..]),
        (keys, &["TableInput", "PartitionKeys"]),
    ] {
        for (index, column) in list.map_or(&[][..], Term::items).iter().enumerate() {
            let Some(name) = name(column) else { continue };
            if seen.contains(&name) {
                let (message, help) = match path.len() {
                    3 => (
                        format!("the column `{name}` is here twice"),
                        "remove one of the two",
                    ),
                    _ => (
                        format!("`{name}` is a column and a partition key"),
                        "remove the column: a partition key is a column already",
                    ),
                };
                findings.push(
                    Finding::new(Code::DuplicateColumn, path, message)
                        .below([Segment::Index(index), Segment::Key("Name".into())])
                        .help(help),
                );
            }
            seen.push(name);
        }
    }
}
