//! Decodes valid nodes to documents.

use std::str::FromStr;

use semver::{Version, VersionReq};
use terrace_artifact::{Class, Decimal, Quantity, Text};
use terrace_syntax::node::{Node, NodeKind};

use super::{
    Account, Body, Check, Clearance, Cluster, Component, ComponentInputs, ComponentSource, Divides,
    Environment, Input, Module, ModuleUse, Pipeline, Placement, Platform, ResourcePool, Spanned, Status,
    Tenant, Tenants, Tier, TierMeaning, Waiver,
};
use crate::module::inputs::InputSchema;

impl Platform {
    pub(super) fn decode(node: &Node) -> Platform {
        Platform {
            name: name(node),
            owner: text(node, "owner"),
            terrace: parsed(node, "terrace"),
            modules: texts(node, "modules"),
            assets: texts(node, "assets"),
            tiers: keyed(node.get("tiers"), |meaning| TierMeaning {
                quota: keyed(meaning.get("quota"), quantity),
                inputs: component_inputs(meaning.get("inputs")),
            })
            .into_iter()
            .filter_map(|(key, meaning)| {
                let tier = Tier::ALL.into_iter().find(|tier| tier.as_str() == key.value)?;
                Some((
                    Spanned {
                        value: tier,
                        span: key.span,
                    },
                    meaning,
                ))
            })
            .collect(),
            golden: text(node, "golden"),
            waivers: waivers(node),
            node: node.clone(),
        }
    }
}

impl Environment {
    pub(super) fn decode(node: &Node) -> Environment {
        let overrides = node.get("overrides");
        let tenants = overrides.and_then(|o| o.get("tenants"));
        let class = word(node, "class", &Class::ALL.map(|class| (class.as_str(), class)))
            .unwrap_or(here(node, Class::Production));
        let triggers = node.get("triggers").and_then(Node::as_str);
        Environment {
            name: name(node),
            promotes_from: text(node, "promotes_from"),
            triggers: triggers.map_or(class.value != Class::DisasterRecovery, |word| word == "enabled"),
            class,
            directory: text(node, "directory"),
            namespace_prefix: text(node, "namespace_prefix"),
            kubernetes: node.get("kubernetes").map(cluster),
            aws: node.get("aws").map(account),
            clusters: keyed(node.get("clusters"), cluster),
            accounts: keyed(node.get("accounts"), account),
            overrides: component_inputs(overrides)
                .into_iter()
                .filter(|o| o.component.value != "tenants")
                .collect(),
            tenant_overrides: keyed(tenants, |tenant| component_inputs(Some(tenant))),
            node: node.clone(),
        }
    }
}

impl Tenant {
    /// Decodes the document, or the `tenant` of a module test.
    pub fn decode(node: &Node) -> Tenant {
        Tenant {
            name: name(node),
            display_name: text(node, "display_name"),
            tier: word(node, "tier", &tiers()).unwrap_or(here(node, Tier::Basic)),
            environments: names(node, "environments"),
            max_concurrent_jobs: integer(node, "max_concurrent_jobs"),
            max_monthly_processing_hours: integer(node, "max_monthly_processing_hours"),
            storage_quota: node.get("storage_quota").filter(|n| !n.is_null()).map(|n| {
                let amount = n.as_str().and_then(Quantity::size);
                here(
                    n,
                    amount.unwrap_or(Quantity {
                        amount: Decimal::ZERO,
                        binary: true,
                    }),
                )
            }),
            resource_pool: node.get("resource_pool").map(|pool| ResourcePool {
                kind: text(pool, "type").unwrap_or(here(pool, Text::default())),
                scale_factor: pool
                    .get("scale_factor")
                    .and_then(|n| Some(here(n, n.as_number()?)))
                    .unwrap_or(here(pool, 1.into())),
            }),
            clearance: word(node, "clearance", &clearances()),
            limits: keyed(node.get("limits"), Node::clone),
            labels: keyed(node.get("labels"), scalar),
            overrides: component_inputs(node.get("overrides")),
            node: node.clone(),
        }
    }
}

