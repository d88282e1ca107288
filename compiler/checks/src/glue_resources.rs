//! Checks Glue jobs and tables.

use terrace_artifact::Segment;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// The valid capacities of a Python shell job.
const SHELL_CAPACITIES: [&str; 2] = ["0.0625", "1"];

/// Reports capacity settings that AWS rejects. cfn-lint does not find them.
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
            (true, _) => {
                "`MaxCapacity` cannot be combined with `WorkerType` and `NumberOfWorkers`".to_owned()
            }
            (false, Some(version)) => {
                format!("`MaxCapacity` is not supported with Glue {version}")
            }
            (false, None) => "`MaxCapacity` is not supported with the default `GlueVersion`".to_owned(),
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
        let message = format!("the capacity of a Python shell job must be 0.0625 or 1, not {capacity}");
        findings.push(
            Finding::new(Code::GlueCapacity, &["MaxCapacity"], message)
                .help("write `MaxCapacity: 1`; for more capacity, use a Spark job (`glueetl`) with workers"),
        );
    }
    if body.get("ExecutionClass").and_then(Term::as_str) == Some("FLEX") && command != "glueetl" {
        let message = "`FLEX` is supported only for Spark jobs (`glueetl`)";
        findings.push(Finding::new(Code::GlueCapacity, &["ExecutionClass"], message));
    }
}

/// Reports duplicate columns. Partition keys are columns, too, and column names are not case-sensitive in Hive.
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
                    3 => (format!("duplicate column `{name}`"), "remove one of the two"),
                    _ => (
                        format!("`{name}` is a column and a partition key"),
                        "remove the column: a partition key is already a column",
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
