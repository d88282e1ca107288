//! Attributes of CloudFormation resources: `Ref`, `Fn::GetAtt`, properties, and ARNs that are composed from the name.

use terrace_artifact::Text;
use terrace_language::aws::arn::pseudo;
use terrace_language::expression::Failure;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{listed, shown};
use terrace_syntax::source::Span;

use crate::lower::attributes::Attribute;

/// Types whose `Ref` is the name of the resource.
const REF_IS_NAME: [&str; 27] = [
    "AWS::ApiGateway::RestApi",
    "AWS::Athena::WorkGroup",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::DynamoDB::Table",
    "AWS::ECR::Repository",
    "AWS::ECS::Cluster",
    "AWS::EC2::SecurityGroup",
    "AWS::EMRServerless::Application",
    "AWS::Events::EventBus",
    "AWS::Events::Rule",
    "AWS::Glue::Crawler",
    "AWS::Glue::Database",
    "AWS::Glue::Job",
    "AWS::Glue::Table",
    "AWS::Glue::Trigger",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::Role",
    "AWS::KMS::Alias",
    "AWS::Kinesis::Stream",
    "AWS::KinesisFirehose::DeliveryStream",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::Scheduler::Schedule",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::SSM::Parameter",
];

/// Types whose `Ref` is the ARN, and which have no attribute for it.
const REF_IS_ARN: [&str; 1] = ["AWS::SecretsManager::Secret"];

/// The property with the name of a resource, for types whose name is not their primary identifier.
const NAME_PROPERTIES: [(&str, &str); 8] = [
    ("AWS::SQS::Queue", "QueueName"),
    ("AWS::SNS::Topic", "TopicName"),
    ("AWS::StepFunctions::StateMachine", "StateMachineName"),
    ("AWS::SecretsManager::Secret", "Name"),
    ("AWS::Events::Rule", "Name"),
    ("AWS::Kinesis::Stream", "Name"),
    ("AWS::EMRServerless::Application", "Name"),
    ("AWS::EC2::SecurityGroup", "GroupName"),
];

/// Types whose ARN can be composed from the name: the service, whether the ARN contains region and account, and the prefix of the name.
/// Source: the resource types of the service authorization reference.
const ARNS: [(&str, &str, bool, &str); 21] = [
    ("AWS::Athena::WorkGroup", "athena", true, "workgroup/"),
    ("AWS::CloudWatch::Alarm", "cloudwatch", true, "alarm:"),
    ("AWS::DynamoDB::Table", "dynamodb", true, "table/"),
    ("AWS::ECR::Repository", "ecr", true, "repository/"),
    ("AWS::Events::EventBus", "events", true, "event-bus/"),
    ("AWS::Events::Rule", "events", true, "rule/"),
    ("AWS::Glue::Crawler", "glue", true, "crawler/"),
    ("AWS::Glue::Database", "glue", true, "database/"),
    ("AWS::Glue::Job", "glue", true, "job/"),
    ("AWS::IAM::Role", "iam", false, "role/"),
    ("AWS::KMS::Alias", "kms", true, ""),
    ("AWS::Kinesis::Stream", "kinesis", true, "stream/"),
    (
        "AWS::KinesisFirehose::DeliveryStream",
        "firehose",
        true,
        "deliverystream/",
    ),
    ("AWS::Lambda::Function", "lambda", true, "function:"),
    ("AWS::Logs::LogGroup", "logs", true, "log-group:"),
    ("AWS::S3::Bucket", "s3", false, ""),
    ("AWS::SNS::Topic", "sns", true, ""),
    ("AWS::SQS::Queue", "sqs", true, ""),
    ("AWS::SSM::Parameter", "ssm", true, "parameter/"),
    (
        "AWS::Scheduler::ScheduleGroup",
        "scheduler",
        true,
        "schedule-group/",
    ),
    (
        "AWS::StepFunctions::StateMachine",
        "states",
        true,
        "stateMachine:",
    ),
];

