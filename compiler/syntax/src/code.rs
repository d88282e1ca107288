//! The codes of diagnostics, each with a page.

macro_rules! codes {
    (@cause) => { None };
    (@cause $cause:ident) => { Some(Cause::$cause) };
    (@complete) => { false };
    (@complete $complete:ident) => { true };
    ($(
        $(#[doc = $doc:literal])*
        $variant:ident $severity:ident $slug:literal $([follows $cause:ident])? $([result $complete:ident])?
    ),* $(,)?) => {
        /// The kind of problem that a diagnostic reports. Users see and search for its slug.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// Returns the slug, such as `unknown-module`.
            pub fn slug(self) -> &'static str {
                match self { $(Code::$variant => $slug,)* }
            }

            /// Returns the severity of the code.
            pub fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity,)* }
            }

            /// Returns the error that a diagnostic of this code may only be a consequence of. It is not reported after such an error.
            pub fn cause(self) -> Option<Cause> {
                match self { $(Code::$variant => codes!(@cause $($cause)?),)* }
            }

            /// Returns whether the result is complete in spite of an error of this code, so that the next phase can check it.
            pub fn leaves_result_complete(self) -> bool {
                match self { $(Code::$variant => codes!(@complete $($complete)?),)* }
            }

            /// Returns the page of the code, in Markdown.
            pub fn page(self) -> &'static str {
                match self { $(Code::$variant => include_str!(concat!("../../../docs/codes/", $slug, ".md")),)* }
            }
        }
    };
}

/// An error that explains later diagnostics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// An error in the documents: a missing value, for example, may come from a document with another error.
    EarlierError,
    /// A file that could not be read: a name that does not exist may be declared in it.
    LostFile,
    /// An error in another resource that the rule reads.
    OtherResource,
}

/// The severity of a diagnostic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The compiler emits nothing.
    Error,
    /// The compiler emits its output, which may not be what the user wants.
    Warning,
    /// The compiler reports something that it does without being asked, such as excluding files.
    Note,
}

impl Severity {
    /// Returns the name of the severity.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

impl Code {
    /// Returns the code with a slug.
    pub fn from_slug(slug: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.slug() == slug)
    }
}

