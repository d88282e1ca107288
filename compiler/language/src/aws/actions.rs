//! Lists of IAM actions that several permissions use. Source of the names: the service authorization reference.
//!
//! A permission that no other code needs lists its actions itself: see [`super::resource_types`] for grants.

/// Invokes a function.
pub const INVOKE_FUNCTION: &[&str] = &["lambda:InvokeFunction"];

/// Starts a Glue job.
pub const START_JOB: &[&str] = &["glue:StartJobRun"];

/// Waits for the runs of a Glue job, and stops them.
pub const FOLLOW_JOB: &[&str] = &["glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"];

/// Finds a table and its partitions in the Glue catalog, as a query engine does.
pub const READ_TABLES: &[&str] = &[
    "glue:GetDatabase",
    "glue:GetTable",
    "glue:GetTables",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:BatchGetPartition",
];

/// Updates tables and partitions in the Glue catalog, without deleting them.
pub const WRITE_TABLES: &[&str] = &[
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

/// Sends messages to a queue.
pub const SEND_MESSAGE: &[&str] = &["sqs:SendMessage"];

/// Publishes to a topic.
pub const PUBLISH: &[&str] = &["sns:Publish"];

/// Starts a state machine.
pub const START_EXECUTION: &[&str] = &["states:StartExecution"];

/// Starts a job of an EMR Serverless application.
pub const START_SPARK_JOB: &[&str] = &["emr-serverless:StartJobRun"];

/// Waits for the job runs of an EMR Serverless application, and cancels them.
pub const FOLLOW_SPARK_JOB: &[&str] = &["emr-serverless:GetJobRun", "emr-serverless:CancelJobRun"];

/// Waits for the queries of a workgroup, and stops them.
pub const FOLLOW_QUERY: &[&str] = &["athena:GetQueryExecution", "athena:StopQueryExecution"];

/// Finds the objects that a service wrote to a bucket, and its unfinished uploads.
pub const LIST_UPLOADS: &[&str] = &[
    "s3:GetBucketLocation",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
];

/// Writes and reads the results of queries.
pub const WRITE_RESULTS: &[&str] = &[
    "s3:GetObject",
    "s3:PutObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
];

/// Writes to a log group.
pub const WRITE_LOGS: &[&str] = &["logs:CreateLogStream", "logs:PutLogEvents"];

/// Delivers the logs of a state machine. None of these actions can be limited to a resource.
pub const DELIVER_LOGS: &[&str] = &[
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
];

/// Sends the traces of a state machine to X-Ray. None of these actions can be limited to a resource.
pub const TRACE: &[&str] = &[
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
];
