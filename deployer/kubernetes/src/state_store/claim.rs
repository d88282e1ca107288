//! The claim of an environment in a cluster: one Secret next to the ledger, and the only one there that is updated.

use futures::future::BoxFuture;
use terrace_artifact::{Text, Value};
use terrace_deployer_model::claim::{ClaimStore, Versioned};
use terrace_deployer_model::failure::Failure;

use super::super::requests::Refusal;
use super::{
    ClusterStateStore, MANAGER, NAMESPACE, about, base64, data, of_version, secret, secrets, version,
};

/// The key of the claim in the data of the Secret.
const CLAIM: &str = "claim";

impl ClaimStore for ClusterStateStore {
    fn shown(&self) -> String {
        format!(
            "Secret {NAMESPACE}/{} of cluster {}",
            self.claim_name(),
            self.requests.context
        )
    }

    fn delete_command(&self) -> String {
        self.command_to_delete("secret", &self.claim_name())
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Versioned>, Failure>> {
        Box::pin(async move {
            let found = self.get("get", &secrets(), &self.claim_name()).await?;
            Ok(found.map(|secret| (data(&secret, CLAIM).unwrap_or_default(), version(&secret))))
        })
    }

    fn write<'a>(
        &'a self,
        bytes: &'a [u8],
        expected: Option<&'a Text>,
    ) -> BoxFuture<'a, Result<Option<Text>, Failure>> {
        Box::pin(async move {
            let object = self.claim_secret(bytes, expected);
            if expected.is_none() {
                return Ok(self.create_object(&object).await?.map(|secret| version(&secret)));
            }
            let (served, name) = (secrets(), self.claim_name());
            let path = served.path(Some(NAMESPACE), &name);
            match self.requests.replace(&path, &object, MANAGER).await {
                Ok(secret) => Ok(Some(version(&secret))),
                Err(Refusal::Status(status)) if matches!(status.code, 404 | 409) => Ok(None),
                Err(refusal) => Err(self.failure(refusal, about("update", &served, Some(&name)))),
            }
        })
    }

    fn remove<'a>(&'a self, expected: &'a Text) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.delete_version(&secrets(), &self.claim_name(), expected)
                .await
        })
    }
}

impl ClusterStateStore {
    fn claim_name(&self) -> String {
        format!("{}.{CLAIM}", self.stem)
    }

    fn claim_secret(&self, bytes: &[u8], expected: Option<&Text>) -> Value {
        let mut metadata = self.metadata(&self.claim_name(), CLAIM);
        for (key, value) in expected.into_iter().flat_map(of_version) {
            metadata.insert(key, value);
        }
        let data = [(CLAIM, base64(bytes))].into_iter().collect();
        secret("terrace.dev/claim", metadata, data).into()
    }
}
