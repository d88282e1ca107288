//! The names in the expressions of one component.

use terrace_artifact::{Decimal, Quantity, Text};

use crate::aws::arn::pseudo;
use crate::document::{Environment, Module, Platform, ResourcePool, Tenant};
use crate::expression::words::slug;
use crate::resource::Instance;
use crate::value::term::Term;

/// The size of each resource pool at a scale of 1: cores, GiB of memory, GPUs.
const POOLS: [(&str, i64, i64, i64); 4] = [
    ("cpu_intensive", 100, 400, 0),
    ("memory_intensive", 50, 800, 0),
    ("gpu_enabled", 32, 200, 8),
    ("general_purpose", 64, 256, 0),
];

/// The label that distinguishes the instances of a component.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// Returns the value of [`INSTANCE_LABEL`].
pub fn instance_label(instance: &Instance) -> String {
    format!("{}-{}", slug(instance.owner.as_str()), slug(&instance.identity))
}

/// Returns the names in the scope of a component, without `inputs`.
pub fn names(
    platform: &Platform,
    environment: &Environment,
    tenant: Option<&Tenant>,
    instance: &Instance,
    module: Option<&Module>,
) -> Vec<(Text, Term)> {
    let optional = |text: Option<&Text>| text.map_or(Term::Null, Term::from);
    let mut names: Vec<(Text, Term)> = vec![
        (
            "platform".into(),
            Term::map([
                ("name", Term::from(&platform.name.value)),
                (
                    "owner",
                    optional(platform.owner.as_ref().map(|owner| &owner.value)),
                ),
            ]),
        ),
        ("environment".into(), environment_term(environment, instance)),
        (
            "tenant".into(),
            tenant.map_or(Term::Null, |tenant| tenant_term(platform, tenant)),
        ),
        ("component".into(), Term::map([("name", &instance.identity)])),
    ];
    if let Some(module) = module {
        let version = module.version.value.to_string();
        names.push((
            "module".into(),
            Term::map([
                ("name", Term::from(&module.name.value)),
                ("version", version.into()),
            ]),
        ));
    }
    let selector = vec![
        (
            "app.kubernetes.io/name".into(),
            Term::from(slug(&instance.identity)),
        ),
        (INSTANCE_LABEL.into(), Term::from(instance_label(instance))),
    ];
    let mut labels: Vec<(Text, Term)> = selector.clone();
    labels.push((
        "app.kubernetes.io/part-of".into(),
        Term::from(&platform.name.value),
    ));
    labels.push(("app.kubernetes.io/managed-by".into(), "terrace".into()));
    if let Some(tenant) = tenant {
        labels.push(("tenant".into(), Term::from(&tenant.name.value)));
        labels.extend(
            tenant
                .labels
                .iter()
                .map(|(key, value)| (key.value.clone(), Term::from(&value.value))),
        );
    }
    names.push(("name".into(), Term::from(&instance.name)));
    names.push(("namespace".into(), Term::from(&instance.namespace)));
    names.push(("selector".into(), Term::Map(selector.into())));
    names.push(("labels".into(), Term::Map(labels.into())));
    names
}

fn environment_term(environment: &Environment, instance: &Instance) -> Term {
    let pseudo = |name: &str| pseudo(name, environment.name.span);
    let account = environment
        .accounts
        .iter()
        .find(|(name, _)| Some(&name.value) == instance.account.as_ref())
        .map(|(_, account)| account)
        .or(environment.aws.as_ref());
    let cluster = environment
        .clusters
        .iter()
        .find(|(name, _)| Some(&name.value) == instance.cluster.as_ref())
        .map(|(_, cluster)| cluster)
        .or(environment.kubernetes.as_ref());
    Term::map([
        ("name", Term::from(&environment.name.value)),
        ("class", environment.class.value.as_str().into()),
        ("production", environment.class.value.is_production().into()),
        ("triggers", environment.triggers.into()),
        (
            "account",
            account.map_or_else(|| pseudo("AWS::AccountId"), |a| Term::from(&a.account.value)),
        ),
        (
            "region",
            account.map_or_else(|| pseudo("AWS::Region"), |a| Term::from(&a.region.value)),
        ),
        ("partition", pseudo("AWS::Partition")),
        (
            "distribution",
            cluster.map_or("kubernetes".into(), |c| Term::from(&c.distribution)),
        ),
    ])
}

