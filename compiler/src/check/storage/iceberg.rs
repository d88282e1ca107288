//! Lifecycle rules that take away files which Iceberg tables still need: the current snapshot of a table refers to files of any age.

use super::{Rule, transitions};
use crate::check::{Finding, Subject};
use crate::code::Code;
use crate::pipeline::Targets as _;
use crate::resource::Resource;
use crate::s3_url::{self, Location};
use crate::term::Term;

/// A place where Iceberg keeps files.
struct Place<'a> {
    /// The table or database that says so.
    told_by: &'a Resource,
    prefix: String,
}

/// Finds rules that expire or move objects of Iceberg tables by their age. What concerns noncurrent versions and uploads that never
/// ended destroys nothing, and a rule with tags is about objects that somebody marked.
pub(super) fn check(subject: &Subject<'_>, rules: &[Rule<'_>], findings: &mut Vec<Finding>) {
    let harmful = rules
        .iter()
        .filter(|rule| rule.enabled() && !rule.has("TagFilters"))
        .filter(|rule| rule.expires() || moves_by_age(rule).is_some());
    let harmful: Vec<&Rule<'_>> = harmful.collect();
    if harmful.is_empty() {
        return;
    }
    let targets = subject.graph.targets(subject.resource.instance);
    let known = ["AWS::Glue::Table", "AWS::Glue::Database"];
    let told = known.into_iter().flat_map(|kind| targets.of_type(kind));
    let places: Vec<Place<'_>> = told.filter_map(|told_by| place_in(subject, told_by)).collect();
    for rule in harmful {
        let prefix = rule.at(&["Prefix"]).and_then(Term::as_str).unwrap_or_default();
        let meet = |place: &&Place<'_>| place.prefix.starts_with(prefix) || prefix.starts_with(&place.prefix);
        let Some(place) = places.iter().find(meet) else {
            continue;
        };
        let (path, what) = match moves_by_age(rule) {
            _ if rule.has("ExpirationInDays") => ("ExpirationInDays", "expire by their age".to_owned()),
            _ if rule.expires() => ("ExpirationDate", "expire on a date".to_owned()),
            Some(class) => ("Transitions", format!("move to {class} by their age")),
            None => continue,
        };
        let path: &[&str] = if rule.has(path) { &[path] } else { &["Transition"] };
        let address = &place.told_by.address;
        findings.push(
            rule.finding(
                Code::IcebergLifecycle,
                path,
                format!("objects of Iceberg tables {what}, and `{address}` needs files of any age"),
            )
            .help("remove it, or give the rule a `Prefix` without tables; delete rows in the table, and let an `AWS::Glue::TableOptimizer` expire snapshots and remove orphan files"),
        );
    }
}

/// The class that a rule moves objects to by their age; `INTELLIGENT_TIERING` goes by how they are used.
fn moves_by_age<'a>(rule: &Rule<'a>) -> Option<&'a str> {
    let moves = transitions::moves(rule);
    let by_age = moves.iter().find(|to| to.class != "INTELLIGENT_TIERING")?;
    Some(by_age.class)
}

/// The place in the bucket where a table or a database of Iceberg keeps its files.
fn place_in<'a>(subject: &Subject<'_>, told_by: &'a Resource) -> Option<Place<'a>> {
    let body = &told_by.body;
    let location = match told_by.kind.cloudformation()? {
        "AWS::Glue::Database" => {
            let input = body.get("DatabaseInput")?;
            let format = input.at(&["Parameters", "format"])?.as_str()?;
            format
                .eq_ignore_ascii_case("iceberg")
                .then(|| input.get("LocationUri"))??
        }
        _ => {
            let kind = body
                .at(&["TableInput", "Parameters", "table_type"])
                .and_then(Term::as_str);
            let iceberg = body.at(&["OpenTableFormatInput", "IcebergInput"]);
            if iceberg.is_none() && !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("iceberg")) {
                return None;
            }
            let of_input = iceberg.and_then(|iceberg| iceberg.at(&["IcebergTableInput", "Location"]));
            of_input.or_else(|| body.at(&["TableInput", "StorageDescriptor", "Location"]))?
        }
    };
    let Location { bucket, prefix } = s3_url::split(location)?;
    let same = match &bucket {
        Term::Reference(reference) => {
            let found = subject.graph.follow(told_by.instance, reference)?;
            subject.graph.resources[found].address == subject.resource.address
        }
        name => subject.resource.body.get("BucketName") == Some(name),
    };
    same.then_some(Place { told_by, prefix })
}
