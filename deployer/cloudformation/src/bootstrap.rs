//! `terrace bootstrap`: creates and configures the bootstrap bucket of an account and region.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types;
use terrace_artifact::{Map, Value, to_json_compact};
use terrace_deployer_model::failure::{Failure, FailureKind};

use super::account::Account;
use super::bucket::status;

/// The days for which replaced and deleted versions of objects are kept.
const NONCURRENT_DAYS: i32 = 90;
const ABANDONED_UPLOAD_DAYS: i32 = 7;
/// The names of Terrace's own lifecycle rule and policy statement. They distinguish these from the rules of other users.
const OWN_RULE: &str = "old-versions";
const OWN_STATEMENT: &str = "TlsOnly";

impl Account {
    /// Creates the bucket if it does not exist, and configures it. Returns one line for each setting.
    pub(super) async fn bootstrap(&self) -> Result<Vec<String>, Failure> {
        self.identify().await?;
        let bucket = self.bucket();
        let mut lines = vec![self.create_bucket(&bucket).await?];
        let refused = |verb: &'static str| {
            let bucket = bucket.clone();
            move |error: Failure| {
                error.hint(format!(
                    "the role that runs `terrace bootstrap` needs `{verb}` on `{bucket}`"
                ))
            }
        };
        self.block_public_access(&bucket)
            .await
            .map_err(refused("s3:PutBucketPublicAccessBlock"))?;
        lines.push("public access is blocked".to_owned());
        self.own_objects(&bucket)
            .await
            .map_err(refused("s3:PutBucketOwnershipControls"))?;
        lines.push("object ownership is enforced".to_owned());
        self.encrypt(&bucket)
            .await
            .map_err(refused("s3:PutEncryptionConfiguration"))?;
        lines.push("encryption is enabled".to_owned());
        self.keep_versions(&bucket)
            .await
            .map_err(refused("s3:PutBucketVersioning"))?;
        lines.push("versioning is enabled".to_owned());
        self.expire_versions(&bucket)
            .await
            .map_err(refused("s3:PutLifecycleConfiguration"))?;
        lines.push(format!(
            "noncurrent versions are deleted after {NONCURRENT_DAYS} days"
        ));
        self.require_tls(&bucket)
            .await
            .map_err(refused("s3:PutBucketPolicy"))?;
        lines.push("requests without TLS are denied".to_owned());
        Ok(lines)
    }

    async fn create_bucket(&self, bucket: &str) -> Result<String, Failure> {
        let mut request = self.buckets.create_bucket().bucket(bucket);
        // S3 rejects a location constraint that names its default region.
        if self.region != "us-east-1" {
            request = request.create_bucket_configuration(
                types::CreateBucketConfiguration::builder()
                    .location_constraint(types::BucketLocationConstraint::from(self.region.as_str()))
                    .build(),
            );
        }
        match request.send().await {
            Ok(_) => Ok(format!("bucket `{bucket}` was created")),
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => {
                Ok(format!("bucket `{bucket}` already exists"))
            }
            Err(error) if error.code() == Some("BucketAlreadyExists") => Err(self.bucket_of_another()),
            Err(error) => Err(self.refused(&error, "s3:CreateBucket", bucket)),
        }
    }

    async fn block_public_access(&self, bucket: &str) -> Result<(), Failure> {
        let block = types::PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true)
            .build();
        let request = self.s3.put_public_access_block().bucket(bucket);
        let sent = request.public_access_block_configuration(block).send().await;
        sent.map_err(|error| self.refused(&error, "s3:PutBucketPublicAccessBlock", bucket))?;
        Ok(())
    }

    async fn own_objects(&self, bucket: &str) -> Result<(), Failure> {
        let rule = types::OwnershipControlsRule::builder()
            .object_ownership(types::ObjectOwnership::BucketOwnerEnforced)
            .build()
            .map_err(|error| malformed(&error))?;
        let controls = types::OwnershipControls::builder()
            .rules(rule)
            .build()
            .map_err(|error| malformed(&error))?;
        let request = self.s3.put_bucket_ownership_controls().bucket(bucket);
        let sent = request.ownership_controls(controls).send().await;
        sent.map_err(|error| self.refused(&error, "s3:PutBucketOwnershipControls", bucket))?;
        Ok(())
    }

    /// Enables encryption. Keeps an existing configuration, which may use a key of the account.
    async fn encrypt(&self, bucket: &str) -> Result<(), Failure> {
        match self.s3.get_bucket_encryption().bucket(bucket).send().await {
            Ok(found) => {
                let rules = found
                    .server_side_encryption_configuration()
                    .map(|found| found.rules());
                if rules.is_some_and(|rules| !rules.is_empty()) {
                    return Ok(());
                }
            }
            Err(error) if status(&error) == 404 => {}
            Err(error) => return Err(self.refused(&error, "s3:GetEncryptionConfiguration", bucket)),
        }
        let default = types::ServerSideEncryptionByDefault::builder()
            .sse_algorithm(types::ServerSideEncryption::Aes256)
            .build()
            .map_err(|error| malformed(&error))?;
        let rule = types::ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .build();
        let configuration = types::ServerSideEncryptionConfiguration::builder()
            .rules(rule)
            .build()
            .map_err(|error| malformed(&error))?;
        let request = self.s3.put_bucket_encryption().bucket(bucket);
        let sent = request
            .server_side_encryption_configuration(configuration)
            .send()
            .await;
        sent.map_err(|error| self.refused(&error, "s3:PutEncryptionConfiguration", bucket))?;
        Ok(())
    }

    async fn keep_versions(&self, bucket: &str) -> Result<(), Failure> {
        let versioning = types::VersioningConfiguration::builder()
            .status(types::BucketVersioningStatus::Enabled)
            .build();
        let request = self.s3.put_bucket_versioning().bucket(bucket);
        let sent = request.versioning_configuration(versioning).send().await;
        sent.map_err(|error| self.refused(&error, "s3:PutBucketVersioning", bucket))?;
        Ok(())
    }

    /// Adds Terrace's lifecycle rule. Keeps all other rules.
    async fn expire_versions(&self, bucket: &str) -> Result<(), Failure> {
        let mut rules = match self
            .s3
            .get_bucket_lifecycle_configuration()
            .bucket(bucket)
            .send()
            .await
        {
            Ok(found) => found.rules.unwrap_or_default(),
            Err(error) if status(&error) == 404 => Vec::new(),
            Err(error) => return Err(self.refused(&error, "s3:GetLifecycleConfiguration", bucket)),
        };
        if rules.iter().any(|rule| rule.id() == Some(OWN_RULE)) {
            return Ok(());
        }
        let noncurrent = types::NoncurrentVersionExpiration::builder()
            .noncurrent_days(NONCURRENT_DAYS)
            .build();
        let abandoned = types::AbortIncompleteMultipartUpload::builder()
            .days_after_initiation(ABANDONED_UPLOAD_DAYS)
            .build();
        let rule = types::LifecycleRule::builder()
            .id(OWN_RULE)
            .status(types::ExpirationStatus::Enabled)
            .filter(types::LifecycleRuleFilter::builder().prefix("").build())
            .noncurrent_version_expiration(noncurrent)
            .abort_incomplete_multipart_upload(abandoned)
            .build()
            .map_err(|error| malformed(&error))?;
        rules.push(rule);
        let lifecycle = types::BucketLifecycleConfiguration::builder()
            .set_rules(Some(rules))
            .build()
            .map_err(|error| malformed(&error))?;
        let request = self.s3.put_bucket_lifecycle_configuration().bucket(bucket);
        let sent = request.lifecycle_configuration(lifecycle).send().await;
        sent.map_err(|error| self.refused(&error, "s3:PutLifecycleConfiguration", bucket))?;
        Ok(())
    }

    /// Adds Terrace's policy statement. Keeps all other statements.
    async fn require_tls(&self, bucket: &str) -> Result<(), Failure> {
        let found = match self.s3.get_bucket_policy().bucket(bucket).send().await {
            Ok(found) => found.policy.unwrap_or_default(),
            Err(error) if status(&error) == 404 => String::new(),
            Err(error) => return Err(self.refused(&error, "s3:GetBucketPolicy", bucket)),
        };
        let mut policy = serde_json::from_str::<Value>(&found).unwrap_or_default();
        let mut statements = match policy.get("Statement") {
            Some(Value::List(list)) => list.clone(),
            Some(statement) => vec![statement.clone()],
            None => Vec::new(),
        };
        if statements
            .iter()
            .any(|statement| statement.get("Sid").and_then(Value::as_str) == Some(OWN_STATEMENT))
        {
            return Ok(());
        }
        statements.push(tls_only(self.partition(), bucket));
        if policy.as_map().is_none() {
            policy = Value::Map(Map::from_iter([("Version", "2012-10-17")]));
        }
        if let Some(map) = policy.as_map_mut() {
            map.insert("Statement", statements);
        }
        let request = self
            .s3
            .put_bucket_policy()
            .bucket(bucket)
            .policy(to_json_compact(&policy));
        let sent = request.send().await;
        sent.map_err(|error| self.refused(&error, "s3:PutBucketPolicy", bucket))?;
        Ok(())
    }
}

/// Returns the policy statement that denies requests without TLS.
fn tls_only(partition: &str, bucket: &str) -> Value {
    let arn = format!("arn:{partition}:s3:::{bucket}");
    let mut insecure = Map::new();
    insecure.insert("aws:SecureTransport", "false");
    let mut condition = Map::new();
    condition.insert("Bool", insecure);
    let mut statement = Map::new();
    statement.insert("Sid", OWN_STATEMENT);
    statement.insert("Effect", "Deny");
    statement.insert("Principal", "*");
    statement.insert("Action", "s3:*");
    statement.insert(
        "Resource",
        vec![Value::from(arn.clone()), format!("{arn}/*").into()],
    );
    statement.insert("Condition", condition);
    Value::Map(statement)
}

/// Returns the failure of a request that the SDK rejects as incomplete, which is a bug in Terrace.
fn malformed(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        FailureKind::Broken,
        "a request for the bootstrap bucket could not be created",
    )
    .server(error.to_string())
}
