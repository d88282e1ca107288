//! The state store of an environment in the bootstrap bucket. It consists of objects with conditional writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use futures::future::BoxFuture;
use terrace_artifact::{Digest, Text};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::lease::{self, LeaseRecord, LeaseStore};
use terrace_deployer_model::state_store::{LockGuard, LockHolder, LockWaitObserver, StateStore};

use super::account::Account;
use super::bucket::{status, unread};

mod claim;

/// The state store of one environment, below a prefix of the bucket.
#[derive(Clone)]
pub(super) struct BucketStateStore {
    store: Arc<Store>,
}

struct Store {
    account: Arc<Account>,
    /// `environments/acme.production/`.
    prefix: String,
    /// Whether a read found no bucket.
    missing: AtomicBool,
}

/// The result of a conditional write.
enum Put {
    Done(Text),
    ConditionFailed,
}

impl BucketStateStore {
    /// Returns the state store of the environment with this label.
    pub(super) fn new(account: Arc<Account>, label: &str) -> BucketStateStore {
        BucketStateStore::with_prefix(account, format!("environments/{label}/"))
    }

    fn with_prefix(account: Arc<Account>, prefix: String) -> BucketStateStore {
        BucketStateStore {
            store: Arc::new(Store {
                account,
                prefix,
                missing: AtomicBool::new(false),
            }),
        }
    }
}

impl StateStore for BucketStateStore {
    fn shown(&self) -> String {
        format!("s3://{}/{}", self.store.account.bucket(), self.store.prefix)
    }

    fn delete_command(&self, key: &str) -> String {
        self.store.delete_command(key)
    }

    fn missing(&self) -> Option<Failure> {
        let missing = self.store.missing.load(Ordering::Relaxed);
        missing.then(|| self.store.account.not_bootstrapped())
    }

    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Failure>> {
        Box::pin(async move { Ok(self.store.get(key).await?.map(|(bytes, _)| bytes)) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(self.store.keys(prefix))
    }

    fn create<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            match self.store.put(key, value.to_vec(), None).await? {
                Put::Done(_) => Ok(true),
                Put::ConditionFailed => Ok(false),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.store.remove(key, None))
    }

    fn lock<'a>(
        &'a self,
        holder: &'a LockHolder,
        waiting: &'a LockWaitObserver<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn LockGuard>, Failure>> {
        lease::take(self.store.clone(), holder, waiting)
    }
}

const LOCK: &str = "lock";

impl LeaseStore for Store {
    fn read(&self) -> BoxFuture<'_, Result<Option<(LeaseRecord, Text)>, Failure>> {
        Box::pin(async move {
            let Some((bytes, version)) = self.get(LOCK).await? else {
                return Ok(None);
            };
            let record = serde_json::from_slice(&bytes).map_err(|error| {
                Failure::new(
                    FailureKind::Broken,
                    format!("`{}{LOCK}` is not a valid lock", self.prefix),
                )
                .server(error.to_string())
                .hint(format!(
                    "only Terrace may write this object; if no apply is running, delete it:\n{}",
                    self.delete_command(LOCK)
                ))
            })?;
            Ok(Some((record, version)))
        })
    }

    fn write<'a>(
        &'a self,
        record: &'a LeaseRecord,
        expected: Option<&'a Text>,
    ) -> BoxFuture<'a, Result<Option<Text>, Failure>> {
        Box::pin(async move {
            let bytes = serde_json::to_vec(record).unwrap_or_default();
            if let Put::Done(version) = self.put(LOCK, bytes, expected).await? {
                return Ok(Some(version));
            }
            // If the response to the first attempt was lost, the second attempt finds the record of the first.
            let existing = LeaseStore::read(self).await?;
            Ok(existing
                .filter(|(existing, _)| existing == record)
                .map(|(_, version)| version))
        })
    }

    fn clear<'a>(&'a self, expected: &'a Text) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.remove(LOCK, Some(expected)))
    }
}

impl Store {
    /// Records that the bucket does not exist, and returns the empty result.
    fn without_bucket<T>(&self, empty: T) -> T {
        self.missing.store(true, Ordering::Relaxed);
        empty
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Returns the command that deletes an object of the store.
    fn delete_command(&self, key: &str) -> String {
        format!("aws s3 rm s3://{}/{}", self.account.bucket(), self.key(key))
    }

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Text)>, Failure> {
        let request = self.account.s3.get_object().bucket(self.account.bucket());
        let request = request.checksum_mode(ChecksumMode::Enabled);
        let found = match request.key(self.key(key)).send().await {
            Ok(found) => found,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            // Without bootstrap there is no history, and a plan needs none.
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(self.without_bucket(None)),
            Err(error) => return Err(self.account.bucket_refused(&error, "s3:GetObject").await),
        };
        let version = Text::from(found.e_tag().unwrap_or_default());
        // The client verifies the bytes against the checksum that S3 has stored.
        let bytes = found.body.collect().await;
        let bytes = bytes.map_err(|error| unread(&self.key(key), &error))?;
        Ok(Some((bytes.to_vec(), version)))
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let mut keys = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let request = self.account.s3.list_objects_v2().bucket(self.account.bucket());
            let page = match request
                .prefix(self.key(prefix))
                .set_continuation_token(next.take())
                .send()
                .await
            {
                Ok(page) => page,
                Err(error) if error.code() == Some("NoSuchBucket") => {
                    return Ok(self.without_bucket(Vec::new()));
                }
                Err(error) => return Err(self.account.bucket_refused(&error, "s3:ListBucket").await),
            };
            let own = page.contents().iter().filter_map(|object| object.key());
            keys.extend(
                own.filter_map(|key| key.strip_prefix(&self.prefix))
                    .map(str::to_owned),
            );
            match page.next_continuation_token() {
                Some(token) if page.is_truncated() == Some(true) => next = Some(token.to_owned()),
                _ => break,
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// Writes an object, if `expected` is its current version. If `expected` is absent, writes only a new object.
    async fn put(&self, key: &str, bytes: Vec<u8>, expected: Option<&Text>) -> Result<Put, Failure> {
        let request = self
            .account
            .put_request(&self.key(key), &Digest::of_bytes(&bytes));
        let request = match expected {
            Some(version) => request.if_match(version.as_str()),
            None => request.if_none_match("*"),
        };
        match request.body(ByteStream::from(bytes)).send().await {
            Ok(done) => {
                self.account.bucket_answered.store(true, Ordering::Relaxed);
                Ok(Put::Done(done.e_tag().unwrap_or_default().into()))
            }
            // 409: two conditional writes at the same time. 404: the condition is on an object that was deleted.
            Err(error) if matches!(status(&error), 409 | 412) => Ok(Put::ConditionFailed),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(Put::ConditionFailed),
            Err(error) => Err(self.account.bucket_refused(&error, "s3:PutObject").await),
        }
    }

    async fn remove(&self, key: &str, expected: Option<&Text>) -> Result<(), Failure> {
        let request = self
            .account
            .s3
            .delete_object()
            .bucket(self.account.bucket())
            .key(self.key(key));
        let request = request.set_if_match(expected.map(ToString::to_string));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if matches!(status(&error), 404 | 409 | 412) => Ok(()),
            Err(error) => Err(self.account.bucket_refused(&error, "s3:DeleteObject").await),
        }
    }
}
