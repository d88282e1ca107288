//! An account and region, and how it is asked: credentials, clients, and what its errors mean.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudformation::config::http::HttpResponse;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::config::{Credentials, ProvideCredentials, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use terrace_artifact::{Text, Value};

use crate::access::AwsAccess;
use crate::backend::Identity;
use crate::failure::{Failure, FailureKind};

use super::bucket::ExpectedOwner;
use super::events::StackEvent;

/// A stack as it was left: its id, last update and last change set.
type Version = (Text, Text, Option<Text>);

/// An account and region that an environment names.
#[derive(Debug)]
pub(super) struct Account {
    /// 12 digits.
    pub(super) id: Text,
    /// Such as `eu-west-1`.
    pub(super) region: Text,
    /// The profile that its credentials come from, where the environment states it.
    profile: Option<Text>,
    /// The environment that names it, for commands that are suggested.
    pub(super) environment: Text,
    pub(super) cloudformation: aws_sdk_cloudformation::Client,
    /// For the bootstrap bucket. Every request states that this account has to own it.
    pub(super) s3: aws_sdk_s3::Client,
    /// For the two operations that take no such condition: `CreateBucket` and `ListBuckets`.
    pub(super) buckets: aws_sdk_s3::Client,
    /// Whether the bucket is known to be there and to be this account's.
    pub(super) bucket_answered: AtomicBool,
    sts: aws_sdk_sts::Client,
    credentials: Option<SharedCredentialsProvider>,
    identified: OnceLock<Identity>,
    /// Templates of stacks that were read.
    pub(super) templates: Mutex<BTreeMap<Version, Value>>,
    /// The events of operations that are being looked at, by stack.
    pub(super) events: Mutex<BTreeMap<Text, Vec<StackEvent>>>,
}

impl Account {
    /// Makes clients; nothing is asked of AWS yet.
    pub(super) async fn connect(
        access: &AwsAccess,
        account: &Text,
        region: &Text,
        profile: Option<&Text>,
        environment: &str,
    ) -> Account {
        let config = configuration(access, region, profile).await;
        // S3 on an endpoint of one's own has no host name for each bucket.
        let buckets = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(config.endpoint_url().is_some())
            .build();
        let s3 = buckets
            .to_builder()
            .interceptor(ExpectedOwner(account.clone()))
            .build();
        // The first question is asked with less patience, so that nobody waits long for an endpoint that is not there.
        let sts = aws_sdk_sts::config::Builder::from(&config)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .build();
        Account {
            id: account.clone(),
            region: region.clone(),
            profile: profile.cloned(),
            environment: environment.into(),
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            buckets: aws_sdk_s3::Client::from_conf(buckets),
            bucket_answered: AtomicBool::new(false),
            sts: aws_sdk_sts::Client::from_conf(sts),
            credentials: config.credentials_provider(),
            identified: OnceLock::new(),
            templates: Mutex::default(),
            events: Mutex::default(),
        }
    }

    /// Returns the same account in another region, with the same credentials. It retries little, because a plan only looks
    /// for claims there.
    pub(super) fn in_region(&self, region: Text) -> Account {
        let named = Region::new(region.to_string());
        let retries = RetryConfig::standard().with_max_attempts(2);
        let cloudformation = self.cloudformation.config().to_builder();
        let in_region = |client: &aws_sdk_s3::Client| {
            let builder = client.config().to_builder().retry_config(retries.clone());
            aws_sdk_s3::Client::from_conf(builder.region(named.clone()).build())
        };
        let sts = self.sts.config().to_builder();
        Account {
            id: self.id.clone(),
            region,
            profile: self.profile.clone(),
            environment: self.environment.clone(),
            cloudformation: aws_sdk_cloudformation::Client::from_conf(
                cloudformation.region(named.clone()).build(),
            ),
            s3: in_region(&self.s3),
            buckets: in_region(&self.buckets),
            bucket_answered: AtomicBool::new(false),
            sts: aws_sdk_sts::Client::from_conf(sts.region(named.clone()).build()),
            credentials: self.credentials.clone(),
            identified: OnceLock::new(),
            templates: Mutex::default(),
            events: Mutex::default(),
        }
    }

