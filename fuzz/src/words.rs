//! The words for mutations: the keys and values of the schemas, and values that often break programs.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use terrace_compiler::validate;

/// Returns every key, and every value that is a word, of the published schemas.
pub(crate) fn keys() -> &'static [String] {
    static KEYS: OnceLock<Vec<String>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut keys = BTreeSet::new();
        for name in validate::schema_names() {
            let schema = validate::schema(name).and_then(|text| serde_json::from_str(&text).ok());
            collect(&schema.unwrap_or_default(), &mut keys);
        }
        keys.into_iter().collect()
    })
}

fn collect(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                if let ("properties", serde_json::Value::Object(properties)) = (key.as_str(), value) {
                    keys.extend(properties.keys().cloned());
                }
                if matches!(key.as_str(), "enum" | "const") {
                    let words = value.as_array().into_iter().flatten().chain([value]);
                    keys.extend(words.filter_map(|word| word.as_str().map(str::to_owned)));
                }
                collect(value, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, keys)),
        _ => {}
    }
}

/// The keys with a special meaning inside bodies, and types of resources.
pub(crate) const STRUCTURE: &[&str] = &[
    "$for_each",
    "$when",
    "$value",
    "$merge",
    "$as",
    "$add",
    "for_each",
    "when",
    "omit",
    "each",
    "key",
    "value",
    "properties",
    "metadata",
    "spec",
    "data",
    "Fn::Sub",
    "Fn::GetAtt",
    "Ref",
    "Fn::If",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Glue::Job",
    "AWS::Kinesis::Stream",
    "AWS::Lambda::Function",
    "AWS::CloudWatch::Alarm",
    "AWS::StepFunctions::StateMachine",
    "AWS::Events::Rule",
    "v1/ConfigMap",
    "v1/Secret",
    "v1/Service",
    "v1/Namespace",
    "apps/v1/Deployment",
    "apps/v1/StatefulSet",
    "batch/v1/CronJob",
    "autoscaling/v2/HorizontalPodAutoscaler",
    "networking.k8s.io/v1/NetworkPolicy",
    "rbac.authorization.k8s.io/v1/Role",
    "policy/v1/PodDisruptionBudget",
];

/// The beginnings of expressions.
pub(crate) const ATOMS: &[&str] = &[
    "1",
    "0",
    "-1",
    "0.1",
    "999999999999999999",
    "9223372036854775807",
    "'a'",
    "''",
    "'é'",
    "true",
    "null",
    "omit",
    "name",
    "namespace",
    "labels",
    "selector",
    "inputs",
    "inputs.x",
    "inputs['x']",
    "each.key",
    "each.value",
    "tenant.name",
    "tenant.quota",
    "tenant.limits",
    "environment.class",
    "environment.account",
    "platform.name",
    "component.name",
    "module.version",
    "steps.a.b",
    "input.x",
    "ref('a')",
    "ref('a').arn",
    "ref('a', 'b').name",
    "ref('a')['b'].arn",
    "secret('a').b",
    "asset('a').key",
    "duration('30d')",
    "duration('1s')",
    "size('4Gi')",
    "quantity('500m')",
    "range(1000)",
    "arn('s3', 'x')",
    "[]",
    "{}",
    "{a: 1}",
    "[1, 2]",
    "inputs.keep",
    "inputs.memory",
    "inputs.zones",
    "inputs.numbers",
    "inputs.env",
    "nothing",
];

/// Operators, and characters that are not operators.
pub(crate) const OPERATORS: &[&str] = &[
    "+",
    "-",
    "~",
    "*",
    "/",
    "//",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    " in ",
    " not in ",
    " and ",
    " or ",
    " if ",
    " else ",
    " not ",
    " is defined",
    " is not defined",
    ".",
    "[",
    "]",
    "|",
    ",",
    "(",
    ")",
    "{{",
    "}}",
    "'",
    "\"",
    ":",
    "\\",
    "@",
    "#",
    "-",
    "\t",
];

/// Scalars of each type, at the limits of their ranges, and scalars that YAML readers interpret differently.
pub(crate) const VALUES: &[&str] = &[
    "1",
    "0",
    "-1",
    "1.5",
    "999999999999999999",
    "1e18",
    "1E400",
    "-0",
    "true",
    "null",
    "~",
    "\"\"",
    "''",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "{a: {b: c}}",
    "NO",
    "0777",
    "0x1f",
    "1_000",
    "30s",
    "5m",
    "24h",
    "90d",
    "2w",
    "1y",
    "9999999999999999y",
    "500Gi",
    "10GB",
    "8Ei",
    "500m",
    "1n",
    "70%",
    "0%",
    "101%",
    "all",
    "{tier: [basic]}",
    "*",
    "arn:aws:s3:::x",
    "cron(0 2 * * ? *)",
    "rate(5 minutes)",
    "0 2 * * *",
    "{{resolve:secretsmanager:x}}",
    "!raw \"{{ x }}\"",
    "${AWS::Region}",
    "$.a.b",
    "$$.Execution.Id",
    "States.Format('{}', $.a)",
    "States.ALL",
    "lake@^1",
    "x@",
    "^1",
    ">=1, <2",
    "1.2.3",
    "2026-01-01",
    "2026-13-45",
    "\"111122223333\"",
    "eu-west-1",
    "../..",
    "./modules",
    "/",
    "a/b",
    "é",
    "\"\\u0000\"",
    "\"\\n\"",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "*a",
    "&a 1",
    "|",
    ">-",
    "? a",
    "- a",
    "---",
];
