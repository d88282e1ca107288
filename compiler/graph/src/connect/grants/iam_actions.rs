//! The IAM actions of each permission in grants, by resource type.

/// The meaning of a permission for a resource type: the actions on the resource itself, and on its contents (the suffix after its ARN).
pub(super) struct GrantActions {
    pub(super) type_name: &'static str,
    pub(super) may: &'static str,
    pub(super) actions: &'static [&'static str],
    pub(super) inner: &'static [&'static str],
    pub(super) suffix: &'static str,
}

const fn meaning(
    type_name: &'static str,
    may: &'static str,
    actions: &'static [&'static str],
    inner: &'static [&'static str],
    suffix: &'static str,
) -> GrantActions {
    GrantActions {
        type_name,
        may,
        actions,
        inner,
        suffix,
    }
}

/// The actions of a query engine that finds a table and its partitions.
pub(super) const CATALOG_READ: &[&str] = &[
    "glue:BatchGetPartition",
    "glue:GetDatabase",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:GetTable",
    "glue:GetTables",
];

/// The actions of a job that updates tables and partitions, without deleting them.
pub(super) const CATALOG_WRITE: &[&str] = &[
    "glue:BatchCreatePartition",
    "glue:BatchGetPartition",
    "glue:BatchUpdatePartition",
    "glue:CreatePartition",
    "glue:CreateTable",
    "glue:GetDatabase",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:GetTable",
    "glue:GetTables",
    "glue:UpdatePartition",
    "glue:UpdateTable",
];

/// Action names and their resources: the service authorization reference.
pub(super) const MEANINGS: &[GrantActions] = &[
    meaning(
        "AWS::S3::Bucket",
        "read",
        &["s3:GetBucketLocation", "s3:ListBucket"],
        &["s3:GetObject"],
        "/*",
    ),
    meaning(
        "AWS::S3::Bucket",
        "write",
        &[],
        &["s3:AbortMultipartUpload", "s3:PutObject"],
        "/*",
    ),
    meaning(
        "AWS::S3::Bucket",
        "read_write",
        &["s3:GetBucketLocation", "s3:ListBucket"],
        &[
            "s3:AbortMultipartUpload",
            "s3:DeleteObject",
            "s3:GetObject",
            "s3:PutObject",
        ],
        "/*",
    ),
    meaning(
        "AWS::S3::Bucket",
        "admin",
        &["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"],
        &[
            "s3:AbortMultipartUpload",
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:PutObject",
        ],
        "/*",
    ),
    meaning(
        "AWS::Kinesis::Stream",
        "read",
        &[
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
        ],
        &[],
        "",
    ),
    meaning(
        "AWS::Kinesis::Stream",
        "write",
        &["kinesis:PutRecord", "kinesis:PutRecords"],
        &[],
        "",
    ),
    meaning("AWS::SQS::Queue", "send", &["sqs:SendMessage"], &[], ""),
    meaning(
        "AWS::SQS::Queue",
        "receive",
        &[
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
        ],
        &[],
        "",
    ),
    meaning("AWS::SNS::Topic", "publish", &["sns:Publish"], &[], ""),
    meaning(
        "AWS::Lambda::Function",
        "invoke",
        &["lambda:InvokeFunction"],
        &["lambda:InvokeFunction"],
        ":*",
    ),
    meaning(
        "AWS::Glue::Job",
        "start",
        &[
            "glue:BatchStopJobRun",
            "glue:GetJobRun",
            "glue:GetJobRuns",
            "glue:StartJobRun",
        ],
        &[],
        "",
    ),
    // The catalog requires the permissions on the catalog, the database and the table.
    meaning("AWS::Glue::Database", "read", CATALOG_READ, &[], ""),
    meaning("AWS::Glue::Database", "read_write", CATALOG_WRITE, &[], ""),
    meaning("AWS::Glue::Table", "read", CATALOG_READ, &[], ""),
    meaning("AWS::Glue::Table", "read_write", CATALOG_WRITE, &[], ""),
    meaning(
        "AWS::StepFunctions::StateMachine",
        "start",
        &["states:StartExecution"],
        &[],
        "",
    ),
    meaning("AWS::KMS::Key", "read", &["kms:Decrypt"], &[], ""),
    meaning(
        "AWS::KMS::Key",
        "write",
        &["kms:Encrypt", "kms:GenerateDataKey*"],
        &[],
        "",
    ),
    meaning(
        "AWS::KMS::Key",
        "use",
        &[
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey*",
        ],
        &[],
        "",
    ),
    meaning(
        "AWS::DynamoDB::Table",
        "read",
        &[
            "dynamodb:BatchGetItem",
            "dynamodb:DescribeTable",
            "dynamodb:GetItem",
            "dynamodb:Query",
            "dynamodb:Scan",
        ],
        &["dynamodb:Query", "dynamodb:Scan"],
        "/index/*",
    ),
    meaning(
        "AWS::DynamoDB::Table",
        "write",
        &[
            "dynamodb:BatchWriteItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        ],
        &[],
        "",
    ),
    meaning(
        "AWS::SecretsManager::Secret",
        "read",
        &["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
        &[],
        "",
    ),
    meaning(
        "AWS::Logs::LogGroup",
        "write",
        // The ARN of a log group already ends in `:*`.
        &["logs:CreateLogStream", "logs:PutLogEvents"],
        &[],
        "",
    ),
    meaning(
        "AWS::EMRServerless::Application",
        "start",
        &["emr-serverless:StartJobRun"],
        &["emr-serverless:CancelJobRun", "emr-serverless:GetJobRun"],
        "/jobruns/*",
    ),
    // The permissions on the bucket for results are in `statements`.
    meaning(
        "AWS::Athena::WorkGroup",
        "use",
        &[
            "athena:GetQueryExecution",
            "athena:GetQueryResults",
            "athena:GetQueryResultsStream",
            "athena:GetWorkGroup",
            "athena:StartQueryExecution",
            "athena:StopQueryExecution",
        ],
        &[],
        "",
    ),
];

/// Permissions that are synonyms for a type that has only one of them.
pub(super) const SAME: [(&str, &[&str]); 7] = [
    ("read_write", &["write"]),
    ("read", &["consume", "receive"]),
    ("write", &["send", "publish"]),
    ("receive", &["consume", "read"]),
    ("send", &["write", "publish"]),
    ("publish", &["write", "send"]),
    ("start", &["invoke"]),
];