codes! {
    // load
    /// A required file or directory that cannot be read.
    Unreadable Error "unreadable",
    /// A file that is too long.
    FileTooLong Error "file-too-long",
    /// A file that is not UTF-8.
    NotUtf8 Error "not-utf8",
    /// A syntax error in YAML.
    YamlSyntax Error "yaml-syntax",
    /// Collections that are nested too deeply.
    TooDeep Error "too-deep",
    /// Aliases that expand to too many values.
    TooManyCopies Error "too-many-copies",
    /// A duplicate key in a map.
    DuplicateKey Error "duplicate-key",
    /// A key that is not a string.
    KeyNotText Error "key-not-text",
    /// A tag that does not exist.
    UnknownTag Error "unknown-tag",
    /// A number that YAML parsers read differently.
    AmbiguousNumber Error "ambiguous-number",
    /// A number with more digits than are exact.
    NumberTooLong Error "number-too-long",
    /// `{{ }}` without quotes.
    UnquotedExpression Error "unquoted-expression",
    /// A feature that this version does not support yet.
    NotInThisVersion Error "not-in-this-version",
    // validate
    /// A `kind` that does not exist.
    UnknownKind Error "unknown-kind",
    /// A key that does not exist in its place.
    UnknownKey Error "unknown-key",
    /// A missing key.
    MissingField Error "missing-field",
    /// A value of the wrong type.
    WrongType Error "wrong-type",
    /// A value that is not in the list of allowed values.
    UnknownValue Error "unknown-value",
    /// A value that breaks a limit or does not have the required form.
    InvalidValue Error "invalid-value",
    // resolve
    /// Two documents or resources with the same name.
    DuplicateName Error "duplicate-name",
    /// A stack without a Platform document, or with two.
    NoPlatform Error "no-platform",
    /// A stack that requires another version of the program.
    WrongVersion Error "wrong-version",
    /// A module that does not exist.
    UnknownModule Error "unknown-module" [follows LostFile],
    /// A version that the module does not have.
    UnknownVersion Error "unknown-version" [follows LostFile],
    /// A module that will be removed.
    DeprecatedModule Warning "deprecated-module",
    /// A module that can no longer be used.
    RetiredModule Error "retired-module",
    /// A required module in an incompatible version.
    UnmetRequirement Error "unmet-requirement" [follows EarlierError],
    /// A tenant that does not exist.
    UnknownTenant Error "unknown-tenant" [follows LostFile],
    /// A tier that does not exist.
    UnknownTier Error "unknown-tier",
    /// A compliance framework that does not exist.
    UnknownFramework Error "unknown-framework",
    /// An environment that does not exist.
    UnknownEnvironment Error "unknown-environment" [follows LostFile],
    /// A component that does not exist.
    UnknownComponent Error "unknown-component" [follows LostFile],
    /// A cluster or account that the environment does not have.
    UnknownTarget Error "unknown-target",
    /// An input that the module does not have.
    UnknownInput Error "unknown-input",
    /// An input without a value.
    MissingInput Error "missing-input" [follows EarlierError],
    /// An input that no expression reads.
    UnusedInput Error "unused-input" [result complete],
    /// A module without the clearance that the data of a tenant requires.
    ClearanceTooLow Error "clearance-too-low",
    /// A component or pipeline that is in no environment.
    NeverDeployed Error "never-deployed",
    /// A tier, an environment or `all` that selects no tenant.
    SelectsNobody Warning "selects-nobody",
    /// A `--set` that cannot be parsed.
    InvalidSet Error "invalid-set",
    /// A failed check of a module.
    FailedCheck Error "failed-check",
    /// A `moved_from` whose component still exists.
    InvalidMove Error "invalid-move",
    // expand
    /// A syntax error in an expression.
    ExpressionSyntax Error "expression-syntax",
    /// A name without a value in its place.
    Undefined Error "undefined" [follows EarlierError],
    /// An operation on values of the wrong type.
    ExpressionType Error "expression-type" [follows EarlierError],
    /// A wrong or missing unit.
    WrongUnit Error "wrong-unit",
    /// A reference to a name that does not exist.
    UnknownReference Error "unknown-reference",
    /// A reference that matches several targets.
    AmbiguousReference Error "ambiguous-reference",
    /// An attribute that the resource does not have.
    UnknownAttribute Error "unknown-attribute",
    /// A patch without a target.
    PatchWithoutTarget Error "patch-without-target",
    /// A secret in plain text.
    LiteralSecret Error "literal-secret" [result complete],
    /// A loop whose keys are not unique strings.
    InvalidRepetition Error "invalid-repetition",
    /// A file of a resource that does not exist.
    MissingAsset Error "missing-asset",
    /// A file or directory that cannot be deployed.
    InvalidAsset Error "invalid-asset",
    /// A file or directory that is too large to deploy, or too large for its target.
    AssetTooLarge Error "asset-too-large",
    /// A deployed file that contains a secret.
    SecretInAsset Error "secret-in-asset",
    /// Files whose names are equal on some systems.
    UnportableAsset Warning "unportable-asset",
    /// Files of a directory that are not deployed.
    ExcludedFiles Note "excluded-files",
    // connect
    /// A reference to an object that nothing creates.
    DanglingReference Error "dangling-reference" [result complete],
    /// A declared existing object that nothing refers to.
    UnusedExisting Warning "unused-existing",
    /// Resources that depend on each other.
    DependencyCycle Error "dependency-cycle",
    /// A grant or connection that is not valid between two resources.
    InvalidGrant Error "invalid-grant",
    /// A connection without effect, because no NetworkPolicy isolates the pods.
    IneffectiveConnection Warning "ineffective-connection",
    /// A generated name that is too long.
    NameTooLong Error "name-too-long" [result complete],
    /// Two resources that resolve to the same name.
    NameCollision Error "name-collision",
    /// Two environments that write the same objects of a cluster, or the same directory.
    EnvironmentCollision Error "environment-collision",
    /// A CloudFormation stack that exceeds a quota.
    StackTooLarge Error "stack-too-large",
    /// A waiver that suppresses nothing.
    UnusedWaiver Warning "unused-waiver",
    /// A resource type that does not exist.
    UnknownType Error "unknown-type",
    /// A resource that its target rejects.
    InvalidResource Error "invalid-resource",
    // pipelines
    /// A step or state that does not exist.
    UnknownStep Error "unknown-step",
    /// A step whose target has the wrong type.
    WrongTarget Error "wrong-target",
    /// An unreachable step or state.
    UnreachableState Error "unreachable-state",
    /// An endless loop of steps or states.
    NoTerminalState Error "no-terminal-state",
    /// A state without a `Catch`.
    MissingCatch Error "missing-catch",
    /// Rules of `Retry` or `Catch` that are never reached.
    CatchOrder Error "catch-order",
    /// A `Catch` that drops the input.
    LostContext Warning "lost-context",
    /// A failure after which the execution succeeds.
    FailureEndsInSuccess Error "failure-ends-in-success",
    /// A timeout that is longer than the enclosing one.
    TimeoutOrder Error "timeout-order" [follows OtherResource],
    /// Arguments that differ from those that the job reads.
    ArgumentMismatch Error "argument-mismatch" [follows OtherResource],
    /// A value that is read but may not exist.
    UnproducedValue Error "unproduced-value" [follows OtherResource],
    /// A value that is read from a result with unknown content.
    UnprovenValue Warning "unproven-value" [follows OtherResource],
    /// A computation that Step Functions cannot do.
    NotAtRunTime Error "not-at-run-time",
    /// A trigger that never fires.
    DeadTrigger Error "dead-trigger" [follows OtherResource],
    /// A pipeline that starts itself.
    TriggerLoop Warning "trigger-loop" [follows OtherResource],
    /// More concurrent runs of a job than it allows.
    ConcurrentRuns Warning "concurrent-runs" [follows OtherResource],
    /// A schedule that EventBridge rejects.
    InvalidSchedule Error "invalid-schedule",
    /// An event pattern or input that EventBridge rejects.
    InvalidPattern Error "invalid-pattern",
    /// A state that Step Functions rejects.
    InvalidState Error "invalid-state",
    /// A service integration that does not exist.
    UnknownIntegration Error "unknown-integration",
    /// The ARN of a Lambda function as the `Resource` of a Task.
    DirectLambda Warning "direct-lambda",
    // check
    /// Lifecycle rules that S3 rejects, or that have no effect.
    LifecycleOrder Error "lifecycle-order",
    /// A lifecycle that deletes objects before the end of their retention.
    RetentionConflict Error "retention-conflict",
    /// A lifecycle that deletes files of Iceberg tables.
    IcebergLifecycle Error "iceberg-lifecycle" [follows OtherResource],
    /// Objects that are still stored, or still billed, after they expire.
    KeptAfterExpiration Warning "kept-after-expiration",
    /// Properties of a Glue job that cannot be used together.
    GlueCapacity Error "glue-capacity",
    /// A number of replicas that an autoscaler controls.
    ReplicasWithAutoscaler Error "replicas-with-autoscaler" [follows OtherResource],
    /// An autoscaler that cannot work.
    InvalidAutoscaler Error "invalid-autoscaler" [follows OtherResource],
    /// A disruption budget that blocks every eviction.
    BlockedEviction Error "blocked-eviction" [follows OtherResource],
    /// A single-node volume that pods on several nodes mount.
    SharedVolume Error "shared-volume" [follows OtherResource],
    /// A mount without a volume.
    DanglingMount Error "dangling-mount",
    /// A pod that its namespace rejects.
    PodSecurity Error "pod-security" [follows OtherResource],
    /// An image with a mutable tag.
    FloatingImage Error "floating-image",
    /// A quantity that the server stores differently.
    InexactQuantity Error "inexact-quantity",
    /// A duplicate column.
    DuplicateColumn Error "duplicate-column",
    /// A runtime that AWS no longer updates.
    DeprecatedRuntime Warning "deprecated-runtime",
    /// An alarm without a threshold.
    AlarmWithoutThreshold Error "alarm-without-threshold",
    /// An alarm with an inverted comparison.
    InvertedAlarm Warning "inverted-alarm",
    /// A metric that nothing in the platform emits.
    OrphanMetric Warning "orphan-metric" [follows OtherResource],
    /// A destination whose encryption key the sender cannot use.
    KeyOutOfReach Error "key-out-of-reach",
    /// A namespace that exceeds its quota at minimum scale.
    QuotaExceeded Error "quota-exceeded",
    /// A namespace that exceeds its quota at maximum scale.
    QuotaTooSmall Warning "quota-too-small",
    /// A name that another environment in the same account would also have.
    NameWithoutEnvironment Error "name-without-environment",
    /// A value of one environment that contains the name of another.
    AnotherEnvironment Warning "another-environment",
    /// A schedule that is enabled in a standby environment.
    ScheduleInStandby Warning "schedule-in-standby",
    /// A stream whose failures block it or are lost.
    UnsafeStream Error "unsafe-stream" [follows OtherResource],
    /// A policy that allows access to everyone.
    OpenPolicy Error "open-policy",
    /// A policy that exceeds a size limit of AWS.
    PolicyTooLarge Error "policy-too-large",
    /// A permission for every action or resource.
    WildcardPermission Warning "wildcard-permission",
    /// An object of one tenant with access to another tenant, the platform or the nodes.
    TenantIsolation Error "tenant-isolation",
    /// A field that restricts access, permissions or deletions and is empty.
    EmptyRestriction Error "empty-restriction",
    /// Pods that can open connections but cannot resolve names.
    ClosedDns Warning "closed-dns",
    /// A job that the limit of concurrent jobs of the tenant does not count.
    UncountedJob Warning "uncounted-job",
    /// An expired waiver.
    ExpiredWaiver Warning "expired-waiver",
}
