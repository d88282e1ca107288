//! Every type and every kind has a class with a reason, and types that store data are classified as data.

use std::collections::BTreeSet;

use terrace_artifact::Value;
use terrace_catalog::{
    DataClass, classes, cloudformation, data_of_kind, data_of_object, data_of_type, kinds, kubernetes,
    supports_snapshot, types,
};

#[test]
fn every_type_and_kind_has_one_class_and_a_reason() {
    let mut seen = BTreeSet::new();
    let mut last = "";
    for (name, entry) in classes() {
        assert!(seen.insert(name), "{name} has two lines");
        assert!(last < name, "{name} is not in order");
        last = name;
        let reason = entry.data.reason;
        assert!(reason.len() >= 4, "{name} has no reason");
        assert!(
            !reason.ends_with('.') && reason.trim() == reason,
            "{name}: {reason}"
        );
    }
    for name in types() {
        assert!(seen.contains(name), "{name} has no class");
        assert_eq!(cloudformation(name).unwrap().data(), data_of_type(name));
    }
    for (version, name) in kinds() {
        assert!(
            data_of_kind(version, name).is_some(),
            "{version} {name} has no class"
        );
        assert_eq!(
            kubernetes(version, name).unwrap().data(),
            data_of_kind(version, name)
        );
    }
    // A line for a type that no longer exists has no effect.
    let known: BTreeSet<&str> = types().collect();
    let stale = seen
        .iter()
        .filter(|name| name.contains("::") && !known.contains(*name));
    assert_eq!(stale.count(), 0);
}

/// The types come from audits of this and other tools, and from cfn-lint's list of stateful resources.
#[test]
fn types_that_store_data_are_classified_as_data() {
    const NAMED: &str = "
        ACMPCA::CertificateAuthority AmazonMQ::Broker Backup::BackupVault Cassandra::Keyspace Cassandra::Table
        CloudFormation::Stack CloudTrail::EventDataStore Cognito::UserPool DSQL::Cluster DocDB::DBCluster
        DynamoDB::GlobalTable DynamoDB::Table EC2::Instance EC2::Volume ECR::Repository EFS::FileSystem EMR::Cluster
        ElastiCache::CacheCluster ElastiCache::ReplicationGroup ElastiCache::ServerlessCache Elasticsearch::Domain
        Events::Archive FSx::FileSystem FSx::Volume Glue::Database Glue::Table KMS::Key Kinesis::Stream
        KinesisFirehose::DeliveryStream Logs::LogGroup MSK::Cluster MSK::ServerlessCluster MSK::Topic MWAA::Environment
        MemoryDB::Cluster Neptune::DBCluster NeptuneGraph::Graph OpenSearchServerless::Collection
        OpenSearchService::Domain Organizations::Account QLDB::Ledger RDS::DBCluster RDS::DBInstance RDS::GlobalCluster
        Redshift::Cluster RedshiftServerless::Namespace S3::Bucket S3Express::DirectoryBucket S3Tables::Table
        S3Tables::TableBucket S3Vectors::VectorBucket SDB::Domain SNS::Topic SQS::Queue SSM::Parameter
        SageMaker::FeatureGroup SecretsManager::Secret Timestream::Database Timestream::InfluxDBInstance
        Timestream::Table";
    for name in NAMED.split_whitespace() {
        assert_eq!(
            data_of_type(&format!("AWS::{name}")).class,
            DataClass::Data,
            "{name}"
        );
    }
    for name in types().filter(|name| supports_snapshot(name)) {
        assert_eq!(data_of_type(name).class, DataClass::Data, "{name}");
    }
    assert_eq!(types().filter(|name| supports_snapshot(name)).count(), 8);
    assert_eq!(data_of_type("AWS::IAM::Role").class, DataClass::Configuration);
    assert_eq!(data_of_type("AWS::EC2::EIP").class, DataClass::Identity);
    assert_eq!(data_of_type("AWS::EC2::VolumeAttachment").class, DataClass::None);
    assert_eq!(data_of_type("Custom::Anything").class, DataClass::None);
    // An unknown type, such as one newer than the catalog, is assumed to hold data.
    assert_eq!(data_of_type("AWS::New::Store").class, DataClass::Data);
}

#[test]
fn data_of_an_object_depends_on_its_manifest() {
    let of = |kind: &str, json: &str| {
        let (version, kind) = kind.split_once(' ').unwrap();
        let holding = data_of_object(version, kind, &serde_json::from_str::<Value>(json).unwrap());
        (holding.data.class, holding.outlived)
    };
    let claims = r#"{"spec": {"volumeClaimTemplates": [{}]}}"#;
    assert_eq!(of("apps/v1 StatefulSet", claims), (DataClass::Data, true));
    assert_eq!(
        of("apps/v1 StatefulSet", r#"{"spec": {}}"#),
        (DataClass::Configuration, false)
    );
    let deletes = r#"{"spec": {"volumeClaimTemplates": [{}], "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}}"#;
    assert_eq!(of("apps/v1 StatefulSet", deletes), (DataClass::Data, false));
    assert_eq!(of("v1 PersistentVolumeClaim", "{}"), (DataClass::Data, false));
    let retained = r#"{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}"#;
    assert_eq!(of("v1 PersistentVolume", retained), (DataClass::Data, true));
    assert_eq!(of("v1 PersistentVolume", "{}"), (DataClass::Data, false));
    assert_eq!(
        of("v1 Service", r#"{"spec": {"type": "LoadBalancer"}}"#),
        (DataClass::Identity, false)
    );
    assert_eq!(of("v1 Service", "{}"), (DataClass::Configuration, false));
    assert_eq!(
        of("postgresql.cnpg.io/v1 Cluster", r#"{"spec": {}}"#),
        (DataClass::Data, false)
    );
    // An unclassified kind is assumed to hold data if it requests storage.
    assert_eq!(
        of("kafka.strimzi.io/v1beta2 Kafka", "{}"),
        (DataClass::Data, true)
    );
    let stores = r#"{"spec": {"server": {"persistence": {"size": "1Gi"}}}}"#;
    assert_eq!(of("example.org/v1 Store", stores), (DataClass::Data, false));
    let off = r#"{"spec": {"persistence": false, "resources": {"ephemeral-storage": "1Gi"}}}"#;
    assert_eq!(of("example.org/v1 Store", off), (DataClass::Configuration, false));
}
