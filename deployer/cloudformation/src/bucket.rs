//! The bootstrap bucket. It stores templates that are too large for a request, the code and scripts that templates refer to,
//! and the state store of environments.
//!
//! All accounts share one namespace of bucket names, and the name of this bucket can be guessed. Therefore every request
//! states the account that must own the bucket, and S3 rejects the request if another account owns it.

use std::sync::atomic::Ordering;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use futures::{StreamExt, TryStreamExt};
use terrace_artifact::{Asset, Digest, Text, Value, to_json_compact};
use terrace_deployer_model::failure::{Failure, FailureKind};

use super::account::Account;

/// The maximum size in bytes of a template in the body of a request, a quota of CloudFormation.
pub(super) const INLINE: usize = 51_200;
/// The maximum size in bytes of a template in a bucket, a quota of CloudFormation.
const LARGEST: usize = 1_000_000;

/// The number of attempts to write an object that other processes write at the same time.
const PUT_ATTEMPTS: usize = 5;

/// A template in the form that a request requires.
pub(super) enum Body {
    Inline(String),
    Url(String),
}

/// Adds the account that must own the bucket to every request of a client.
///
/// `CreateBucket` and `ListBuckets` do not support this condition. They are sent with [`Account::buckets`].
#[derive(Debug)]
pub(super) struct ExpectedOwner(pub(super) Text);

impl Intercept for ExpectedOwner {
    fn name(&self) -> &'static str {
        "ExpectedOwner"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.try_insert("x-amz-expected-bucket-owner", self.0.to_string())?;
        Ok(())
    }
}

impl Account {
    /// Returns the template for a request. Uploads a large template to the bucket first.
    pub(super) async fn template_body(&self, template: &Value, stack: &str) -> Result<Body, Failure> {
        let text = to_json_compact(template);
        if text.len() <= INLINE {
            return Ok(Body::Inline(text));
        }
        if text.len() > LARGEST {
            return Err(Failure::new(
                FailureKind::Rejected,
                format!(
                    "the template of `{stack}` has {} bytes, but CloudFormation accepts at most {LARGEST}",
                    text.len()
                ),
            )
            .hint("split the component into several components"));
        }
        let digest = Digest::of_bytes(text.as_bytes());
        let key = format!("templates/{digest}.json");
        self.put_once(&key, &digest, text.as_bytes()).await?;
        let suffix = if self.partition() == "aws-cn" { ".cn" } else { "" };
        Ok(Body::Url(format!(
            "https://{}.s3.{}.amazonaws.com{suffix}/{key}",
            self.bucket(),
            self.region
        )))
    }

    /// Uploads the assets that the bucket does not contain yet.
    pub(super) async fn put_assets(&self, assets: &[(&Digest, &Asset)]) -> Result<(), Failure> {
        let mut puts = Vec::with_capacity(assets.len());
        for (digest, asset) in assets {
            puts.push(self.put_once(&asset.key, digest, &asset.bytes));
        }
        futures::stream::iter(puts)
            .buffer_unordered(4)
            .try_collect::<()>()
            .await
    }

    /// Uploads an object whose key contains the digest of its content. Verifies an object that already exists: otherwise every
    /// user with write access to the bucket could decide which code runs in the account.
    async fn put_once(&self, key: &str, digest: &Digest, bytes: &[u8]) -> Result<(), Failure> {
        if Digest::of_bytes(bytes) != *digest {
            let message = format!("the content of `{key}` does not match its digest `{digest}`");
            return Err(
                Failure::new(FailureKind::Broken, message).hint("build the bundle again, or make a new plan")
            );
        }
        for _ in 0..PUT_ATTEMPTS {
            if let Some(existing) = self.head(key).await? {
                return self.verify(key, digest, &existing).await;
            }
            let body = ByteStream::from(bytes.to_vec());
            let put = self.put_request(key, digest).if_none_match("*").body(body);
            match put.send().await {
                Ok(_) => return Ok(()),
                // 412: another process has created the object meanwhile. 409: two conditional writes at the same time.
                Err(error) if matches!(status(&error), 409 | 412) => {}
                Err(error) => return Err(self.bucket_refused(&error, "s3:PutObject").await),
            }
        }
        let message = format!("`{key}` could not be written: other processes write it at the same time");
        Err(Failure::new(FailureKind::Throttled, message))
    }

    /// Returns a request that writes an object. S3 stores the object only if its content has this digest.
    pub(super) fn put_request(&self, key: &str, digest: &Digest) -> PutObjectFluentBuilder {
        let put = self.s3.put_object().bucket(self.bucket()).key(key);
        put.checksum_sha256(digest.to_base64())
    }

