//! Finds lifecycle rules that remove files of Iceberg tables. The current snapshot of a table refers to files of any age.

use terrace_language::aws::s3_url;
use terrace_language::aws::s3_url::Location;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_pipelines::Targets as _;
use terrace_syntax::code::Code;

use super::{Rule, transitions};
use crate::{Finding, Subject};

/// A location of Iceberg files.
struct TableLocation<'a> {
    /// The table or database with this location.
    owner: &'a Resource,
    prefix: String,
}

/// Reports rules that expire or move objects of Iceberg tables by their age. Rules for noncurrent versions and incomplete uploads do no harm,
/// and a rule with tags applies only to objects that were tagged for it.
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
    let owners = known.into_iter().flat_map(|kind| targets.of_type(kind));
    let places: Vec<TableLocation<'_>> = owners.filter_map(|owner| place_in(subject, owner)).collect();
    for rule in harmful {
        let prefix = rule.at(&["Prefix"]).and_then(Term::as_str).unwrap_or_default();
        let meet = |place: &&TableLocation<'_>| {
            place.prefix.starts_with(prefix) || prefix.starts_with(&place.prefix)
        };
        let Some(place) = places.iter().find(meet) else {
            continue;
        };
        let (path, what) = match moves_by_age(rule) {
            _ if rule.has("ExpirationInDays") => ("ExpirationInDays", "expires files by age".to_owned()),
            _ if rule.expires() => ("ExpirationDate", "expires files on a date".to_owned()),
            Some(class) => ("Transitions", format!("moves files to {class} by age")),
            None => continue,
        };
        let path: &[&str] = if rule.has(path) { &[path] } else { &["Transition"] };
        let address = &place.owner.address;
        let needs = match place.owner.kind.cloudformation() {
            Some("AWS::Glue::Table") => format!("the Iceberg table `{address}` uses"),
            _ => format!("Iceberg tables in `{address}` use"),
        };
        findings.push(
            rule.finding(
                Code::IcebergLifecycle,
                path,
                format!("this rule {what}, but {needs} files of any age"),
            )
            .help("remove this action, or limit the rule to a `Prefix` without tables; delete rows in the table instead, and let an `AWS::Glue::TableOptimizer` expire snapshots and remove orphan files"),
        );
    }
}

/// Returns the class that a rule moves objects to by their age. `INTELLIGENT_TIERING` depends on their use.
fn moves_by_age<'a>(rule: &Rule<'a>) -> Option<&'a str> {
    let moves = transitions::moves(rule);
    let by_age = moves.iter().find(|to| to.class != "INTELLIGENT_TIERING")?;
    Some(by_age.class)
}

/// Returns the location in the bucket of an Iceberg table or database.
fn place_in<'a>(subject: &Subject<'_>, owner: &'a Resource) -> Option<TableLocation<'a>> {
    let body = &owner.body;
    let location = match owner.kind.cloudformation()? {
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
            let found = subject.graph.follow(owner.instance, reference)?;
            subject.graph.resources[found].address == subject.resource.address
        }
        name => subject.resource.body.get("BucketName") == Some(name),
    };
    same.then_some(TableLocation { owner, prefix })
}
