//! Finds objects that two environments of the stack would both write, because they share a cluster.
//!
//! Each apply would overwrite the objects of the other environment, and destroying one environment would delete objects of the other.

use std::collections::BTreeSet;

use foldhash::HashMap;
use terrace_artifact::Text;
use terrace_graph::resolve::placement::{clusters, is_one_cluster};
use terrace_graph::targets::kubernetes::object_identity;
use terrace_language::document::{Cluster, Environment};
use terrace_language::resource::Resource;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};
use terrace_syntax::source::Span;

use crate::emit::Emission;

/// The maximum number of common objects that a message names.
const NAMED: usize = 2;

/// An environment with its compiled resources.
pub(crate) struct Compiled<'a> {
    pub(crate) environment: &'a Environment,
    /// Whether the command was called for this environment.
    pub(crate) asked: bool,
    pub(crate) emission: &'a Emission<'a>,
}

/// Group, kind, namespace and name of an object.
type Identity<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Two environments of one cluster. The message is about the second.
struct EnvironmentPair<'a> {
    first: (&'a Compiled<'a>, Span),
    second: (&'a Compiled<'a>, Span),
}

/// Returns whether two environments name the same cluster.
pub(crate) fn shares_cluster(one: &Environment, other: &Environment) -> bool {
    common_clusters(one, other).next().is_some()
}

/// Returns the clusters that two environments share, with the name of the target in each.
fn common_clusters<'a>(
    one: &'a Environment,
    other: &'a Environment,
) -> impl Iterator<Item = ((Text, &'a Cluster), (Text, &'a Cluster))> {
    clusters(one).flat_map(move |own| {
        clusters(other)
            .filter(move |(_, cluster)| is_one_cluster(own.1, cluster))
            .map(move |found| (own.clone(), found))
            .collect::<Vec<_>>()
    })
}

/// Reports objects that several environments of one cluster have in common.
pub(crate) fn check(all: &[Compiled<'_>], diagnostics: &mut Diagnostics) {
    for (at, one) in all.iter().enumerate() {
        for other in all[at + 1..].iter().filter(|other| one.asked || other.asked) {
            // The help changes namespaces, so it is for the environment that is not production.
            let production = |one: &Compiled<'_>| one.environment.class.value.is_production();
            let (first, second) = match production(other) && !production(one) {
                true => (other, one),
                false => (one, other),
            };
            for ((name, cluster), (second_name, second_cluster)) in
                common_clusters(first.environment, second.environment)
            {
                let pair = EnvironmentPair {
                    first: (first, cluster.context.span),
                    second: (second, second_cluster.context.span),
                };
                pair.check(&name, &second_name, diagnostics);
            }
        }
    }
}

impl EnvironmentPair<'_> {
    fn check(&self, first: &Text, second: &Text, diagnostics: &mut Diagnostics) {
        let theirs: HashMap<Identity<'_>, &Resource> = objects(self.first.0.emission, first).collect();
        let common =
            objects(self.second.0.emission, second).filter(|(identity, _)| theirs.contains_key(identity));
        let (moved, fixed): (Vec<_>, Vec<_>) = common.partition(|(identity, resource)| {
            let own = &self.second.0.emission.graph().instances[resource.instance].namespace;
            let (_, kind, namespace, name) = identity;
            namespace == own || (*kind == "Namespace" && name.contains(own.as_str()))
        });
        if !moved.is_empty() {
            diagnostics.push(self.namespaces(&moved));
        }
        let mut reported: BTreeSet<Span> = BTreeSet::new();
        for (identity, resource) in fixed {
            if reported.insert(resource.declared) {
                diagnostics.push(self.object(&identity, resource));
            }
        }
    }

    fn names(&self) -> (&Text, &Text) {
        (
            &self.first.0.environment.name.value,
            &self.second.0.environment.name.value,
        )
    }

    /// Reports objects in namespaces whose names Terrace generates.
    fn namespaces(&self, common: &[(Identity<'_>, &Resource)]) -> Diagnostic {
        let (first, second) = self.names();
        let named = common.iter().take(NAMED).map(|(identity, _)| describe(identity));
        let named: Vec<String> = named.collect();
        let rest = common.len() - named.len();
        let list = match rest {
            0 => named.join(" and "),
            rest => format!("{} and {rest} more", named.join(", ")),
        };
        let prefix = terrace_language::expression::words::slug(second);
        let diagnostic = Diagnostic::new(
            Code::EnvironmentCollision,
            format!("environments `{first}` and `{second}` use the same namespaces of one cluster"),
        )
        .at(self.second.1, format!("the cluster of `{second}`"))
        .also(self.first.1, format!("the cluster of `{first}`"))
        .note(format!("both would write {list}"));
        let diagnostic = match &self.second.0.environment.namespace_prefix {
            Some(taken) => diagnostic.also(taken.span, "both environments have this prefix"),
            None => diagnostic,
        };
        diagnostic
            .note("a new prefix moves an environment to new namespaces")
            .help(format!(
                "add `namespace_prefix: {prefix}` to environment `{second}`; if `{second}` is already deployed, add a prefix to `{first}` instead"
            ))
    }

    /// Reports an object whose name and namespace are the same in every environment.
    fn object(&self, identity: &Identity<'_>, resource: &Resource) -> Diagnostic {
        let (first, second) = self.names();
        let graph = self.second.0.emission.graph();
        let diagnostic = Diagnostic::new(
            Code::EnvironmentCollision,
            format!(
                "environments `{first}` and `{second}` would both write {} in one cluster",
                describe(identity)
            ),
        )
        .at(resource.declared, format!("`{}`", resource.address))
        .also(self.second.1, format!("the cluster of `{second}`"))
        .also(self.first.1, format!("the cluster of `{first}`"));
        graph.located(resource, diagnostic).help(
            "add `{{ environment.name }}` to its name, or list only one of the environments in `environments` of the component",
        )
    }
}

fn describe((_, kind, namespace, name): &Identity<'_>) -> String {
    match namespace.is_empty() {
        true => format!("{kind} `{}`", shown(name)),
        false => format!("{kind} `{}/{}`", shown(namespace), shown(name)),
    }
}

/// Returns the objects for one cluster of an environment.
fn objects<'a>(
    emission: &'a Emission<'a>,
    target: &'a Text,
) -> impl Iterator<Item = (Identity<'a>, &'a Resource)> {
    let graph = emission.graph();
    graph
        .resources
        .iter()
        .enumerate()
        .filter_map(move |(at, resource)| {
            let cluster = graph.instances[resource.instance].cluster.as_ref();
            let identity =
                (cluster == Some(target)).then(|| object_identity(resource, emission.body(at)))??;
            Some((identity, resource))
        })
}