fn tenant_term(platform: &Platform, tenant: &Tenant) -> Term {
    let number = |value: Option<i64>| value.map_or(Term::Null, Term::from);
    let quota = platform
        .tiers
        .iter()
        .find(|(tier, _)| tier.value == tenant.tier.value)
        .map(|(_, m)| &m.quota);
    let quota = quota.into_iter().flatten();
    let display = tenant.display_name.as_ref().unwrap_or(&tenant.name);
    Term::map([
        ("name", Term::from(&tenant.name.value)),
        ("display_name", Term::from(&display.value)),
        ("tier", tenant.tier.value.as_str().into()),
        (
            "quota",
            Term::map(quota.map(|(name, amount)| (name.value.clone(), Term::Quantity(amount.value)))),
        ),
        (
            "limits",
            Term::map(
                tenant
                    .limits
                    .iter()
                    .map(|(name, node)| (name.value.clone(), Term::from_value(node.to_value()))),
            ),
        ),
        (
            "max_concurrent_jobs",
            number(tenant.max_concurrent_jobs.as_ref().map(|n| n.value)),
        ),
        (
            "max_monthly_processing_hours",
            number(tenant.max_monthly_processing_hours.as_ref().map(|n| n.value)),
        ),
        (
            "storage_quota",
            tenant
                .storage_quota
                .as_ref()
                .map_or(Term::Null, |size| Term::Quantity(size.value)),
        ),
        (
            "clearance",
            tenant
                .clearance
                .as_ref()
                .map_or(Term::Null, |clearance| clearance.value.as_str().into()),
        ),
        ("resource_pool", pool(tenant)),
    ])
}

/// Returns a resource that the scale of a pool reduces to zero, such as `GPUs`, with the minimum scale. A quota for it would be zero.
pub fn lost_to_scale(pool: &ResourcePool) -> Option<(&'static str, Decimal)> {
    let (_, cores, memory, gpus) = POOLS.into_iter().find(|(name, ..)| *name == pool.kind.value)?;
    let parts = [("GPUs", gpus), ("cores", cores), ("memory", memory)];
    let smallest = parts
        .iter()
        .map(|(_, amount)| *amount)
        .filter(|amount| *amount > 0)
        .min()?;
    let is_lost = |(_, amount): &(&str, i64)| *amount > 0 && scaled(*amount, pool) == Decimal::ZERO;
    let (what, _) = parts.into_iter().find(is_lost)?;
    Some((what, Decimal::from(1).div(smallest.into()).ok()?))
}

/// Returns an amount at the scale of a pool, rounded down to an integer.
fn scaled(amount: i64, pool: &ResourcePool) -> Decimal {
    let amount = Decimal::from(amount).mul(pool.scale_factor.value);
    amount.map_or(Decimal::ZERO, Decimal::floor)
}

/// Returns the pool of a tenant at its scale. Each amount is rounded down to whole cores, GiB and GPUs.
fn pool(tenant: &Tenant) -> Term {
    let Some(pool) = &tenant.resource_pool else {
        return Term::Null;
    };
    let Some((kind, cores, memory, gpus)) = POOLS.into_iter().find(|(name, ..)| *name == pool.kind.value)
    else {
        return Term::Null;
    };
    let scaled = |amount: i64| scaled(amount, pool);
    let bytes = scaled(memory).mul((1i64 << 30).into()).unwrap_or(Decimal::ZERO);
    Term::map([
        ("type", Term::from(kind)),
        (
            "cpu",
            Term::Quantity(Quantity {
                amount: scaled(cores),
                binary: false,
            }),
        ),
        (
            "memory",
            Term::Quantity(Quantity {
                amount: bytes,
                binary: true,
            }),
        ),
        ("gpus", Term::Number(scaled(gpus))),
    ])
}
