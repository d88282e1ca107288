//! Environment: a place that a stack is deployed to.

use terrace_artifact::{Class, Text};
use terrace_syntax::node::Node;
use terrace_syntax::source::{Span, Spanned};

use super::DocumentType;
use super::decode::{here, keyed, name, text, word};
use super::fields::{ComponentInputs, component_inputs};
use crate::validate::{SchemaFile, schema_file};

/// An environment.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The second part of composed names.
    pub name: Spanned<Text>,
    /// The class.
    pub class: Spanned<Class>,
    /// The environment whose bundles are promoted to this one.
    pub promotes_from: Option<Spanned<Text>>,
    /// Whether schedules and events start the pipelines. The default is true, except for the class `disaster-recovery`.
    pub triggers: bool,
    /// The directory for all artifacts, if the environment has neither cluster nor account.
    pub directory: Option<Spanned<Text>>,
    /// The prefix of its namespaces, for an environment that shares its cluster with another.
    pub namespace_prefix: Option<Spanned<Text>>,
    /// The cluster.
    pub kubernetes: Option<Cluster>,
    /// The account.
    pub aws: Option<Account>,
    /// Further clusters by name.
    pub clusters: Vec<(Spanned<Text>, Cluster)>,
    /// Further accounts by name.
    pub accounts: Vec<(Spanned<Text>, Account)>,
    /// The inputs by component.
    pub overrides: Vec<ComponentInputs>,
    /// The inputs by tenant and component.
    pub tenant_overrides: Vec<(Spanned<Text>, Vec<ComponentInputs>)>,
    /// The whole document.
    pub node: Node,
}

/// A Kubernetes cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The context in the kubeconfig.
    pub context: Spanned<Text>,
    /// `kubernetes`, `eks` or `openshift`.
    pub distribution: Text,
    /// The UID of its `kube-system` namespace, if it is set.
    pub id: Option<Spanned<Text>>,
    /// The place of the declaration.
    pub span: Span,
}

/// An AWS account with a region.
#[derive(Clone, Debug)]
pub struct Account {
    /// The account number with 12 digits.
    pub account: Spanned<Text>,
    /// The region, such as `eu-west-1`.
    pub region: Spanned<Text>,
    /// The profile for its credentials, if it is set.
    pub profile: Option<Spanned<Text>>,
    /// The place of the declaration.
    pub span: Span,
}

impl DocumentType for Environment {
    fn schema() -> &'static SchemaFile {
        static SCHEMA: SchemaFile = schema_file!("environment");
        &SCHEMA
    }

    fn decode(node: Node) -> Environment {
        let overrides = node.get("overrides");
        let tenants = overrides.and_then(|o| o.get("tenants"));
        let class = word(&node, "class", &Class::ALL.map(|class| (class.as_str(), class)))
            .unwrap_or(here(&node, Class::Production));
        let triggers = node.get("triggers").and_then(Node::as_str);
        Environment {
            name: name(&node),
            promotes_from: text(&node, "promotes_from"),
            triggers: triggers.map_or(class.value != Class::DisasterRecovery, |word| word == "enabled"),
            class,
            directory: text(&node, "directory"),
            namespace_prefix: text(&node, "namespace_prefix"),
            kubernetes: node.get("kubernetes").map(cluster),
            aws: node.get("aws").map(account),
            clusters: keyed(node.get("clusters"), cluster),
            accounts: keyed(node.get("accounts"), account),
            overrides: component_inputs(overrides)
                .into_iter()
                .filter(|o| o.component.value != "tenants")
                .collect(),
            tenant_overrides: keyed(tenants, |tenant| component_inputs(Some(tenant))),
            node,
        }
    }

    fn name(&self) -> &Spanned<Text> {
        &self.name
    }
}

fn cluster(node: &Node) -> Cluster {
    Cluster {
        context: text(node, "context").unwrap_or(here(node, Text::default())),
        distribution: node
            .get("distribution")
            .and_then(Node::as_str)
            .unwrap_or("kubernetes")
            .into(),
        id: text(node, "id"),
        span: node.span,
    }
}

fn account(node: &Node) -> Account {
    Account {
        account: text(node, "account").unwrap_or(here(node, Text::default())),
        region: text(node, "region").unwrap_or(here(node, Text::default())),
        profile: text(node, "profile"),
        span: node.span,
    }
}
