//! The bootstrap bucket: templates that are too large to be sent, the code and scripts that templates name, and the
//! state store of environments whose home is here.
//!
//! Bucket names are one namespace for all accounts, and the name of this one can be guessed. So every request states which
//! account has to own the bucket, and S3 refuses it where another one does.

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

use crate::failure::{Failure, FailureKind};

use super::account::Account;

/// CloudFormation takes a template of up to this many bytes with the request itself.
pub(super) const INLINE: usize = 51_200;
/// And up to this many from a bucket.
const LARGEST: usize = 1_000_000;

/// How often an object that somebody else writes at the same time is tried.
const PUT_ATTEMPTS: usize = 5;

/// A template as a request wants it.
pub(super) enum Body {
    Inline(String),
    Url(String),
}

/// Adds the account that has to own the bucket to every request of a client.
///
/// `CreateBucket` and `ListBuckets` take no such condition; they are sent with [`Account::buckets`].
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
    /// The template for a request; a large one is put into the bucket first.
    pub(super) async fn template_body(&self, template: &Value, stack: &str) -> Result<Body, Failure> {
        let text = to_json_compact(template);
        if text.len() <= INLINE {
            return Ok(Body::Inline(text));
        }
        if text.len() > LARGEST {
            return Err(Failure::new(
                FailureKind::Rejected,
                format!(
                    "the template of `{stack}` has {} bytes, and CloudFormation takes {LARGEST}",
                    text.len()
                ),
            )
            .hint("divide the component into several stacks"));
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

    /// Puts assets into the bucket that are not there yet.
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

    /// Puts an object into the bucket whose key names its content. One that is there already is verified: whoever writes to
    /// the bucket would otherwise decide what runs in the account.
    async fn put_once(&self, key: &str, digest: &Digest, bytes: &[u8]) -> Result<(), Failure> {
        if Digest::of_bytes(bytes) != *digest {
            let message = format!("the content of `{key}` is not what its digest `{digest}` names");
            return Err(Failure::new(FailureKind::Broken, message).hint("build or plan it again"));
        }
        for _ in 0..PUT_ATTEMPTS {
            if let Some(there) = self.head(key).await? {
                return self.verify(key, digest, &there).await;
            }
            let body = ByteStream::from(bytes.to_vec());
            let put = self.put_request(key, digest).if_none_match("*").body(body);
            match put.send().await {
                Ok(_) => return Ok(()),
                // Somebody has put one there in the same moment; 409 is two writes at once.
                Err(error) if matches!(status(&error), 409 | 412) => {}
                Err(error) => return Err(self.bucket_refused(&error, "s3:PutObject").await),
            }
        }
        let message = format!("`{key}` could not be written: others write it at the same time");
        Err(Failure::new(FailureKind::Throttled, message))
    }

    /// A request that writes an object, which S3 stores only if it arrives with this digest.
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

    /// Fails where an object of the bucket has another content than its key names.
    async fn verify(&self, key: &str, digest: &Digest, there: &HeadObjectOutput) -> Result<(), Failure> {
        let same = match there.checksum_sha256() {
            Some(checksum) => checksum == digest.to_base64(),
            // Put there by somebody else, or by a copy: S3 knows no digest of it.
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
            "`{key}` in bucket `{bucket}` is not the file that its name states: somebody else wrote it"
        );
        Err(Failure::new(FailureKind::Tampered, message).hint(format!(
            "find out who did (the bucket keeps versions), delete it, and run this again:\n\
             aws s3api list-object-versions --bucket {bucket} --prefix {key}\n\
             aws s3api delete-object --bucket {bucket} --key {key}"
        )))
    }

    /// Fails where the bucket is not there, or is another account's.
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

    /// What an error of the bucket means: nobody has created it yet, or it is another account's, or a right is missing.
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
                "either this right is missing, or `{bucket}` belongs to another account than {}: S3 answers both alike. \
                 With `s3:ListAllMyBuckets`, terrace tells which",
                self.id
            )),
        }
    }

    /// Whether the bucket is among those of the account; nothing where these may not be listed.
    async fn owns_bucket(&self) -> Option<bool> {
        let bucket = self.bucket();
        let listed = self.buckets.list_buckets().prefix(&bucket).send().await.ok()?;
        let mut names = listed.buckets().iter().filter_map(|found| found.name());
        Some(names.any(|name| name == bucket))
    }

    /// The failure of whatever needs the bucket before `terrace bootstrap` was run.
    pub(super) fn not_bootstrapped(&self) -> Failure {
        Failure::new(
            FailureKind::NotBootstrapped,
            format!(
                "account {} has not been prepared for terrace in {}: there is no bucket `{}`",
                self.id,
                self.region,
                self.bucket()
            ),
        )
        .hint(format!(
            "create it once:\nterrace bootstrap -e {}",
            self.environment
        ))
    }

    /// The failure where another account has the name of the bucket.
    pub(super) fn bucket_of_another(&self) -> Failure {
        Failure::new(
            FailureKind::WrongTarget,
            format!("bucket `{}` belongs to another account than {}", self.bucket(), self.id),
        )
        .hint(
            "nothing was read from it or written to it: its owner would see what terrace deploys, and could change it. \
             Bucket names are unique across all accounts; terrace cannot be used here until this one is free",
        )
    }
}

/// An object whose bytes did not arrive.
pub(super) fn unread(key: &str, error: &dyn std::error::Error) -> Failure {
    let message = format!("`{key}` could not be read to its end");
    Failure::new(FailureKind::Unreachable, message).server(error.to_string())
}

/// The status of an answer: `HEAD` has no body that would carry an error code.
pub(super) fn status<E>(error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> u16 {
    error.raw_response().map_or(0, |raw| raw.status().as_u16())
}