impl Component {
    pub(super) fn decode(node: &Node) -> Component {
        let recipe = match node.get("module") {
            Some(module) => ComponentSource::Module {
                module: module_use(module),
                inputs: node.get("inputs").cloned(),
                patches: keyed(node.get("patches"), Node::clone),
                existing: node.get("existing").map_or(&[][..], Node::items).to_vec(),
            },
            None => ComponentSource::Own(Body::decode(node)),
        };
        Component {
            name: name(node),
            recipe,
            tenants: match node.get("tenants") {
                None => Tenants::Platform,
                Some(all) if all.as_str().is_some() => Tenants::All(all.span),
                Some(list) if matches!(list.kind, NodeKind::List(_)) => {
                    Tenants::Named(list.items().iter().map(scalar).collect())
                }
                Some(map) => {
                    let words = tiers();
                    let items = map.get("tier").map_or(&[][..], Node::items).iter();
                    Tenants::Tiers(items.filter_map(|tier| one_of(tier, &words)).collect())
                }
            },
            environments: names(node, "environments"),
            on: placement(node),
            moved_from: text(node, "moved_from"),
            waivers: waivers(node),
            node: node.clone(),
        }
    }
}

impl Pipeline {
    pub(super) fn decode(node: Node) -> Pipeline {
        Pipeline {
            name: name(&node),
            tenant: text(&node, "tenant"),
            environments: names(&node, "environments"),
            on: placement(&node),
            timeout: parsed(&node, "timeout"),
            moved_from: text(&node, "moved_from"),
            waivers: waivers(&node),
            node,
        }
    }
}

impl Module {
    pub(super) fn decode(node: &Node) -> Module {
        let statuses = [
            ("active", Status::Active),
            ("deprecated", Status::Deprecated),
            ("sunset", Status::Sunset),
            ("archived", Status::Archived),
        ];
        Module {
            name: name(node),
            version: parsed(node, "version").unwrap_or(here(node, Version::new(0, 0, 0))),
            status: word(node, "status", &statuses).unwrap_or(here(node, Status::Active)),
            replaced_by: node.get("replaced_by").map(module_use),
            summary: text(node, "summary").unwrap_or(here(node, Text::default())),
            capabilities: texts(node, "capabilities"),
            formats: texts(node, "formats"),
            clearance: word(node, "clearance", &clearances()),
            certifications: texts(node, "certifications"),
            inputs: keyed(node.get("inputs"), InputSchema::decode)
                .into_iter()
                .map(|(name, schema)| Input { name, schema })
                .collect(),
            body: Body::decode(node),
            waivers: waivers(node),
            node: node.clone(),
        }
    }
}

impl Body {
    pub(super) fn decode(node: &Node) -> Body {
        let list = |key: &str| node.get(key).map_or(&[][..], Node::items).to_vec();
        Body {
            resources: keyed(node.get("resources"), Node::clone),
            requires: keyed(node.get("requires"), |n| {
                let requirement = n.as_str().and_then(|text| text.parse().ok());
                here(n, requirement.unwrap_or(VersionReq::STAR))
            }),
            divides: node.get("divides").and_then(|divides| {
                let into = divides.get("into")?;
                Some(Divides {
                    by: divides.get("by")?.clone(),
                    into: here(into, into.as_number()?.as_integer()?),
                })
            }),
            grants: list("grants"),
            connects: list("connects"),
            existing: list("existing"),
            outputs: keyed(node.get("outputs"), Node::clone),
            checks: list("checks")
                .iter()
                .filter_map(|check| {
                    let that = check.get("that")?;
                    Some(Check {
                        that: that.clone(),
                        for_each: check.get("for_each").cloned(),
                        message: check.get("message")?.clone(),
                        at: text(check, "at"),
                        rule: text(check, "rule"),
                        span: that.span,
                    })
                })
                .collect(),
        }
    }
}

