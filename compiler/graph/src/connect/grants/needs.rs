//! Permissions that a runner needs independent of its grants: a function in a VPC creates network interfaces, a crawler writes logs.
//!
//! AWS rejects the creation of some of these resources while their role lacks the permission. The permission is therefore in the role itself,
//! not in the policy for the grants, which is created later.

use std::collections::BTreeMap;

use terrace_artifact::Text;
use terrace_language::aws::actions;
use terrace_language::aws::arn::{arn, concat, glue_table_arns};
use terrace_language::aws::iam;
use terrace_language::aws::iam::{Condition, Policy};
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::source::Span;

use super::super::Graph;
use crate::connect::grants::{Granted, glue_catalog as catalog};
use crate::resolve::UseKind;

/// The permissions of a function in a VPC that AWS documents (`AWSLambdaVPCAccessExecutionRole`). They cannot be limited to resources.
const NETWORK_INTERFACES: &[&str] = &[
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
];

/// The actions of Glue in a VPC for a job or crawler with a connection (`AWSGlueServiceRole`).
const CONNECTION_NETWORK: &[&str] = &[
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcAttribute",
    "ec2:DescribeVpcEndpoints",
];

/// Adds the permissions to each role that its runners need.
pub(super) fn provide(graph: &mut Graph<'_>, granted: &BTreeMap<usize, Granted>) {
    let mut needed: Vec<(usize, Policy)> = Vec::new();
    for resource in &graph.resources {
        // A mapping uses the role of its function.
        let runner = function_of(graph, resource).unwrap_or(resource);
        for role in graph.roles_named_by(runner) {
            let Some(Granted { policy: granted, .. }) = granted.get(&role) else {
                continue;
            };
            let at = match needed.iter().position(|(known, _)| *known == role) {
                Some(at) => at,
                None => {
                    needed.push((role, Policy::default()));
                    needed.len() - 1
                }
            };
            of_runner(graph, resource, granted, &mut needed[at].1);
        }
    }
    for (role, policy) in needed {
        if !policy.is_empty() {
            add_inline(&mut graph.resources[role].body, policy);
        }
    }
}

/// Adds an inline policy to a role.
fn add_inline(role: &mut Term, policy: Policy) {
    let inline = policy.into_inline("runtime");
    match role.get_mut("Policies") {
        Some(Term::List(policies)) => policies.push(inline),
        // Policies that are not a list are an expression of the user and stay as they are.
        Some(_) => {}
        None => role.set("Policies", Term::List(vec![inline])),
    }
}

fn of_runner(graph: &Graph<'_>, runner: &Resource, granted: &Policy, policy: &mut Policy) {
    match runner.kind.cloudformation().unwrap_or_default() {
        "AWS::Lambda::Function" => of_function(graph, runner, granted, policy),
        "AWS::StepFunctions::StateMachine" => of_machine(graph, runner, policy),
        "AWS::Glue::Job" => of_job(runner, policy),
        "AWS::Glue::Crawler" => of_crawler(graph, runner, policy),
        "AWS::KinesisFirehose::DeliveryStream" => of_delivery_stream(graph, runner, policy),
        "AWS::Lambda::EventSourceMapping" => of_mapping(graph, runner, policy),
        _ => {}
    }
}

fn everything() -> [Term; 1] {
    ["*".into()]
}

fn of_function(graph: &Graph<'_>, function: &Resource, granted: &Policy, policy: &mut Policy) {
    let span = function.declared;
    of_logs(graph, function, granted, policy);
    if function.body.get("VpcConfig").is_some() {
        policy.allow("NetworkInterfaces", NETWORK_INTERFACES, everything());
    }
    if function
        .body
        .at(&["TracingConfig", "Mode"])
        .and_then(Term::as_str)
        == Some("Active")
    {
        let actions = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"];
        policy.allow("Trace", &actions, everything());
    }
    if let Some(key) = key_at(graph, function, &["KmsKeyArn"]) {
        let function_arn = arn(
            "lambda",
            ["function:".into(), name_or_any(function, "FunctionName")],
            span,
        );
        let own = Condition::new(
            "StringLike",
            "kms:EncryptionContext:aws:lambda:FunctionArn",
            vec![function_arn],
        );
        policy.allow_if("Variables", &["kms:Decrypt"], [key], vec![own]);
    }
}

/// Allows a function to write to its log group, and to create it if it is not a resource of the platform. Most modules grant this.
fn of_logs(graph: &Graph<'_>, function: &Resource, granted: &Policy, policy: &mut Policy) {
    let group = match function.body.at(&["LoggingConfig", "LogGroup"]) {
        Some(group) => group.clone(),
        None => concat(["/aws/lambda/".into(), name_or_any(function, "FunctionName")]),
    };
    let streams = log_streams(graph, function, &group);
    if granted.allows("logs:PutLogEvents", &streams) {
        return;
    }
    let is_declared = matches!(group, Term::Reference(_))
        || graph.resources.iter().any(|resource| {
            resource.kind.cloudformation() == Some("AWS::Logs::LogGroup")
                && resource.body.get("LogGroupName") == Some(&group)
        });
    if !is_declared {
        policy.allow("LogGroup", &["logs:CreateLogGroup"], [streams.clone()]);
    }
    policy.allow("FunctionLogs", actions::WRITE_LOGS, [streams]);
}