    /// Who the credentials belong to; another account than the environment names is refused. Asked once.
    pub(super) async fn identify(&self) -> Result<Identity, Failure> {
        if let Some(identity) = self.identified.get() {
            return Ok(identity.clone());
        }
        if let Some(credentials) = &self.credentials {
            let found = credentials.provide_credentials().await;
            found.map_err(|error| self.no_credentials(&error))?;
        }
        let caller = self
            .sts
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| self.refused(&error, "sts:GetCallerIdentity", "*"))?;
        let found = caller.account().unwrap_or_default();
        if found != self.id {
            let who = caller.arn().unwrap_or("unknown");
            return Err(Failure::new(
                FailureKind::WrongTarget,
                format!(
                    "the environment names account `{}`, and the credentials are of account `{found}`",
                    self.id
                ),
            )
            .server(who)
            .hint(match &self.profile {
                Some(profile) => format!("check that profile `{profile}` is the one that is meant"),
                None => format!(
                    "log in to account {}, or name its profile: in `AWS_PROFILE`, or beside the account as `profile: NAME`",
                    self.id
                ),
            }));
        }
        let identity = Identity {
            kind: "aws".into(),
            id: format!("{}/{}", self.id, self.region).into(),
            shown: format!("account {} in {}", self.id, self.region).into(),
        };
        Ok(self.identified.get_or_init(|| identity).clone())
    }

    /// The name of the bucket that `terrace bootstrap` creates.
    pub(super) fn bucket(&self) -> String {
        format!("terrace-assets-{}-{}", self.id, self.region)
    }

    /// `arn:aws`, or what it is in China and for governments.
    pub(super) fn partition(&self) -> &'static str {
        match self.region.split('-').next() {
            Some("cn") => "aws-cn",
            _ if self.region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// What an error of the SDK means. `verb` is the permission the call needs (`cloudformation:CreateChangeSet`),
    /// `resource` what it was about (a stack's name).
    pub(super) fn refused<E>(&self, error: &SdkError<E, HttpResponse>, verb: &str, resource: &str) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
        match error {
            SdkError::ServiceError(_) => {}
            SdkError::ResponseError(_) if status >= 500 => {}
            SdkError::ConstructionFailure(_) => {
                return Failure::new(FailureKind::Broken, format!("`{verb}` could not be asked for"))
                    .server(chain(error));
            }
            SdkError::ResponseError(_) => {
                return Failure::new(
                    FailureKind::Broken,
                    format!("the answer to `{verb}` is not what AWS answers"),
                )
                .server(chain(error));
            }
            _ => {
                return Failure::new(
                    FailureKind::Unreachable,
                    format!("AWS does not answer in {} (asked for `{verb}`)", self.region),
                )
                .server(chain(error))
                .hint("check the network (VPN, proxy, firewall), and `AWS_ENDPOINT_URL` where it is set");
            }
        }
        let code = error.code().unwrap_or_default();
        let said = match (code, error.message().unwrap_or_default()) {
            ("", "") => format!("status {status}"),
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{message} ({code})"),
        };
        if is_throttling(code) || status == 429 {
            return Failure::new(
                FailureKind::Throttled,
                format!("AWS is asked for `{verb}` too often"),
            )
            .server(said);
        }
        if is_login(code) {
            return self.denied(verb, resource, "AWS does not accept the credentials", None).server(said).hint(
                "log in again: `aws sso login`, or a new access key in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`",
            );
        }
        if code.starts_with("AccessDenied") || code == "UnauthorizedOperation" || status == 403 {
            let message = format!("not allowed to `{verb}` on {resource}");
            return self
                .denied(verb, resource, &message, Some(self.statement(verb, resource)))
                .server(said);
        }
        if status >= 500 {
            return Failure::new(
                FailureKind::Unreachable,
                format!("AWS could not answer `{verb}` in {}", self.region),
            )
            .server(said);
        }
        Failure::new(
            FailureKind::Rejected,
            format!("AWS refuses `{verb}` for {resource}"),
        )
        .server(said)
    }

    fn denied(&self, verb: &str, resource: &str, message: &str, rule: Option<String>) -> Failure {
        let kind = FailureKind::Denied {
            verb: verb.into(),
            resource: resource.into(),
            rule,
        };
        Failure::new(kind, message)
    }

    fn no_credentials(&self, error: &dyn std::error::Error) -> Failure {
        self.denied(
            "sts:GetCallerIdentity",
            "*",
            &format!("there are no credentials for account `{}`", self.id),
            None,
        )
        .server(chain(error))
        .hint(match &self.profile {
            Some(profile) => {
                format!(
                    "log in: `aws sso login --profile {profile}`, or see to that profile in `~/.aws/config`"
                )
            }
            None => "log in: `aws sso login`, or a profile in `AWS_PROFILE`, \
                 or a key in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`"
                .to_owned(),
        })
    }

    /// The statement of an IAM policy that allows `verb`.
    fn statement(&self, verb: &str, resource: &str) -> String {
        let arn = match verb.split_once(':') {
            Some(("cloudformation", "DescribeStacks")) if resource == "*" => "*".to_owned(),
            Some(("cloudformation", _)) => format!(
                "arn:{}:cloudformation:{}:{}:stack/{resource}/*",
                self.partition(),
                self.region,
                self.id
            ),
            Some(("s3", _)) => format!("arn:{}:s3:::{resource}", self.partition()),
            _ => "*".to_owned(),
        };
        format!(r#"{{"Effect": "Allow", "Action": "{verb}", "Resource": "{arn}"}}"#)
    }
}

