//! The targets of an environment, and the cluster and account of a component.

use std::collections::BTreeMap;

use terrace_artifact::{Location, Target, Text};
use terrace_catalog::LONGEST_LABEL;
use terrace_language::document::{Cluster, Environment, Placement, Platform};
use terrace_language::expression::words::slug;
use terrace_language::load::unknown;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::source::Spanned;
use terrace_syntax::source::{Files, Span};

/// Returns the targets of an environment, by the names that components use.
pub fn targets(environment: &Environment) -> Vec<(Text, Target)> {
    let cluster = |(name, cluster): (Text, &Cluster)| {
        let target = Target::Kubernetes {
            context: cluster.context.value.clone(),
            distribution: cluster.distribution.clone(),
            id: cluster.id.as_ref().map(|id| id.value.clone()),
        };
        (name, target)
    };
    let account = |name: Text, account: &terrace_language::document::Account| {
        let target = Target::Aws {
            account: account.account.value.clone(),
            region: account.region.value.clone(),
            profile: account.profile.as_ref().map(|profile| profile.value.clone()),
        };
        (name, target)
    };
    let mut targets: Vec<(Text, Target)> = Vec::new();
    targets.extend(clusters(environment).map(cluster));
    targets.extend(environment.aws.iter().map(|a| account("aws".into(), a)));
    targets.extend(
        environment
            .accounts
            .iter()
            .map(|(name, a)| account(name.value.clone(), a)),
    );
    if targets.is_empty()
        && let Some(path) = directory(environment)
    {
        targets.push(("directory".into(), Target::Directory { path }));
    }
    targets
}

/// Returns the output directory of an environment without clusters and accounts.
pub(crate) fn directory(environment: &Environment) -> Option<Text> {
    let written = clusters(environment).next().is_none() && accounts(environment).is_empty();
    written.then(|| match &environment.directory {
        Some(directory) => directory.value.clone(),
        None => format!("deploy/{}", environment.name.value).into(),
    })
}

/// Returns the clusters of an environment, by the names of [`targets`].
pub fn clusters(environment: &Environment) -> impl Iterator<Item = (Text, &Cluster)> {
    let single = environment.kubernetes.iter();
    let single = single.map(|cluster| ("kubernetes".into(), cluster));
    let named = environment.clusters.iter();
    single.chain(named.map(|(name, cluster)| (name.value.clone(), cluster)))
}

/// Returns whether two targets are the same cluster. The ids decide if both are set, otherwise the contexts. Two contexts
/// without ids may still be one cluster, which only the deployer can see.
pub fn is_one_cluster(cluster: &Cluster, other: &Cluster) -> bool {
    match (&cluster.id, &other.id) {
        (Some(cluster), Some(other)) => cluster.value == other.value,
        _ => cluster.context.value == other.context.value,
    }
}

/// Returns the places that declare the clusters, accounts or output directory of an environment, by the names of [`targets`].
pub fn places(environment: &Environment, files: &Files) -> BTreeMap<Text, Location> {
    let accounts = environment.aws.iter().map(|account| ("aws".into(), account));
    let accounts = accounts.chain(
        environment
            .accounts
            .iter()
            .map(|(name, account)| (name.value.clone(), account)),
    );
    let spans = clusters(environment)
        .map(|(name, cluster)| (name, cluster.context.span))
        .chain(accounts.map(|(name, account): (Text, _)| (name, account.account.span)));
    let mut places: BTreeMap<Text, Location> =
        spans.map(|(name, span)| (name, files.location(span))).collect();
    if places.is_empty() {
        let named = environment.directory.as_ref().map(|directory| directory.span);
        let place = files.location(named.unwrap_or(environment.name.span));
        places.insert("directory".into(), place);
    }
    places
}

/// Reports targets of an environment with the same name or the same cluster.
pub(crate) fn check_names(environment: &Environment, diagnostics: &mut Diagnostics) {
    let single = [
        (
            "kubernetes",
            environment.kubernetes.as_ref().map(|cluster| cluster.span),
        ),
        ("aws", environment.aws.as_ref().map(|account| account.span)),
    ];
    let single = single.into_iter().filter_map(|(name, span)| Some((name, span?)));
    let mut taken: BTreeMap<&str, Span> = single.collect();
    let clusters = environment.clusters.iter().map(|(name, _)| name);
    for name in clusters.chain(environment.accounts.iter().map(|(name, _)| name)) {
        if let Some(first) = taken.insert(&name.value, name.span) {
            diagnostics.push(
                Diagnostic::new(Code::DuplicateName, format!("duplicate target `{}`", name.value))
                    .repeats(name.span, first)
                    .note("`on: NAME` can refer to a cluster or an account, so their names must differ")
                    .help("rename one of them"),
            );
        }
    }
    let all: Vec<(Text, &Cluster)> = self::clusters(environment).collect();
    for (at, (name, cluster)) in all.iter().enumerate() {
        let same = |(_, other): &&(Text, &Cluster)| is_one_cluster(cluster, other);
        if let Some((other, first)) = all[..at].iter().find(same) {
            diagnostics.push(
                Diagnostic::new(
                    Code::DuplicateName,
                    format!("targets `{other}` and `{name}` are the same cluster"),
                )
                .at(cluster.context.span, format!("the cluster of `{name}`"))
                .also(first.context.span, format!("the cluster of `{other}`"))
                .help("remove one of them, and select the other in the components that use it"),
            );
        }
    }
}

