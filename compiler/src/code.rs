//! Every kind of problem the compiler can find, each with a page.

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident $severity:ident $slug:literal),* $(,)?) => {
        /// What kind of problem a diagnostic reports. The slug is what users see, search for, and explain.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// The word users see: `unknown-module`.
            pub fn slug(self) -> &'static str {
                match self { $(Code::$variant => $slug,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> crate::diagnostic::Severity {
                match self { $(Code::$variant => crate::diagnostic::Severity::$severity,)* }
            }

            /// The page about it, in Markdown.
            pub fn page(self) -> &'static str {
                match self { $(Code::$variant => include_str!(concat!("../../docs/codes/", $slug, ".md")),)* }
            }
        }
    };
}

impl Code {
    /// The code of a slug.
    pub fn from_slug(slug: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.slug() == slug)
    }
}

codes! {
    // load
    /// A file or folder that should be there cannot be read.
    Unreadable Error "unreadable",
    /// A file is longer than is allowed.
    FileTooLong Error "file-too-long",
    /// A file is not text in UTF-8.
    NotUtf8 Error "not-utf8",
    /// A text is not YAML.
    YamlSyntax Error "yaml-syntax",
    /// Collections are nested too deep.
    TooDeep Error "too-deep",
    /// Aliases copy too many values.
    TooManyCopies Error "too-many-copies",
    /// A map has one key twice.
    DuplicateKey Error "duplicate-key",
    /// A key is not a word.
    KeyNotText Error "key-not-text",
    /// A tag that means nothing.
    UnknownTag Error "unknown-tag",
    /// A number that readers of YAML disagree about.
    AmbiguousNumber Error "ambiguous-number",
    /// A number of more digits than are exact.
    NumberTooLong Error "number-too-long",
    /// `{{ }}` without quotes.
    UnquotedExpression Error "unquoted-expression",
    /// Something the design has and this version has not.
    NotInThisVersion Error "not-in-this-version",
    // validate
    /// A `kind` that does not exist.
    UnknownKind Error "unknown-kind",
    /// A key that means nothing in its place.
    UnknownKey Error "unknown-key",
    /// A key that has to be there.
    MissingField Error "missing-field",
    /// A value of the wrong type.
    WrongType Error "wrong-type",
    /// A word that is not among those allowed.
    UnknownValue Error "unknown-value",
    /// A value outside what is allowed: too long, too small, of another form.
    InvalidValue Error "invalid-value",
    // resolve
    /// Two documents or resources of one name.
    DuplicateName Error "duplicate-name",
    /// A stack without a Platform document, or with two.
    NoPlatform Error "no-platform",
    /// The stack is for other versions of the program.
    WrongVersion Error "wrong-version",
    /// A module that does not exist.
    UnknownModule Error "unknown-module",
    /// A version that the module does not have.
    UnknownVersion Error "unknown-version",
    /// A module that is going away.
    DeprecatedModule Warning "deprecated-module",
    /// A module that may not be used any more.
    RetiredModule Error "retired-module",
    /// A module that another one needs, in a version that does not do.
    UnmetRequirement Error "unmet-requirement",
    /// A tenant that does not exist.
    UnknownTenant Error "unknown-tenant",
    /// A tier that does not exist.
    UnknownTier Error "unknown-tier",
    /// A framework of rules that does not exist.
    UnknownFramework Error "unknown-framework",
    /// An environment that does not exist.
    UnknownEnvironment Error "unknown-environment",
    /// A component that does not exist.
    UnknownComponent Error "unknown-component",
    /// A cluster or account that the environment does not have.
    UnknownTarget Error "unknown-target",
    /// An input that the module does not have.
    UnknownInput Error "unknown-input",
    /// An input without a value.
    MissingInput Error "missing-input",
    /// An input that no expression reads.
    UnusedInput Error "unused-input",
    /// A module that is not fit for the tenant's data.
    ClearanceTooLow Error "clearance-too-low",
    /// A component or pipeline that is in no environment.
    NeverDeployed Error "never-deployed",
    /// A tier, an environment or `all` that selects no tenant.
    SelectsNobody Warning "selects-nobody",
    /// A `--set` that cannot be read.
    InvalidSet Error "invalid-set",
    /// What a module demands of its inputs does not hold.
    FailedCheck Error "failed-check",
    /// `moved_from` that cannot be true.
    InvalidMove Error "invalid-move",
    // expand
    /// An expression that cannot be read.
    ExpressionSyntax Error "expression-syntax",
    /// A name that has no value where it stands.
    Undefined Error "undefined",
    /// An operation that its values do not allow.
    ExpressionType Error "expression-type",
    /// A unit that does not fit.
    WrongUnit Error "wrong-unit",
    /// A reference to nothing.
    UnknownReference Error "unknown-reference",
    /// A reference that two things answer.
    AmbiguousReference Error "ambiguous-reference",
    /// An attribute that the resource does not have.
    UnknownAttribute Error "unknown-attribute",
    /// A patch that hits nothing.
    PatchWithoutTarget Error "patch-without-target",
    /// A secret written out.
    LiteralSecret Error "literal-secret",
    /// Something repeated by keys that are not unique strings.
    InvalidRepetition Error "invalid-repetition",
    /// A file that a resource needs and that is not there.
    MissingAsset Error "missing-asset",
    /// A file or directory that cannot be delivered as it is.
    InvalidAsset Error "invalid-asset",
    /// A file or directory with more in it than can be delivered, or than its target takes.
    AssetTooLarge Error "asset-too-large",
    /// A file with a secret in it that would be delivered.
    SecretInAsset Error "secret-in-asset",
    /// Files whose names are one on some machines.
    UnportableAsset Warning "unportable-asset",
    /// Files of a directory that are not delivered with it.
    ExcludedFiles Note "excluded-files",
    // connect
    /// An object names one that nothing creates.
    DanglingReference Error "dangling-reference",
    /// An existing object that is stated and that nothing refers to.
    UnusedExisting Warning "unused-existing",
    /// Resources that need each other.
    DependencyCycle Error "dependency-cycle",
    /// A grant or connection that has no meaning between these two.
    InvalidGrant Error "invalid-grant",
    /// A connection between pods that no NetworkPolicy isolates: it changes nothing.
    IneffectiveConnection Warning "ineffective-connection",
    /// A name that is too long once it is composed.
    NameTooLong Error "name-too-long",
    /// Two resources that come to have one name.
    NameCollision Error "name-collision",
    /// Two environments that would write the same objects of one cluster, or the same directory.
    EnvironmentCollision Error "environment-collision",
    /// A CloudFormation stack with more in it than CloudFormation takes.
    StackTooLarge Error "stack-too-large",
    /// A waiver that waives nothing.
    UnusedWaiver Warning "unused-waiver",
    /// A resource of a type that does not exist.
    UnknownType Error "unknown-type",
    /// A resource that its target would refuse.
    InvalidResource Error "invalid-resource",
    // pipelines
    /// A step or state that does not exist.
    UnknownStep Error "unknown-step",
    /// A step that names something of another kind.
    WrongTarget Error "wrong-target",
    /// A step or state that nothing leads to.
    UnreachableState Error "unreachable-state",
    /// Steps or states that lead only to each other.
    NoTerminalState Error "no-terminal-state",
    /// A state whose failure nothing catches.
    MissingCatch Error "missing-catch",
    /// Rules of `Retry` or `Catch` in an order in which some are never reached.
    CatchOrder Error "catch-order",
    /// A `Catch` that throws the input away.
    LostContext Warning "lost-context",
    /// A failure after which the execution counts as succeeded.
    FailureEndsInSuccess Error "failure-ends-in-success",
    /// Something inside may take longer than what is around it.
    TimeoutOrder Error "timeout-order",
    /// Arguments of other names than the job reads.
    ArgumentMismatch Error "argument-mismatch",
    /// A value that is read and that nothing has produced.
    UnproducedValue Error "unproduced-value",
    /// A value that is read of a result nobody has described.
    UnprovenValue Warning "unproven-value",
    /// A computation that Step Functions cannot do.
    NotAtRunTime Error "not-at-run-time",
    /// A trigger that never fires.
    DeadTrigger Error "dead-trigger",
    /// A pipeline that starts itself.
    TriggerLoop Warning "trigger-loop",
    /// More runs of a job at once than it allows.
    ConcurrentRuns Warning "concurrent-runs",
    /// A schedule that EventBridge would refuse.
    InvalidSchedule Error "invalid-schedule",
    /// An event pattern or input that EventBridge would refuse.
    InvalidPattern Error "invalid-pattern",
    /// A state that Step Functions would refuse.
    InvalidState Error "invalid-state",
    /// A service that Step Functions does not call in that way.
    UnknownIntegration Error "unknown-integration",
    /// A Lambda function's ARN as a Task's `Resource`.
    DirectLambda Warning "direct-lambda",
    // check
    /// Lifecycle rules that S3 refuses, or that do not do what they say.
    LifecycleOrder Error "lifecycle-order",
    /// Objects are to be kept for a time that their lifecycle does not give them.
    RetentionConflict Error "retention-conflict",
    /// A lifecycle that takes files away from Iceberg tables.
    IcebergLifecycle Error "iceberg-lifecycle",
    /// Objects that are still stored, or still billed, after they expire.
    KeptAfterExpiration Warning "kept-after-expiration",
    /// Properties of a Glue job that exclude each other.
    GlueCapacity Error "glue-capacity",
    /// A number of replicas that an autoscaler owns.
    ReplicasWithAutoscaler Error "replicas-with-autoscaler",
    /// An autoscaler that cannot work.
    InvalidAutoscaler Error "invalid-autoscaler",
    /// A disruption budget that lets nothing be evicted.
    BlockedEviction Error "blocked-eviction",
    /// A volume for one node that pods on several are to mount.
    SharedVolume Error "shared-volume",
    /// A mount without a volume.
    DanglingMount Error "dangling-mount",
    /// A pod that its namespace refuses.
    PodSecurity Error "pod-security",
    /// An image that is another one tomorrow.
    FloatingImage Error "floating-image",
    /// A quantity that the server stores as another.
    InexactQuantity Error "inexact-quantity",
    /// A column that is there twice.
    DuplicateColumn Error "duplicate-column",
    /// A runtime that AWS no longer updates.
    DeprecatedRuntime Warning "deprecated-runtime",
    /// An alarm without a threshold.
    AlarmWithoutThreshold Error "alarm-without-threshold",
    /// An alarm that rings when all is well.
    InvertedAlarm Warning "inverted-alarm",
    /// A metric that nothing in the platform emits.
    OrphanMetric Warning "orphan-metric",
    /// Something encrypted with a key that who sends to it may not use.
    KeyOutOfReach Error "key-out-of-reach",
    /// More than the quota of a namespace, at the least.
    QuotaExceeded Error "quota-exceeded",
    /// More than the quota of a namespace, at the most.
    QuotaTooSmall Warning "quota-too-small",
    /// A name that another environment in the same account would have too.
    NameWithoutEnvironment Error "name-without-environment",
    /// Something for one environment that says the name of another.
    AnotherEnvironment Warning "another-environment",
    /// A schedule that starts something in an environment that only stands by.
    ScheduleInStandby Warning "schedule-in-standby",
    /// A stream whose failures block it or are lost.
    UnsafeStream Error "unsafe-stream",
    /// A policy that lets everybody in.
    OpenPolicy Error "open-policy",
    /// A policy with more in it than AWS takes.
    PolicyTooLarge Error "policy-too-large",
    /// A right to do everything.
    WildcardPermission Warning "wildcard-permission",
    /// An object of one tenant that reaches another tenant, the platform or the nodes.
    TenantIsolation Error "tenant-isolation",
    /// Pods that may open connections and cannot resolve names.
    ClosedDns Warning "closed-dns",
    /// A job that the tenant's limit of concurrent jobs does not count.
    UncountedJob Warning "uncounted-job",
    /// A waiver whose last day is over.
    ExpiredWaiver Warning "expired-waiver",
}
