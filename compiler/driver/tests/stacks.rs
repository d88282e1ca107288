//! Compiles whole stacks from text to files.

use expect_test::{Expect, expect};
use terrace_compiler::source::MemorySources;
use terrace_compiler::{Compiled, Request, compile};

fn run(text: &str) -> Compiled {
    compile(
        &MemorySources::new([("stack.yaml", text)]),
        &Request {
            program: "0.1.0".into(),
            ..Request::default()
        },
    )
}

/// Compares the diagnostics and every file of every bundle with the expected text.
fn check(text: &str, expect: Expect) {
    let compiled = run(text);
    let mut out = String::new();
    for diagnostic in &compiled.diagnostics {
        let place = diagnostic.primary.as_ref().map_or("-".to_owned(), |label| {
            format!(
                "{} `{}`",
                compiled.files.location(label.span),
                compiled.files.text(label.span)
            )
        });
        out += &format!(
            "{}: {}\n  at {place}\n",
            diagnostic.code.slug(),
            diagnostic.message
        );
        for help in &diagnostic.help {
            out += &format!("  help: {}\n", help.text);
        }
    }
    for bundle in &compiled.bundles {
        for file in terrace_artifact::files(bundle) {
            out += &format!("# {}/{}\n{}", bundle.environment.name, file.path, file.text);
        }
    }
    expect.assert_eq(&out);
}

const BASE: &str = "
{kind: Platform, name: acme}
---
{kind: Environment, name: production, class: production, directory: out}
---
{kind: Tenant, name: finance, tier: basic}
---
kind: Module
name: queue
version: 1.0.0
summary: a queue and who reads it
inputs:
  retention: {type: duration, default: 14d, minimum: 1m, maximum: 14d, description: how long messages stay}
  env: {type: object, additionalProperties: {type: string}, default: {}, description: environment}