/// Reports a platform and an environment whose combined names are too long for a label.
pub(crate) fn check_label(platform: &Platform, environment: &Environment, diagnostics: &mut Diagnostics) {
    let label = format!("{}.{}", platform.name.value, environment.name.value);
    let objects = |(_, target): &(Text, Target)| !matches!(target, Target::Aws { .. });
    if label.len() > LONGEST_LABEL && targets(environment).iter().any(objects) {
        let length = label.len();
        diagnostics.push(
            Diagnostic::new(
                Code::NameTooLong,
                format!(
                    "the label `terrace.dev/stack` has {length} characters, but the maximum is {LONGEST_LABEL}"
                ),
            )
            .at(environment.name.span, "name of the environment")
            .also(platform.name.span, "name of the platform")
            .note(format!("every object has the label `terrace.dev/stack: {label}`"))
            .help("shorten one of the names"),
        );
    }
}

/// The prefix of the namespaces of tenants, after the prefix of the environment.
pub const TENANT_NAMESPACE: &str = "data-tenant-";

/// Returns the namespace of a tenant in an environment, or of the platform if no tenant is given.
pub(crate) fn namespace(environment: &Environment, tenant: Option<&Text>) -> Text {
    let name = match tenant {
        Some(tenant) => format!("{TENANT_NAMESPACE}{}", slug(tenant)),
        None => "data-platform".to_owned(),
    };
    match &environment.namespace_prefix {
        Some(prefix) => format!("{}-{name}", prefix.value).into(),
        None => name.into(),
    }
}

/// Returns the accounts of an environment.
pub fn accounts(environment: &Environment) -> Vec<Text> {
    let all = environment
        .aws
        .iter()
        .chain(environment.accounts.iter().map(|(_, account)| account));
    all.map(|account| account.account.value.clone()).collect()
}

/// Returns the cluster and the account of a component: those it names, or the only ones of the environment.
pub(crate) fn placement(
    environment: &Environment,
    on: Option<&Placement>,
    diagnostics: &mut Diagnostics,
) -> (Option<Text>, Option<Text>) {
    let targets = targets(environment);
    if let [(name, Target::Directory { .. })] = targets.as_slice() {
        return (Some(name.clone()), Some(name.clone()));
    }
    let of_kind = |aws: bool| {
        let names = targets
            .iter()
            .filter(move |(_, target)| matches!(target, Target::Aws { .. }) == aws);
        names.map(|(name, _)| name.clone()).collect::<Vec<Text>>()
    };
    let usual = |names: Vec<Text>, word: &str| match names.as_slice() {
        [cluster] => Some(cluster.clone()),
        names => names.iter().find(|name| *name == word).cloned(),
    };
    let (clusters, accounts) = (of_kind(false), of_kind(true));
    let mut named = |name: &Spanned<Text>, known: &[Text], what: &str| {
        if known.contains(&name.value) {
            return Some(name.value.clone());
        }
        let names = known.iter().map(Text::as_str);
        diagnostics.push(
            unknown(Code::UnknownTarget, what, &name.value, name.span, names).also(
                environment.name.span,
                format!("in environment `{}`", environment.name.value),
            ),
        );
        None
    };
    match on {
        None => (usual(clusters, "kubernetes"), usual(accounts, "aws")),
        Some(Placement::Named(name)) if accounts.contains(&name.value) => {
            (usual(clusters, "kubernetes"), Some(name.value.clone()))
        }
        Some(Placement::Named(name)) => {
            let all: Vec<Text> = clusters.iter().chain(&accounts).cloned().collect();
            (named(name, &all, "cluster or account"), usual(accounts, "aws"))
        }
        Some(Placement::Each { cluster, account }) => (
            cluster.as_ref().map_or_else(
                || usual(clusters.clone(), "kubernetes"),
                |name| named(name, &clusters, "cluster"),
            ),
            account.as_ref().map_or_else(
                || usual(accounts.clone(), "aws"),
                |name| named(name, &accounts, "account"),
            ),
        ),
    }
}
