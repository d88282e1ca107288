//! The rows of the table.

use super::super::actions::{
    FOLLOW_JOB, FOLLOW_QUERY, FOLLOW_SPARK_JOB, INVOKE_FUNCTION, PUBLISH, READ_TABLES, SEND_MESSAGE,
    START_EXECUTION, START_JOB, START_SPARK_JOB, WRITE_LOGS, WRITE_TABLES,
};
use super::super::encryption::{Encryption, KeyUse, Limit};
use super::{ExecutionRole, Permission, ResourceType};

/// A type without permissions, key and role.
const PLAIN: ResourceType = ResourceType {
    name: "",
    permissions: &[],
    contents: "",
    encryption: None,
    role: None,
};

/// Creates a permission that only reads: it needs to decrypt the contents.
const fn reads(
    verb: &'static str,
    on_resource: &'static [&'static [&'static str]],
    on_contents: &'static [&'static [&'static str]],
) -> Permission {
    Permission {
        verb,
        on_resource,
        on_contents,
        key_use: KeyUse::Decrypt,
    }
}

/// Creates a permission that writes: it needs to encrypt, too.
const fn writes(
    verb: &'static str,
    on_resource: &'static [&'static [&'static str]],
    on_contents: &'static [&'static [&'static str]],
) -> Permission {
    Permission {
        verb,
        on_resource,
        on_contents,
        key_use: KeyUse::Encrypt,
    }
}

pub(super) const ROWS: &[ResourceType] = &[
    ResourceType {
        name: "AWS::S3::Bucket",
        permissions: &[
            reads(
                "read",
                &[&["s3:GetBucketLocation", "s3:ListBucket"]],
                &[&["s3:GetObject"]],
            ),
            writes("write", &[], &[&["s3:AbortMultipartUpload", "s3:PutObject"]]),
            writes(
                "read_write",
                &[&["s3:GetBucketLocation", "s3:ListBucket"]],
                &[&[
                    "s3:AbortMultipartUpload",
                    "s3:DeleteObject",
                    "s3:GetObject",
                    "s3:PutObject",
                ]],
            ),
            writes(
                "admin",
                &[&["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"]],
                &[&[
                    "s3:AbortMultipartUpload",
                    "s3:DeleteObject",
                    "s3:DeleteObjectVersion",
                    "s3:GetObject",
                    "s3:GetObjectVersion",
                    "s3:PutObject",
                ]],
            ),
        ],
        contents: "/*",
        encryption: Some(Encryption::by_users(
            &[
                "BucketEncryption",
                "ServerSideEncryptionConfiguration",
                "ServerSideEncryptionByDefault",
                "KMSMasterKeyID",
            ],
            "Objects",
            Limit::ContextOfContents("aws:s3:arn"),
        )),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::Kinesis::Stream",
        permissions: &[
            reads(
                "read",
                &[&[
                    "kinesis:DescribeStream",
                    "kinesis:DescribeStreamSummary",
                    "kinesis:GetRecords",
                    "kinesis:GetShardIterator",
                    "kinesis:ListShards",
                ]],
                &[],
            ),
            writes("write", &[&["kinesis:PutRecord", "kinesis:PutRecords"]], &[]),
        ],
        encryption: Some(Encryption::by_users(
            &["StreamEncryption", "KeyId"],
            "Records",
            Limit::Context("aws:kinesis:arn"),
        )),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::SQS::Queue",
        permissions: &[
            writes("send", &[SEND_MESSAGE], &[]),
            reads(
                "receive",
                &[&[
                    "sqs:ChangeMessageVisibility",
                    "sqs:DeleteMessage",
                    "sqs:GetQueueAttributes",
                    "sqs:ReceiveMessage",
                ]],
                &[],
            ),
        ],
        encryption: Some(Encryption::by_users(
            &["KmsMasterKeyId"],
            "Messages",
            Limit::Context("aws:sqs:arn"),
        )),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::SNS::Topic",
        permissions: &[writes("publish", &[PUBLISH], &[])],
        encryption: Some(Encryption::by_users(
            &["KmsMasterKeyId"],
            "Notifications",
            Limit::Context("aws:sns:topicArn"),
        )),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::Lambda::Function",
        permissions: &[writes("invoke", &[INVOKE_FUNCTION], &[INVOKE_FUNCTION])],
        contents: ":*",
        role: Some(ExecutionRole {
            service: "lambda.amazonaws.com",
            paths: &[&["Role"]],
        }),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::Glue::Job",
        permissions: &[writes("start", &[START_JOB, FOLLOW_JOB], &[])],
        role: Some(ExecutionRole {
            service: "glue.amazonaws.com",
            paths: &[&["Role"]],
        }),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::StepFunctions::StateMachine",
        permissions: &[writes("start", &[START_EXECUTION], &[])],
        encryption: Some(Encryption::by_users(
            &["EncryptionConfiguration", "KmsKeyId"],
            "Executions",
            Limit::Context("aws:states:stateMachineArn"),
        )),
        role: Some(ExecutionRole {
            service: "states.amazonaws.com",
            paths: &[&["RoleArn"]],
        }),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::EMRServerless::Application",
        permissions: &[writes("start", &[START_SPARK_JOB], &[FOLLOW_SPARK_JOB])],
        contents: "/jobruns/*",
        ..PLAIN
    },
    ResourceType {
        name: "AWS::KMS::Key",
        permissions: &[
            reads("read", &[&["kms:Decrypt"]], &[]),
            writes("write", &[&["kms:Encrypt", "kms:GenerateDataKey*"]], &[]),
            writes(
                "use",
                &[&[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey*",
                ]],
                &[],
            ),
        ],
        ..PLAIN
    },
    ResourceType {
        name: "AWS::DynamoDB::Table",
        permissions: &[
            reads(
                "read",
                &[&[
                    "dynamodb:BatchGetItem",
                    "dynamodb:DescribeTable",
                    "dynamodb:GetItem",
                    "dynamodb:Query",
                    "dynamodb:Scan",
                ]],
                &[&["dynamodb:Query", "dynamodb:Scan"]],
            ),
            writes(
                "write",
                &[&[
                    "dynamodb:BatchWriteItem",
                    "dynamodb:DeleteItem",
                    "dynamodb:PutItem",
                    "dynamodb:UpdateItem",
                ]],
                &[],
            ),
        ],
        contents: "/index/*",
        // The context contains the name of the table, which a table of another account may have, too.
        encryption: Some(Encryption::by_users(
            &["SSESpecification", "KMSMasterKeyId"],
            "Items",
            Limit::Service("dynamodb"),
        )),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::SecretsManager::Secret",
        permissions: &[reads(
            "read",
            &[&["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]],
            &[],
        )],
        encryption: Some(Encryption::by_users(
            &["KmsKeyId"],
            "Secrets",
            Limit::Context("SecretARN"),
        )),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::Logs::LogGroup",
        // The ARN of a log group already ends in `:*`.
        permissions: &[writes("write", &[WRITE_LOGS], &[])],
        // CloudWatch Logs encrypts with its own identity, not with that of the writer.
        encryption: Some(Encryption::by_service(&["KmsKeyId"])),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::Athena::WorkGroup",
        // The grant also includes the bucket for results that the workgroup names.
        permissions: &[writes(
            "use",
            &[
                FOLLOW_QUERY,
                &[
                    "athena:GetQueryResults",
                    "athena:GetQueryResultsStream",
                    "athena:GetWorkGroup",
                    "athena:StartQueryExecution",
                ],
            ],
            &[],
        )],
        ..PLAIN
    },
    // The catalog requires the permissions on the catalog, the database and the table.
    ResourceType {
        name: "AWS::Glue::Database",
        permissions: &[
            reads("read", &[READ_TABLES], &[]),
            writes("read_write", &[WRITE_TABLES], &[]),
        ],
        ..PLAIN
    },
    ResourceType {
        name: "AWS::Glue::Table",
        permissions: &[
            reads("read", &[READ_TABLES], &[]),
            writes("read_write", &[WRITE_TABLES], &[]),
        ],
        ..PLAIN
    },
    ResourceType {
        name: "AWS::Glue::Crawler",
        role: Some(ExecutionRole {
            service: "glue.amazonaws.com",
            paths: &[&["Role"]],
        }),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::Glue::TableOptimizer",
        role: Some(ExecutionRole {
            service: "glue.amazonaws.com",
            paths: &[&["TableOptimizerConfiguration", "RoleArn"]],
        }),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::Scheduler::Schedule",
        role: Some(ExecutionRole {
            service: "scheduler.amazonaws.com",
            paths: &[&["Target", "RoleArn"]],
        }),
        ..PLAIN
    },
    ResourceType {
        name: "AWS::KinesisFirehose::DeliveryStream",
        role: Some(ExecutionRole {
            service: "firehose.amazonaws.com",
            paths: DELIVERY_STREAM,
        }),
        ..PLAIN
    },
];

/// The paths of roles in a delivery stream: for the source, for each destination, and for the S3 configuration of each.
const DELIVERY_STREAM: &[&[&str]] = &[
    &["KinesisStreamSourceConfiguration", "RoleARN"],
    &["MSKSourceConfiguration", "AuthenticationConfiguration", "RoleARN"],
    &["ExtendedS3DestinationConfiguration", "RoleARN"],
    &[
        "ExtendedS3DestinationConfiguration",
        "S3BackupConfiguration",
        "RoleARN",
    ],
    &[
        "ExtendedS3DestinationConfiguration",
        "DataFormatConversionConfiguration",
        "SchemaConfiguration",
        "RoleARN",
    ],
    &["S3DestinationConfiguration", "RoleARN"],
    &["IcebergDestinationConfiguration", "RoleARN"],
    &["IcebergDestinationConfiguration", "S3Configuration", "RoleARN"],
    &["RedshiftDestinationConfiguration", "RoleARN"],
    &["RedshiftDestinationConfiguration", "S3Configuration", "RoleARN"],
    &[
        "RedshiftDestinationConfiguration",
        "S3BackupConfiguration",
        "RoleARN",
    ],
    &["AmazonopensearchserviceDestinationConfiguration", "RoleARN"],
    &[
        "AmazonopensearchserviceDestinationConfiguration",
        "S3Configuration",
        "RoleARN",
    ],
    &[
        "AmazonopensearchserviceDestinationConfiguration",
        "VpcConfiguration",
        "RoleARN",
    ],
    &["AmazonOpenSearchServerlessDestinationConfiguration", "RoleARN"],
    &[
        "AmazonOpenSearchServerlessDestinationConfiguration",
        "S3Configuration",
        "RoleARN",
    ],
    &[
        "AmazonOpenSearchServerlessDestinationConfiguration",
        "VpcConfiguration",
        "RoleARN",
    ],
    &["SnowflakeDestinationConfiguration", "RoleARN"],
    &["SnowflakeDestinationConfiguration", "S3Configuration", "RoleARN"],
    &["SplunkDestinationConfiguration", "S3Configuration", "RoleARN"],
    &["HttpEndpointDestinationConfiguration", "RoleARN"],
    &[
        "HttpEndpointDestinationConfiguration",
        "S3Configuration",
        "RoleARN",
    ],
];