/// The SDK's configuration: what `access` says, and for the rest what the SDK finds (environment, shared files). A profile
/// that the environment states comes before keys that are lying about: they are of one account, and it is for another.
async fn configuration(access: &AwsAccess, region: &Text, profile: Option<&Text>) -> SdkConfig {
    let http: SharedHttpClient = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let region = Region::new(region.to_string());
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(60))
        .operation_attempt_timeout(Duration::from_secs(120))
        .build();
    // Many stacks at once meet CloudFormation's rate limits: these attempts wait with jitter, up to about a minute.
    let retries = RetryConfig::standard()
        .with_max_attempts(8)
        .with_initial_backoff(Duration::from_millis(500))
        .with_max_backoff(Duration::from_secs(15));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .region(region.clone())
        .timeout_config(timeouts)
        .retry_config(retries);
    if let Some(endpoint) = &access.endpoint {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    let named = profile.or(access.profile.as_ref());
    if let Some(named) = named {
        loader = loader.profile_name(named.as_str());
    }
    if let Some((id, secret)) = &access.key {
        loader = loader.credentials_provider(Credentials::new(
            id.as_str(),
            secret.as_str(),
            None,
            None,
            "terrace",
        ));
    } else {
        // Outside EC2 nobody answers for instance metadata: one short attempt, so that whoever is not logged in is
        // told so at once.
        let provider = ProviderConfig::without_region()
            .with_region(Some(region))
            .with_http_client(http);
        if let Some(profile) = profile {
            let credentials = ProfileFileCredentialsProvider::builder()
                .configure(&provider)
                .profile_name(profile.as_str())
                .build();
            return loader.credentials_provider(credentials).load().await;
        }
        let metadata = imds::Client::builder()
            .configure(&provider)
            .max_attempts(1)
            .connect_timeout(Duration::from_millis(700))
            .read_timeout(Duration::from_secs(1))
            .build();
        let mut chain = DefaultCredentialsChain::builder()
            .configure(provider)
            .imds_client(metadata);
        if let Some(profile) = &access.profile {
            chain = chain.profile_name(profile);
        }
        loader = loader.credentials_provider(chain.build().await);
    }
    loader.load().await
}

fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "SlowDown"
            | "BandwidthLimitExceeded"
            | "PriorRequestNotComplete"
    )
}

/// Errors that another key or a new session cures.
fn is_login(code: &str) -> bool {
    matches!(
        code,
        "ExpiredToken"
            | "ExpiredTokenException"
            | "TokenRefreshRequired"
            | "RequestExpired"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "AuthFailure"
            | "InvalidToken"
            | "MissingAuthenticationToken"
    )
}

/// What an error of the SDK says, down to its first cause: only there is a connection refused, or a name not found.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