/// Returns the ARN of the log group of a resource, including its streams.
fn log_streams(graph: &Graph<'_>, resource: &Resource, group: &Term) -> Term {
    let span = resource.declared;
    let declared = match group {
        Term::Reference(reference) => graph.follow(resource.instance, reference),
        _ => None,
    };
    match declared {
        Some(at) => graph.resources[at].attribute("arn", span),
        None => arn("logs", ["log-group:".into(), group.clone(), ":*".into()], span),
    }
}

/// Returns the function of an event source mapping.
fn function_of<'g>(graph: &'g Graph<'_>, mapping: &Resource) -> Option<&'g Resource> {
    if mapping.kind.cloudformation() != Some("AWS::Lambda::EventSourceMapping") {
        return None;
    }
    match mapping.body.get("FunctionName")? {
        Term::Reference(reference) => {
            let at = graph.follow(mapping.instance, reference)?;
            Some(&graph.resources[at])
        }
        _ => None,
    }
}

/// Allows a mapping to list the bucket for failed batches, which Lambda requires in addition to writing.
fn of_mapping(graph: &Graph<'_>, mapping: &Resource, policy: &mut Policy) {
    let destination = mapping
        .body
        .at(&["DestinationConfig", "OnFailure", "Destination"]);
    let Some(Term::Reference(reference)) = destination else {
        return;
    };
    let bucket = graph
        .follow(mapping.instance, reference)
        .map(|at| &graph.resources[at])
        .filter(|target| target.kind.cloudformation() == Some("AWS::S3::Bucket"));
    if let Some(bucket) = bucket {
        let arn = bucket.attribute("arn", mapping.declared);
        policy.allow("FailedBatches", &["s3:ListBucket"], [arn]);
    }
}

fn of_machine(graph: &Graph<'_>, machine: &Resource, policy: &mut Policy) {
    // The role of a pipeline already has these permissions.
    if matches!(graph.uses[machine.instance].kind, UseKind::Pipeline(_)) {
        return;
    }
    let span = machine.declared;
    if machine.body.get("LoggingConfiguration").is_some() {
        policy.allow("DeliverLogs", actions::DELIVER_LOGS, everything());
    }
    if machine
        .body
        .at(&["TracingConfiguration", "Enabled"])
        .and_then(Term::as_bool)
        == Some(true)
    {
        policy.allow("Trace", actions::TRACE, everything());
    }
    if let Some(key) = key_at(graph, machine, &["EncryptionConfiguration", "KmsKeyId"]) {
        let name = name_or_any(machine, "StateMachineName");
        let machine_arn = arn("states", ["stateMachine:".into(), name], span);
        iam::allow_executions(policy, key.clone(), machine_arn);
        iam::allow_execution_logs(policy, key, span);
    }
}

fn of_job(job: &Resource, policy: &mut Policy) {
    let span = job.declared;
    of_glue(job, "SecurityConfiguration", policy);
    let own = arn("glue", ["job/".into(), name_or_any(job, "Name")], span);
    policy.allow(
        "OwnRuns",
        &["glue:GetJob", "glue:GetJobRun", "glue:GetJobRuns"],
        [own],
    );
    // The action for bookmarks cannot be limited to resources.
    policy.allow("Bookmark", &["glue:GetJobBookmark"], everything());
    let connections = job
        .body
        .at(&["Connections", "Connections"])
        .map_or(&[][..], Term::items);
    of_connections(connections.iter(), policy, span);
    // Spark reads the database `default` if the catalog is its metastore.
    if job
        .body
        .at(&["DefaultArguments", "--enable-glue-datacatalog"])
        .is_some()
    {
        let [catalog, database, _] = glue_table_arns("default".into(), "*".into(), span);
        policy.allow("DefaultDatabase", &["glue:GetDatabase"], [catalog, database]);
    }
}

