//! The rules for CloudFormation resources.

use terrace_graph::lower::Lowered;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::targets::CloudFormation;

use crate::{
    Finding, Subject, TargetRules, environments, glue_resources, keys, monitoring, names, permissions,
    policies, storage, streams, tenancy,
};

impl TargetRules for CloudFormation {
    fn check(&self, subject: &Subject<'_>, findings: &mut Vec<Finding>) {
        match subject.resource.kind.name().as_str() {
            "AWS::S3::Bucket" => storage::bucket(subject, findings),
            "AWS::Glue::Job" => glue_resources::job(subject, findings),
            "AWS::Glue::Table" => glue_resources::table(subject, findings),
            "AWS::Lambda::Function" => streams::function(subject, findings),
            "AWS::Lambda::EventSourceMapping" => streams::mapping(subject, findings),
            "AWS::CloudWatch::Alarm" => {
                monitoring::alarm(subject, findings);
                keys::alarm(subject, findings);
            }
            "AWS::Events::Rule" => keys::rule(subject, findings),
            "AWS::SNS::TopicPolicy" => keys::policy(subject, "Topics", findings),
            "AWS::SQS::QueuePolicy" => keys::policy(subject, "Queues", findings),
            "AWS::Logs::LogGroup" => keys::logs(subject, findings),
            "AWS::IAM::Policy" | "AWS::IAM::Role" | "AWS::IAM::ManagedPolicy" => {
                permissions::policy(subject, findings);
                permissions::managed(subject, findings);
                keys::rights(subject, findings);
            }
            "AWS::Lambda::Permission" => policies::permission(subject, findings),
            _ => {}
        }
        tenancy::resource(subject, findings);
        policies::open(subject, findings);
        policies::length(subject, findings);
        environments::schedule(subject, findings);
        // If another environment shares the account, the first rule reports the name.
        if subject.graph.shares_account(subject.resource.instance) {
            names::environment(subject, findings);
        } else {
            environments::name(subject, findings);
        }
    }

    fn is_secret(&self, _kind: &ResourceKind) -> bool {
        false
    }

    fn has_password_properties(&self) -> bool {
        true
    }

    fn canonicalize(&self, _resource: &Resource, _lowered: &mut Lowered) {}
}