    async fn head(&self, key: &str) -> Result<Option<HeadObjectOutput>, Failure> {
        let request = self.s3.head_object().bucket(self.bucket()).key(key);
        match request.checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(found) => Ok(Some(found)),
            Err(error) if status(&error) == 404 => Ok(None),
            Err(error) => Err(self.bucket_refused(&error, "s3:GetObject").await),
        }
    }

    /// Fails if the content of an existing object does not match the digest in its key.
    async fn verify(&self, key: &str, digest: &Digest, existing: &HeadObjectOutput) -> Result<(), Failure> {
        let same = match existing.checksum_sha256() {
            Some(checksum) => checksum == digest.to_base64(),
            // Another program or a copy operation wrote the object, so S3 has not stored a digest of it.
            None => {
                let request = self.s3.get_object().bucket(self.bucket()).key(key);
                let found = match request.send().await {
                    Ok(found) => found,
                    Err(error) => return Err(self.bucket_refused(&error, "s3:GetObject").await),
                };
                let bytes = found.body.collect().await.map_err(|error| unread(key, &error))?;
                Digest::of_bytes(&bytes.to_vec()) == *digest
            }
        };
        if same {
            return Ok(());
        }
        let bucket = self.bucket();
        let message = format!(
            "the content of `{key}` in bucket `{bucket}` does not match the digest in its name: another user wrote it"
        );
        Err(Failure::new(FailureKind::Tampered, message).hint(format!(
            "find out who wrote it (the bucket keeps versions), delete it, and run this command again:\n\
             aws s3api list-object-versions --bucket {bucket} --prefix {key}\n\
             aws s3api delete-object --bucket {bucket} --key {key}"
        )))
    }

    /// Fails if the bucket does not exist or belongs to another account.
    pub(super) async fn require_bucket(&self) -> Result<(), Failure> {
        if self.bucket_answered.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.s3.head_bucket().bucket(self.bucket()).send().await {
            Ok(_) => {
                self.bucket_answered.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if status(&error) == 404 => Err(self.not_bootstrapped()),
            Err(error) => Err(self.bucket_refused(&error, "s3:ListBucket").await),
        }
    }

    /// Converts an error of the bucket to a failure: the bucket does not exist, it belongs to another account, or a permission
    /// is missing.
    pub(super) async fn bucket_refused<E>(
        &self,
        error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
        verb: &str,
    ) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let bucket = self.bucket();
        if error.code() == Some("NoSuchBucket") {
            return self.not_bootstrapped();
        }
        let resource = match verb {
            "s3:GetObject" | "s3:PutObject" | "s3:DeleteObject" => format!("{bucket}/*"),
            _ => bucket.clone(),
        };
        let refused = self.refused(error, verb, &resource);
        if status(error) != 403 {
            return refused;
        }
        match self.owns_bucket().await {
            Some(true) => refused,
            Some(false) => self.bucket_of_another(),
            None => refused.hint(format!(
                "grant this permission, or check that `{bucket}` belongs to account {}: S3 returns the same error in both cases. \
                 With the permission `s3:ListAllMyBuckets`, Terrace can distinguish them",
                self.id
            )),
        }
    }

    /// Returns whether the account owns the bucket, or `None` if the buckets of the account cannot be listed.
    async fn owns_bucket(&self) -> Option<bool> {
        let bucket = self.bucket();
        let listed = self.buckets.list_buckets().prefix(&bucket).send().await.ok()?;
        let mut names = listed.buckets().iter().filter_map(|found| found.name());
        Some(names.any(|name| name == bucket))
    }

    /// Returns the failure of an operation that needs the bucket before `terrace bootstrap` has created it.
    pub(super) fn not_bootstrapped(&self) -> Failure {
        Failure::new(
            FailureKind::NotBootstrapped,
            format!(
                "account {} is not bootstrapped in {}: bucket `{}` does not exist",
                self.id,
                self.region,
                self.bucket()
            ),
        )
        .hint(format!(
            "create the bucket:\nterrace bootstrap -e {}",
            self.environment
        ))
    }

    /// Returns the failure of an operation on a bucket that belongs to another account.
    pub(super) fn bucket_of_another(&self) -> Failure {
        Failure::new(
            FailureKind::WrongTarget,
            format!("bucket `{}` belongs to another account, not to {}", self.bucket(), self.id),
        )
        .hint(
            "Terrace neither reads nor writes this bucket: its owner could read and change the files that Terrace deploys. Bucket names are \
             unique across all accounts, so Terrace cannot be used in this account and region until the name is free",
        )
    }
}

/// Returns the failure of a read that did not deliver all bytes of an object.
pub(super) fn unread(key: &str, error: &dyn std::error::Error) -> Failure {
    let message = format!("`{key}` could not be read completely");
    Failure::new(FailureKind::Unreachable, message).server(error.to_string())
}

/// Returns the HTTP status of a response. The response to `HEAD` has no body, and so no error code.
pub(super) fn status<E>(error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> u16 {
    error.raw_response().map_or(0, |raw| raw.status().as_u16())
}