fn of_crawler(graph: &Graph<'_>, crawler: &Resource, policy: &mut Policy) {
    const DELETE: &[&str] = &["glue:BatchDeletePartition", "glue:DeleteTable"];
    let span = crawler.declared;
    of_glue(crawler, "CrawlerSecurityConfiguration", policy);
    let [catalog, database, _] = glue_table_arns("default".into(), "*".into(), span);
    policy.allow("DefaultDatabase", &["glue:GetDatabase"], [catalog, database]);
    let database = crawler
        .body
        .get("DatabaseName")
        .and_then(|term| catalog::database_named(graph, crawler, term, span));
    if let Some(database) = database {
        let tables = glue_table_arns(database, "*".into(), span);
        policy.allow("Tables", actions::WRITE_TABLES, tables.clone());
        let deletes = crawler
            .body
            .at(&["SchemaChangePolicy", "DeleteBehavior"])
            .and_then(Term::as_str);
        if deletes == Some("DELETE_FROM_DATABASE") {
            policy.allow("Tables", DELETE, tables);
        }
    }
    let targets = crawler.body.get("Targets").map_or(&[][..], Term::entries);
    let connections = targets
        .iter()
        .flat_map(|(_, list)| list.items())
        .filter_map(|target| target.get("ConnectionName"));
    of_connections(connections, policy, span);
}

/// Allows a job or crawler to write logs and metrics, and to read its security configuration.
fn of_glue(resource: &Resource, security: &str, policy: &mut Policy) {
    let span = resource.declared;
    let encrypted = resource.body.get(security).is_some();
    if encrypted {
        let read = ["glue:GetSecurityConfiguration", "glue:GetSecurityConfigurations"];
        policy.allow("Security", read, everything());
    }
    let actions = encrypted
        .then_some("logs:AssociateKmsKey")
        .into_iter()
        .chain(["logs:CreateLogGroup"])
        .chain(actions::WRITE_LOGS.iter().copied());
    let groups = arn("logs", ["log-group:/aws-glue/*".into()], span);
    policy.allow("Logs", actions, [groups]);
    let of_glue = Condition::new("StringEquals", "cloudwatch:namespace", vec!["Glue".into()]);
    policy.allow_if(
        "Metrics",
        &["cloudwatch:PutMetricData"],
        everything(),
        vec![of_glue],
    );
}

fn of_connections<'t>(connections: impl Iterator<Item = &'t Term>, policy: &mut Policy, span: Span) {
    let mut arns: Vec<Term> = connections
        .filter(|name| name.as_str().is_some())
        .map(|name| arn("glue", ["connection/".into(), name.clone()], span))
        .collect();
    if arns.is_empty() {
        return;
    }
    arns.insert(0, arn("glue", ["catalog".into()], span));
    policy.allow(
        "Connections",
        &["glue:GetConnection", "glue:GetConnections"],
        arns,
    );
    policy.allow("Network", CONNECTION_NETWORK, everything());
    // Glue tags the network interfaces that it creates.
    let tags = Condition::new(
        "ForAllValues:StringEquals",
        "aws:TagKeys",
        vec!["aws-glue-service-resource".into()],
    );
    let kinds = ["network-interface/*", "security-group/*", "instance/*"];
    let marked = kinds.map(|kind| arn("ec2", [kind.into()], span));
    policy.allow_if(
        "NetworkTags",
        &["ec2:CreateTags", "ec2:DeleteTags"],
        marked,
        vec![tags],
    );
}

/// Allows a delivery stream to find its bucket, to list and read its uploads, and to log failed deliveries.
fn of_delivery_stream(graph: &Graph<'_>, stream: &Resource, policy: &mut Policy) {
    let mut buckets: Vec<&Term> = Vec::new();
    find_all(&stream.body, "BucketARN", &mut buckets);
    for bucket in buckets {
        let objects = concat([bucket.clone(), "/*".into()]);
        policy.allow("Destinations", actions::LIST_UPLOADS, [bucket.clone()]);
        policy.allow("Deliveries", &["s3:GetObject"], [objects]);
    }
    let mut logging: Vec<&Term> = Vec::new();
    find_all(&stream.body, "CloudWatchLoggingOptions", &mut logging);
    for group in logging
        .into_iter()
        .filter_map(|options| options.get("LogGroupName"))
    {
        let streams = log_streams(graph, stream, group);
        policy.allow("DeliveryLogs", &["logs:PutLogEvents"], [streams]);
    }
}

/// Finds every value of a key in a body.
fn find_all<'t>(term: &'t Term, key: &str, found: &mut Vec<&'t Term>) {
    for (name, value) in term.entries() {
        if name == key {
            found.push(value);
        }
        find_all(value, key, found);
    }
    term.items().iter().for_each(|item| find_all(item, key, found));
}

/// Returns the ARN of the key of a resource, if the key is a resource of the platform.
fn key_at(graph: &Graph<'_>, resource: &Resource, path: &[&str]) -> Option<Term> {
    let Term::Reference(reference) = resource.body.at(path)? else {
        return None;
    };
    let key = &graph.resources[graph.follow(resource.instance, reference)?];
    (key.kind.cloudformation() == Some("AWS::KMS::Key")).then(|| key.attribute("arn", resource.declared))
}

/// Returns the name of a resource, or `*` if it is unknown.
fn name_or_any(resource: &Resource, property: &str) -> Term {
    match resource.body.get(property) {
        Some(Term::String(name)) => Term::String(Text::clone(name)),
        _ => "*".into(),
    }
}
