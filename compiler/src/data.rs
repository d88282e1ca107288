//! Which resources hold data: losing one of them loses what nobody can compute again.

use crate::resource::ResourceKind;
use crate::term::Term;

/// CloudFormation types that hold data, by what AWS says a delete does.
const TYPES: [&str; 26] = [
    "AWS::Backup::BackupVault",
    "AWS::Cassandra::Table",
    "AWS::CloudTrail::EventDataStore",
    "AWS::DocDB::DBCluster",
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::EC2::Volume",
    "AWS::EFS::FileSystem",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::FSx::FileSystem",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::MSK::Cluster",
    "AWS::Neptune::DBCluster",
    "AWS::OpenSearchService::Domain",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
    "AWS::Redshift::Cluster",
    "AWS::RedshiftServerless::Namespace",
    "AWS::S3::Bucket",
    "AWS::S3Tables::TableBucket",
    "AWS::SecretsManager::Secret",
    "AWS::Timestream::Database",
    "AWS::Timestream::Table",
];

/// Whether a resource holds data, as its type says. A resource may say otherwise with `holds_data`.
pub(crate) fn holds_data(kind: &ResourceKind, body: &Term) -> bool {
    match kind {
        ResourceKind::CloudFormation(name) => TYPES.contains(&name.as_str()),
        ResourceKind::Kubernetes { kind, .. } => match kind.as_str() {
            "PersistentVolumeClaim" | "PersistentVolume" | "VolumeSnapshot" | "VolumeSnapshotContent" => true,
            "StatefulSet" => body
                .at(&["spec", "volumeClaimTemplates"])
                .is_some_and(|claims| !claims.items().is_empty()),
            // A custom database; the operator deletes its volumes with it.
            "Cluster" => body.get("spec").is_some_and(|spec| spec.get("storage").is_some()),
            _ => false,
        },
    }
}
