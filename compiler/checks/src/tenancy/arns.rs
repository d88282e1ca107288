//! Policies of a tenant that name a resource of another tenant by its ARN.
//!
//! A tenant cannot refer to a resource of another tenant, but it could write the name out. A literal ARN in a policy gives access as a
//! grant does, and a bucket with `granted_only` would admit the role because a policy of the stack names the bucket.

use foldhash::{HashMap, HashMapExt};
use terrace_artifact::{Segment, Text};
use terrace_graph::connect::Graph;
use terrace_graph::lower::Lowered;
use terrace_graph::targets::cloudformation::attributes::name_property;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::super::keys::glob;
use super::super::{Finding, Subject};
use super::tenant_of;

/// Types that hold policies.
const POLICIES: [&str; 9] = [
    "AWS::IAM::GroupPolicy",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::IAM::RolePolicy",
    "AWS::IAM::UserPolicy",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
];

/// The names of the tenants' resources, by service.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// The tenant that a name belongs to; `None` if several tenants have a resource of the name.
    owners: HashMap<(&'static str, &'a str), Option<&'a str>>,
}

impl<'a> Names<'a> {
    /// Collects the names of an environment.
    pub(super) fn new(graph: &'a Graph<'a>, bodies: &'a [Lowered]) -> Names<'a> {
        let mut owners = HashMap::new();
        for (at, resource) in graph.resources.iter().enumerate() {
            let named = resource.kind.cloudformation().and_then(|type_name| {
                let service = service(type_name)?;
                let property = name_property(type_name, terrace_catalog::cloudformation(type_name)?)?;
                Some((service, bodies[at].body(resource).get(property)?.as_str()?))
            });
            let tenant = tenant_of(&graph.instances[resource.instance]);
            if let (Some(named), Some(tenant)) = (named, tenant) {
                let owner = owners.entry(named).or_insert(Some(tenant));
                *owner = owner.filter(|first| *first == tenant);
            }
        }
        Names { owners }
    }

    /// Returns the name in an ARN that belongs to another tenant, and that tenant.
    fn foreign(&self, tenant: &str, arn: &str) -> Option<(Text, &'a str)> {
        // `${AWS::Partition}` has colons of its own.
        let arn = arn.replace("${AWS::", "${AWS.");
        let mut parts = arn.splitn(6, ':').skip(2);
        let (service, resource) = (parts.next()?, parts.nth(2)?);
        // A bucket is followed by the key of an object; elsewhere the name may follow the kind of the resource.
        let pieces = if service == "s3" { 1 } else { 2 };
        let pieces = resource.split(['/', ':']).take(pieces);
        pieces.filter(|piece| *piece != "*").find_map(|piece| {
            if !piece.contains('*') {
                let other = self.owners.get(&(service, piece)).copied().flatten();
                return other
                    .filter(|owner| *owner != tenant)
                    .map(|owner| (piece.into(), owner));
            }
            let matching = self.owners.iter().filter_map(|((of, name), owner)| {
                let other = owner.filter(|owner| *owner != tenant)?;
                (*of == service && glob(piece, name)).then_some((*name, other))
            });
            // The map has no order, and a message must not depend on it.
            matching.min().map(|(name, other)| (name.into(), other))
        })
    }
}

/// Returns the service of a type, as ARNs name it. Tables of the Glue catalog are omitted, because their names are unique only in a database.
fn service(type_name: &str) -> Option<&'static str> {
    match type_name.split("::").nth(1)? {
        "DynamoDB" => Some("dynamodb"),
        "Glue" if type_name != "AWS::Glue::Table" => Some("glue"),
        "Kinesis" => Some("kinesis"),
        "KinesisFirehose" => Some("firehose"),
        "Lambda" => Some("lambda"),
        "S3" => Some("s3"),
        "SNS" => Some("sns"),
        "SQS" => Some("sqs"),
        _ => None,
    }
}

/// Reports the resources of other tenants in a policy that the tenant wrote. A grant of the platform may bring two tenants together.
pub(super) fn policy(subject: &Subject<'_>, tenant: &str, findings: &mut Vec<Finding>) {
    let type_name = subject.resource.kind.cloudformation().unwrap_or_default();
    if POLICIES.contains(&type_name) && !subject.is_made() {
        search(subject, tenant, subject.body, &mut Vec::new(), findings);
    }
}

fn search(
    subject: &Subject<'_>,
    tenant: &str,
    term: &Term,
    path: &mut Vec<Segment>,
    findings: &mut Vec<Finding>,
) {
    match term {
        Term::Map(entries) => {
            for (key, value) in entries.iter() {
                path.push(Segment::Key(key.clone()));
                search(subject, tenant, value, path, findings);
                path.pop();
            }
        }
        Term::List(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push(Segment::Index(at));
                search(subject, tenant, item, path, findings);
                path.pop();
            }
        }
        Term::String(text) if text.starts_with("arn:") => {
            let Some((name, other)) = subject.tenancy.names.foreign(tenant, text) else {
                return;
            };
            let address = &subject.resource.address;
            let message = format!("`{address}` refers to `{name}`, which belongs to tenant `{other}`");
            findings.push(
                Finding::new(Code::TenantIsolation, &[], message)
                    .below(path.iter().cloned())
                    .help("declare a grant in a component of the platform (without `tenants`)"),
            );
        }
        _ => {}
    }
}