fn tiers() -> [(&'static str, Tier); 4] {
    Tier::ALL.map(|tier| (tier.as_str(), tier))
}

fn clearances() -> [(&'static str, Clearance); 4] {
    Clearance::ALL.map(|clearance| (clearance.as_str(), clearance))
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

fn component_inputs(node: Option<&Node>) -> Vec<ComponentInputs> {
    keyed(node, Node::clone)
        .into_iter()
        .map(|(component, inputs)| ComponentInputs { component, inputs })
        .collect()
}

fn placement(node: &Node) -> Option<Placement> {
    let on = node.get("on")?;
    Some(match on.as_str() {
        Some(_) => Placement::Named(scalar(on)),
        None => Placement::Each {
            cluster: text(on, "cluster"),
            account: text(on, "account"),
        },
    })
}

fn module_use(node: &Node) -> ModuleUse {
    let whole = node.as_str().unwrap_or_default();
    let (name, requirement) = whole.split_once('@').unwrap_or((whole, ""));
    // In quotes, the string starts one byte later. The characters of both parts need no escapes.
    let quote = usize::from((node.span.end - node.span.start) as usize > whole.len());
    let name_span = node.span.within(quote..quote + name.len());
    let rest = if requirement.is_empty() {
        name_span
    } else {
        node.span.within(quote + name.len() + 1..quote + whole.len())
    };
    ModuleUse {
        name: Spanned {
            value: name.into(),
            span: name_span,
        },
        requirement: Spanned {
            value: requirement.parse().unwrap_or(VersionReq::STAR),
            span: rest,
        },
        span: node.span,
    }
}

fn waivers(node: &Node) -> Vec<Waiver> {
    let field = |waiver: &Node, key| text(waiver, key).unwrap_or(here(waiver, Text::default()));
    let items = node.get("waivers").map_or(&[][..], Node::items).iter();
    items
        .map(|waiver| Waiver {
            rule: field(waiver, "rule"),
            address: field(waiver, "address"),
            reason: field(waiver, "reason"),
            expires: field(waiver, "expires"),
        })
        .collect()
}

fn name(node: &Node) -> Spanned<Text> {
    text(node, "name").unwrap_or(here(node, Text::default()))
}

fn names(node: &Node, key: &str) -> Option<Vec<Spanned<Text>>> {
    node.get(key)
        .map(|list| list.items().iter().map(scalar).collect())
}

fn texts(node: &Node, key: &str) -> Vec<Spanned<Text>> {
    names(node, key).unwrap_or_default()
}

fn text(node: &Node, key: &str) -> Option<Spanned<Text>> {
    node.get(key).map(scalar)
}

fn scalar(node: &Node) -> Spanned<Text> {
    here(node, node.as_str().unwrap_or_default().into())
}

fn integer(node: &Node, key: &str) -> Option<Spanned<i64>> {
    let node = node.get(key)?;
    Some(here(node, node.as_number()?.as_integer()?))
}

fn quantity(node: &Node) -> Spanned<Quantity> {
    let amount = match &node.kind {
        NodeKind::Number(number) => Some(Quantity {
            amount: *number,
            binary: false,
        }),
        _ => node.as_str().and_then(|text| text.parse().ok()),
    };
    here(
        node,
        amount.unwrap_or(Quantity {
            amount: Decimal::ZERO,
            binary: false,
        }),
    )
}

fn parsed<T: FromStr>(node: &Node, key: &str) -> Option<Spanned<T>> {
    let node = node.get(key)?;
    Some(here(node, node.as_str()?.parse().ok()?))
}

fn word<T: Copy>(node: &Node, key: &str, words: &[(&str, T)]) -> Option<Spanned<T>> {
    one_of(node.get(key)?, words)
}

fn one_of<T: Copy>(node: &Node, words: &[(&str, T)]) -> Option<Spanned<T>> {
    let text = node.as_str()?;
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| here(node, *value))
}

fn keyed<T>(node: Option<&Node>, value: impl Fn(&Node) -> T) -> Vec<(Spanned<Text>, T)> {
    let entries = node.map_or(&[][..], Node::entries).iter();
    entries
        .map(|(key, node)| {
            (
                Spanned {
                    value: key.clone(),
                    span: node.key,
                },
                value(node),
            )
        })
        .collect()
}

fn here<T>(node: &Node, value: T) -> Spanned<T> {
    Spanned {
        value,
        span: node.span,
    }
}
