//! The claim of an environment in the bootstrap bucket: one object next to the ledger.

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use terrace_artifact::Text;
use terrace_deployer_model::claim::{ClaimStore, Elsewhere, Versioned, read_claim};
use terrace_deployer_model::failure::Failure;

use super::{Account, BucketStateStore, Put};

const CLAIM: &str = "claim.json";

impl ClaimStore for BucketStateStore {
    fn shown(&self) -> String {
        format!(
            "s3://{}/{}{CLAIM}",
            self.store.account.bucket(),
            self.store.prefix
        )
    }

    fn delete_command(&self) -> String {
        self.store.delete_command(CLAIM)
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Versioned>, Failure>> {
        Box::pin(self.store.get(CLAIM))
    }

    fn write<'a>(
        &'a self,
        bytes: &'a [u8],
        expected: Option<&'a Text>,
    ) -> BoxFuture<'a, Result<Option<Text>, Failure>> {
        Box::pin(async move {
            match self.store.put(CLAIM, bytes.to_vec(), expected).await? {
                Put::Done(version) => Ok(Some(version)),
                Put::ConditionFailed => Ok(None),
            }
        })
    }

    fn remove<'a>(&'a self, expected: &'a Text) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.store.remove(CLAIM, Some(expected)))
    }

    /// Reads the claims in the account's other regions: one list of buckets, and one read in each bootstrapped region. A
    /// region that does not respond does not fail the plan.
    fn elsewhere(&self) -> BoxFuture<'_, Elsewhere> {
        Box::pin(async move {
            let account = &self.store.account;
            let mut found = Elsewhere::default();
            let regions = match account.other_regions().await {
                Ok(regions) => regions,
                Err(failure) => {
                    found.failures.push(failure);
                    return found;
                }
            };
            let reading = regions.into_iter().map(|region| async move {
                let account = Arc::new(account.in_region(region));
                read_claim(&BucketStateStore::with_prefix(account, self.store.prefix.clone())).await
            });
            for read in join_all(reading).await {
                match read {
                    Ok(claim) => found.claims.extend(claim.map(|versioned| versioned.claim)),
                    Err(failure) => found.failures.push(failure),
                }
            }
            found
        })
    }
}

impl Account {
    /// Returns the other regions of the account that have a bootstrap bucket.
    async fn other_regions(&self) -> Result<Vec<Text>, Failure> {
        let prefix = format!("terrace-assets-{}-", self.id);
        let mut regions = Vec::new();
        let mut pages = self
            .buckets
            .list_buckets()
            .prefix(&prefix)
            .max_buckets(1000)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.refused(&error, "s3:ListAllMyBuckets", "*"))?;
            let names = page.buckets().iter().filter_map(|bucket| bucket.name());
            let of_regions = names.filter_map(|name| name.strip_prefix(&prefix));
            regions.extend(of_regions.filter(|region| *region != self.region).map(Text::from));
        }
        Ok(regions)
    }
}