resources:
  key:
    type: AWS::KMS::Key
    properties: {EnableKeyRotation: true, KeyPolicy: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {AWS: \"{{ arn('iam', 'root') }}\"}, Action: 'kms:*', Resource: '*'}]}}
  queue:
    type: AWS::SQS::Queue
    properties:
      QueueName: \"{{ name }}\"
      MessageRetentionPeriod: \"{{ inputs.retention | seconds }}\"
      KmsMasterKeyId: \"{{ ref('key').arn }}\"
  reader:
    type: AWS::IAM::Role
    properties:
      RoleName: \"{{ name }}-reader\"
      AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: pods.eks.amazonaws.com}, Action: 'sts:AssumeRole'}]}
  settings:
    type: v1/ConfigMap
    metadata: {name: \"{{ component.name }}-settings\", labels: \"{{ labels }}\"}
    data:
      $for_each: \"{{ inputs.env }}\"
      \"{{ each.key }}\": \"{{ each.value }}\"
grants: [{who: reader, may: receive, on: queue}]
outputs: {url: \"{{ ref('queue').url }}\", arn: \"{{ ref('queue').arn }}\"}
---
";

#[test]
fn a_module_compiles_to_a_cloudformation_stack_and_objects() {
    check(
        &format!("{BASE}
{{kind: Component, name: tenant, tenants: all, resources: {{space: {{type: v1/Namespace, metadata: {{name: \"{{{{ namespace }}}}\"}}}}}}}}
---
kind: Component
name: orders
module: queue@^1
tenants: all
inputs: {{env: {{URL: \"{{{{ ref('other').url }}}}\", A: 'NO'}}}}
---
kind: Component
name: other
resources: {{queue: {{type: AWS::SQS::Queue, properties: {{QueueName: \"{{{{ name }}}}\"}}}}}}
outputs: {{url: \"{{{{ ref('queue').url }}}}\", arn: \"{{{{ ref('queue').arn }}}}\"}}
---
kind: Component
name: uses
resources:
  policy:
    type: AWS::SQS::QueuePolicy
    properties:
      Queues: [\"{{{{ ref('other').url }}}}\"]
      PolicyDocument: {{Version: '2012-10-17', Statement: [{{Effect: Allow, Principal: {{Service: sns.amazonaws.com}}, Action: 'sqs:SendMessage', Resource: \"{{{{ ref('other').arn }}}}\"}}]}}
"),
        expect![[r##"
            # production/cloudformation/finance/orders.json
            {
              "AWSTemplateFormatVersion": "2010-09-09",
              "Description": "orders of finance in acme production",
              "Resources": {
                "Key": {
                  "Type": "AWS::KMS::Key",
                  "Metadata": {
                    "terrace": {
                      "address": "finance/orders/key",
                      "holds-data": true
                    }
                  },
                  "DeletionPolicy": "Retain",
                  "UpdateReplacePolicy": "Retain",
                  "Properties": {
                    "EnableKeyRotation": true,
                    "KeyPolicy": {
                      "Version": "2012-10-17",
                      "Statement": [
                        {
                          "Effect": "Allow",
                          "Principal": {
                            "AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}
                          },
                          "Action": "kms:*",
                          "Resource": "*"
                        }
                      ]
                    }
                  }
                },
                "Queue": {
                  "Type": "AWS::SQS::Queue",
                  "Metadata": {
                    "terrace": {
                      "address": "finance/orders/queue",
                      "holds-data": true
                    }
                  },
                  "DeletionPolicy": "Retain",
                  "UpdateReplacePolicy": "Retain",
                  "Properties": {
                    "QueueName": "acme-production-finance-orders",
                    "MessageRetentionPeriod": 1209600,
                    "KmsMasterKeyId": {"Fn::GetAtt": ["Key", "Arn"]}
                  }
                },
                "Reader": {
                  "Type": "AWS::IAM::Role",
                  "Properties": {
                    "RoleName": "acme-production-finance-orders-reader",
                    "AssumeRolePolicyDocument": {
                      "Version": "2012-10-17",
                      "Statement": [
                        {
                          "Effect": "Allow",
                          "Principal": {
                            "Service": "pods.eks.amazonaws.com"
                          },
                          "Action": "sts:AssumeRole"
                        }
                      ]
                    }
                  }
                },
                "ReaderGrants": {
                  "Type": "AWS::IAM::Policy",
                  "Properties": {
                    "PolicyName": "acme-production-finance-orders-reader-grants",
                    "Roles": [
                      {"Ref": "Reader"}
                    ],
                    "PolicyDocument": {
                      "Version": "2012-10-17",
                      "Statement": [
                        {
                          "Sid": "ReceiveOrdersQueue",
                          "Effect": "Allow",
                          "Action": [
                            "sqs:ChangeMessageVisibility",
                            "sqs:DeleteMessage",
                            "sqs:GetQueueAttributes",
                            "sqs:ReceiveMessage"
                          ],
                          "Resource": {"Fn::GetAtt": ["Queue", "Arn"]}
                        },
                        {
                          "Sid": "DecryptMessagesWithOrdersKey",
                          "Effect": "Allow",
                          "Action": "kms:Decrypt",
                          "Resource": {"Fn::GetAtt": ["Key", "Arn"]},
                          "Condition": {
                            "StringEquals": {
                              "kms:EncryptionContext:aws:sqs:arn": {"Fn::GetAtt": ["Queue", "Arn"]}
                            }
                          }
                        }
                      ]
                    }
                  }
                }
              },
              "Outputs": {
                "Arn": {
                  "Value": {"Fn::GetAtt": ["Queue", "Arn"]}
                },
                "Url": {
                  "Value": {"Fn::GetAtt": ["Queue", "QueueUrl"]}
                }
              }
            }
            # production/cloudformation/platform/other.json
            {
              "AWSTemplateFormatVersion": "2010-09-09",
              "Description": "other of the platform in acme production",
              "Resources": {
                "Queue": {
                  "Type": "AWS::SQS::Queue",
                  "Metadata": {
                    "terrace": {
                      "address": "platform/other/queue",
                      "holds-data": true
                    }
                  },
                  "DeletionPolicy": "Retain",
                  "UpdateReplacePolicy": "Retain",
                  "Properties": {
                    "QueueName": "acme-production-platform-other"
                  }
                }
              },
              "Outputs": {
                "Arn": {
                  "Value": {"Fn::GetAtt": ["Queue", "Arn"]}
                },
                "Url": {
                  "Value": {"Fn::GetAtt": ["Queue", "QueueUrl"]}
                }
              }
            }
            # production/cloudformation/platform/uses.json
            {
              "AWSTemplateFormatVersion": "2010-09-09",
              "Description": "uses of the platform in acme production",
              "Metadata": {
                "terrace": {
                  "needs": ["directory:acme-production-platform-other"]
                }
              },
              "Parameters": {
                "OtherQueueQueueUrl": {
                  "Type": "String"
                }
              },
              "Resources": {
                "Policy": {
                  "Type": "AWS::SQS::QueuePolicy",
                  "Properties": {
                    "Queues": [
                      {"Ref": "OtherQueueQueueUrl"}
                    ],
                    "PolicyDocument": {
                      "Version": "2012-10-17",
                      "Statement": [
                        {
                          "Effect": "Allow",
                          "Principal": {
                            "Service": "sns.amazonaws.com"
                          },
                          "Action": "sqs:SendMessage",
                          "Resource": {"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:acme-production-platform-other"}
                        }
                      ]
                    }
                  }
                }
              }
            }
            # production/kubernetes/finance/orders.yaml
            apiVersion: v1
            kind: ConfigMap
            metadata:
              name: orders-settings
              namespace: data-tenant-finance
              labels:
                app.kubernetes.io/name: orders
                app.kubernetes.io/instance: finance-orders
                app.kubernetes.io/part-of: acme
                app.kubernetes.io/managed-by: terrace
                tenant: finance
                terrace.dev/stack: acme.production
              annotations:
                terrace.dev/address: finance/orders/settings
            data:
              URL: '${platform/other/queue.url}'
              A: 'NO'
            # production/kubernetes/finance/tenant.yaml
            apiVersion: v1
            kind: Namespace
            metadata:
              name: data-tenant-finance
              labels:
                terrace.dev/stack: acme.production
              annotations:
                terrace.dev/address: finance/tenant/space
        "##]],
    );
}