/// Finds the attribute of a path. Inside the same stack, an intrinsic function is used, because it also determines the order.
pub(super) fn find(
    resource: &Resource,
    type_name: &str,
    path: &[Text],
    same_artifact: bool,
    span: Span,
) -> Result<Attribute, Box<Failure>> {
    let Some(resource_type) = terrace_catalog::cloudformation(type_name) else {
        return Ok(Attribute::Ref);
    };
    let [first, rest @ ..] = path else {
        return Ok(Attribute::Ref);
    };
    let whole = path.join(".");
    let is = |name: &str| is_same(name, &whole);
    let name_property = name_property(type_name, resource_type);
    let named = name_property.and_then(|property| resource.body.get(property));
    if is("ref") {
        return Ok(Attribute::Ref);
    }
    if is("name") || name_property.is_some_and(is) {
        return Ok(match named {
            Some(name) if !same_artifact => Attribute::Known(name.clone()),
            _ if REF_IS_NAME.contains(&type_name) => Attribute::Ref,
            Some(name) => Attribute::Known(name.clone()),
            None => attribute_of(resource_type, type_name, "name").unwrap_or(Attribute::Ref),
        });
    }
    if is("arn")
        && !same_artifact
        && let Some(arn) = named.and_then(|name| arn(type_name, name, span))
    {
        return Ok(Attribute::Known(arn));
    }
    if let Some(attribute) = attribute_of(resource_type, type_name, &whole) {
        return Ok(attribute);
    }
    if is("arn") {
        if REF_IS_ARN.contains(&type_name) {
            return Ok(Attribute::Ref);
        }
        if let Some(arn) = arn_of_reference(type_name, resource, span) {
            return Ok(Attribute::Known(arn));
        }
    }
    // A property of the body.
    let property = resource_type
        .properties()
        .find(|property| is_same(property, first));
    if let Some(value) = property.and_then(|property| resource.body.get(property)) {
        let found = rest.iter().try_fold(value, |value, key| {
            value
                .entries()
                .iter()
                .find(|(k, _)| is_same(k, key))
                .map(|(_, term)| term)
        });
        if let Some(value) = found {
            return Ok(Attribute::Known(value.clone()));
        }
    }
    let has_arn = attribute_of(resource_type, type_name, "arn").is_some()
        || REF_IS_ARN.contains(&type_name)
        || ARNS.iter().any(|(known, ..)| *known == type_name);
    let mut names: Vec<String> = ["name", "ref"]
        .into_iter()
        .chain(has_arn.then_some("arn"))
        .map(str::to_owned)
        .collect();
    let attributes = resource_type.attributes().iter().map(|name| snake(name));
    names.extend(attributes.filter(|name| name != "arn"));
    let message = format!("`{}` has no attribute `{}`", resource.address, shown(&whole));
    let failure = Failure::new(Code::UnknownAttribute, span, message, "");
    Err(
        match terrace_catalog::nearest(&whole, names.iter().map(String::as_str)) {
            Some(name) => failure.near(&whole, std::iter::once(name)),
            None => failure.with_help(format!(
                "use one of the attributes of `{type_name}`: {}",
                listed(names)
            )),
        },
    )
}

/// Finds the attribute of `Fn::GetAtt` for a name: the name itself, or with the name of the type as prefix (`arn` is `TopicArn`).
fn attribute_of(
    resource_type: &terrace_catalog::ResourceType,
    type_name: &str,
    wanted: &str,
) -> Option<Attribute> {
    let short = type_name.rsplit("::").next().unwrap_or_default();
    let attributes = resource_type.attributes();
    let exact = attributes.iter().find(|name| is_same(name, wanted));
    let prefixed = || {
        let mut names = attributes.iter();
        names.find(|name| plain(name).eq(plain(short).chain(plain(wanted))))
    };
    exact
        .or_else(prefixed)
        .map(|name| Attribute::GetAtt((*name).into()))
}

/// Returns the property with the name of a resource of a type.
pub fn name_property(type_name: &str, resource_type: &terrace_catalog::ResourceType) -> Option<&'static str> {
    if let Some((_, property)) = NAME_PROPERTIES.iter().find(|(name, _)| *name == type_name) {
        return Some(property);
    }
    match resource_type.primary_identifier() {
        [one] if !resource_type.read_only().contains(one) => Some(one),
        _ => None,
    }
}

/// Composes the ARN of a resource from its name.
fn arn(type_name: &str, name: &Term, span: Span) -> Option<Term> {
    let (_, service, regional, before) = ARNS.iter().find(|(name, ..)| *name == type_name)?;
    let pseudo = |name: &str| pseudo(name, span);
    let mut parts: Vec<Term> = vec!["arn:".into(), pseudo("AWS::Partition")];
    if *regional {
        parts.extend([
            format!(":{service}:").into(),
            pseudo("AWS::Region"),
            ":".into(),
            pseudo("AWS::AccountId"),
            format!(":{before}").into(),
        ]);
    } else if *service == "iam" {
        parts.extend([
            ":iam::".into(),
            pseudo("AWS::AccountId"),
            format!(":{before}").into(),
        ]);
    } else {
        parts.push(format!(":{service}:::{before}").into());
    }
    match name {
        Term::Concat(inner) => parts.extend(inner.iter().cloned()),
        Term::String(_) | Term::Reference(_) => parts.push(name.clone()),
        _ => return None,
    }
    if type_name == "AWS::Logs::LogGroup" {
        parts.push(":*".into()); // `Fn::GetAtt` returns it like this: it includes the streams.
    }
    Some(Term::Concat(parts.into()))
}

/// Composes the ARN of a type without such an attribute from its `Ref`, such as a Glue job or a workgroup.
fn arn_of_reference(type_name: &str, resource: &Resource, span: Span) -> Option<Term> {
    if !REF_IS_NAME.contains(&type_name) {
        return None;
    }
    let own = terrace_language::value::term::Reference {
        name: resource.address.to_string().into(),
        key: None,
        path: vec!["ref".into()],
        local: false,
        span,
    };
    arn(type_name, &own.into(), span)
}

/// Returns whether two names are equal apart from case, underscores and dots: `queue_url` and `QueueUrl`.
fn is_same(one: &str, other: &str) -> bool {
    plain(one).eq(plain(other))
}

/// Returns the significant letters of a name in lower case.
fn plain(name: &str) -> impl Iterator<Item = u8> {
    let counts = |byte: &u8| !matches!(byte, b'_' | b'.' | b'-');
    name.bytes().filter(counts).map(|byte| byte.to_ascii_lowercase())
}

/// Converts `QueueUrl` to the form in expressions: `queue_url`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut previous = '_';
    for c in name.chars() {
        if c.is_ascii_uppercase() && previous.is_ascii_lowercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        previous = c;
    }
    out
}
