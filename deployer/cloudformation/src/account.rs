//! An AWS account and region: credentials, clients, and the meaning of AWS errors.

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
use terrace_deployer_model::access::AwsAccess;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Identity;

use super::bucket::ExpectedOwner;
use super::events::StackEvent;

/// The version of a stack: its id, last update and last change set.
type Version = (Text, Text, Option<Text>);

/// An account and region that an environment names.
#[derive(Debug)]
pub(super) struct Account {
    /// The account ID, with 12 digits.
    pub(super) id: Text,
    /// The region, such as `eu-west-1`.
    pub(super) region: Text,
    /// The profile that provides the credentials, if the environment names one.
    profile: Option<Text>,
    /// The name of the environment, for suggested commands.
    pub(super) environment: Text,
    pub(super) cloudformation: aws_sdk_cloudformation::Client,
    /// The client for the bootstrap bucket. Each of its requests requires that this account owns the bucket.
    pub(super) s3: aws_sdk_s3::Client,
    /// The client for the two operations without that condition: `CreateBucket` and `ListBuckets`.
    pub(super) buckets: aws_sdk_s3::Client,
    /// Whether an earlier request showed that the bucket exists and belongs to this account.
    pub(super) bucket_answered: AtomicBool,
    sts: aws_sdk_sts::Client,
    credentials: Option<SharedCredentialsProvider>,
    identified: OnceLock<Identity>,
    /// The templates that were already read, by version of the stack.
    pub(super) templates: Mutex<BTreeMap<Version, Value>>,
    /// The events of running operations that were already read, by stack id.
    pub(super) events: Mutex<BTreeMap<Text, Vec<StackEvent>>>,
}

impl Account {
    /// Creates the clients. Sends no request to AWS.
    pub(super) async fn connect(
        access: &AwsAccess,
        account: &Text,
        region: &Text,
        profile: Option<&Text>,
        environment: &str,
    ) -> Account {
        let config = configuration(access, region, profile).await;
        // A custom S3 endpoint has no host name for each bucket.
        let buckets = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(config.endpoint_url().is_some())
            .build();
        let s3 = buckets
            .to_builder()
            .interceptor(ExpectedOwner(account.clone()))
            .build();
        // STS receives the first request. Fewer attempts report an unreachable endpoint sooner.
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

    /// Returns the identity of the credentials. Sends the request only once.
    ///
    /// # Errors
    ///
    /// Fails if the credentials belong to an account that the environment does not name.
    pub(super) async fn identify(&self) -> Result<Identity, Failure> {
        if let Some(identity) = self.identified.get() {
            return Ok(identity.clone());
        }
        if let Some(credentials) = &self.credentials {
            let provided = credentials.provide_credentials().await;
            provided.map_err(|error| self.no_credentials(&error))?;
        }
        let caller = self
            .sts
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| self.refused(&error, "sts:GetCallerIdentity", "*"))?;
        let actual = caller.account().unwrap_or_default();
        if actual != self.id {
            let arn = caller.arn().unwrap_or("unknown");
            return Err(Failure::new(
                FailureKind::WrongTarget,
                format!(
                    "the environment names account `{}`, but the credentials belong to account `{actual}`",
                    self.id
                ),
            )
            .server(arn)
            .hint(match &self.profile {
                Some(profile) => format!(
                    "correct profile `{profile}` in `~/.aws/config`, or name a profile of account {} in the environment",
                    self.id
                ),
                None => format!(
                    "log in to account {}, set `AWS_PROFILE` to a profile of it, or add `profile: NAME` to the account in the environment",
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

    /// Returns the name of the bucket that `terrace bootstrap` creates.
    pub(super) fn bucket(&self) -> String {
        format!("terrace-assets-{}-{}", self.id, self.region)
    }

    /// Returns the partition of ARNs in this region: `aws`, `aws-cn` or `aws-us-gov`.
    pub(super) fn partition(&self) -> &'static str {
        match self.region.split('-').next() {
            Some("cn") => "aws-cn",
            _ if self.region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// Converts an error of the SDK to a failure. `verb` is the permission that the call requires
    /// (`cloudformation:CreateChangeSet`), `resource` the object of the call (the name of a stack).
    pub(super) fn refused<E>(&self, error: &SdkError<E, HttpResponse>, verb: &str, resource: &str) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
        match error {
            SdkError::ServiceError(_) => {}
            SdkError::ResponseError(_) if status >= 500 => {}
            SdkError::ConstructionFailure(_) => {
                return Failure::new(
                    FailureKind::Broken,
                    format!("the request `{verb}` could not be created"),
                )
                .server(chain(error));
            }
            SdkError::ResponseError(_) => {
                return Failure::new(
                    FailureKind::Broken,
                    format!("the response to `{verb}` is not a valid AWS response"),
                )
                .server(chain(error));
            }
            _ => {
                return Failure::new(
                    FailureKind::Unreachable,
                    format!("AWS does not respond to `{verb}` in {}", self.region),
                )
                .server(chain(error))
                .hint("check the network (VPN, proxy, firewall), and `AWS_ENDPOINT_URL` if it is set");
            }
        }
        let code = error.code().unwrap_or_default();
        let response = match (code, error.message().unwrap_or_default()) {
            ("", "") => format!("status {status}"),
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{message} ({code})"),
        };
        if is_throttling(code) || status == 429 {
            return Failure::new(
                FailureKind::Throttled,
                format!("AWS throttles requests for `{verb}`"),
            )
            .server(response);
        }
        if is_login(code) {
            return self.denied(verb, resource, "AWS rejects the credentials", None).server(response).hint(
                "log in again with `aws sso login`, or set a new access key in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`",
            );
        }
        if code.starts_with("AccessDenied") || code == "UnauthorizedOperation" || status == 403 {
            let message = format!("the credentials lack the permission `{verb}` on `{resource}`");
            return self
                .denied(verb, resource, &message, Some(self.statement(verb, resource)))
                .server(response);
        }
        if status >= 500 {
            return Failure::new(
                FailureKind::Unreachable,
                format!("AWS failed to process `{verb}` in {}", self.region),
            )
            .server(response);
        }
        Failure::new(
            FailureKind::Rejected,
            format!("AWS rejects `{verb}` for `{resource}`"),
        )
        .server(response)
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
            &format!("no credentials were found for account `{}`", self.id),
            None,
        )
        .server(chain(error))
        .hint(match &self.profile {
            Some(profile) => {
                format!(
                    "log in with `aws sso login --profile {profile}`, or correct the profile in `~/.aws/config`"
                )
            }
            None => "log in with `aws sso login`, set `AWS_PROFILE` to a profile, \
                 or set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` to an access key"
                .to_owned(),
        })
    }

    /// Returns the statement of an IAM policy that allows `verb` on `resource`.
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

/// Returns the configuration of the SDK: the values of `access`, completed with the values that the SDK finds in environment
/// variables and shared files. A profile that the environment names has precedence over keys in environment variables, because
/// such keys belong to one account only.
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
    // Many parallel stacks reach the rate limits of CloudFormation. These attempts wait with jitter, up to about a minute in total.
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
        // The instance metadata service exists only on EC2. A single short attempt reports missing credentials at once.
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

/// Returns whether an error is resolved by another key or a new session.
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

/// Joins the messages of an error and all its causes. Only the innermost cause contains details such as a refused connection
/// or an unknown host name.
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
