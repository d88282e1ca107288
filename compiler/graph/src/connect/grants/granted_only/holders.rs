//! Finds the principals with permissions on a resource: the roles and users of every policy of the platform that names it.

use foldhash::{HashMap, HashMapExt};
use terrace_artifact::{Address, Text};
use terrace_language::aws::arn::{iam_arn, pseudo};
use terrace_language::aws::encryption::KeyUse;
use terrace_language::aws::iam;
use terrace_language::aws::iam::{overlap, values};
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;

use super::{BUCKET, Principal, is_beside, leads};
use crate::connect::{Graph, grants};

/// A role or user with permissions.
#[derive(Clone, PartialEq)]
pub(super) enum Holder {
    /// A role or user of the platform.
    Resource(usize),
    /// A role or user by its ARN, as in the policy of a bucket.
    Arn(Text),
    /// A role or user by its kind and name, in the account of a resource.
    Named(&'static str, Text, usize),
}

/// The actions that a holder may perform on a target.
pub(super) struct Found {
    pub(super) target: usize,
    pub(super) holder: Holder,
    pub(super) actions: Vec<Text>,
}

/// Lookup tables for statements.
pub(super) struct Index<'g, 'a> {
    graph: &'g Graph<'a>,
    /// Buckets by name.
    buckets: HashMap<Text, usize>,
    /// The policy of each bucket.
    policies: HashMap<usize, usize>,
    /// The holders of each managed policy.
    attached: HashMap<usize, Vec<Holder>>,
}

impl<'g, 'a> Index<'g, 'a> {
    pub(super) fn new(graph: &'g Graph<'a>) -> Index<'g, 'a> {
        let mut index = Index {
            graph,
            buckets: HashMap::new(),
            policies: HashMap::new(),
            attached: HashMap::new(),
        };
        for (at, resource) in graph.resources.iter().enumerate() {
            if let (Some(BUCKET), Some(Term::String(name))) =
                (resource.kind.cloudformation(), resource.body.get("BucketName"))
            {
                index.buckets.insert(name.clone(), at);
            }
        }
        for (at, resource) in graph.resources.iter().enumerate() {
            match resource.kind.cloudformation() {
                Some("AWS::S3::BucketPolicy") => {
                    let buckets = resource.body.get("Bucket").map(|named| index.named(at, named));
                    let buckets = buckets.into_iter().flatten();
                    index.policies.extend(buckets.map(|bucket| (bucket, at)));
                }
                Some("AWS::IAM::Role" | "AWS::IAM::User") => {
                    for arn in values(resource.body.get("ManagedPolicyArns")) {
                        for policy in index.named(at, arn) {
                            index
                                .attached
                                .entry(policy)
                                .or_default()
                                .push(Holder::Resource(at));
                        }
                    }
                }
                _ => {}
            }
        }
        index
    }

    /// Returns the policy of a bucket.
    pub(super) fn policy_of(&self, bucket: usize) -> Option<usize> {
        self.policies.get(&bucket).copied()
    }
}

/// Finds every permission on one of the targets.
pub(super) fn find(index: &Index<'_, '_>, targets: &[usize]) -> Vec<Found> {
    let graph = index.graph;
    let mut found = Vec::new();
    for policy in index.identity_policies() {
        for statement in iam::statements(Some(policy.document)) {
            if !iam::allows(statement) {
                continue;
            }
            let mut named = Vec::new();
            for resource in values(statement.get("Resource")) {
                index.named_in(policy.at, resource, &mut named);
            }
            named.sort_unstable();
            named.dedup();
            let is_target = |at: &usize| targets.binary_search(at).is_ok();
            for target in named.into_iter().filter(is_target) {
                let actions = actions(statement);
                found.extend(policy.holders.iter().map(|holder| Found {
                    target,
                    holder: holder.clone(),
                    actions: actions.clone(),
                }));
            }
        }
    }
    for bucket in 0..graph.resources.len() {
        if graph.resources[bucket].kind.cloudformation() == Some(BUCKET) {
            index.by_bucket_policy(bucket, targets, &mut found);
        }
    }
    found
}

impl Index<'_, '_> {
    /// Finds the permissions that the policy of a bucket gives: on the bucket, and on the key that encrypts it.
    fn by_bucket_policy(&self, bucket: usize, targets: &[usize], found: &mut Vec<Found>) {
        let graph = self.graph;
        let key = graph
            .key_of(&graph.resources[bucket])
            .and_then(|key| graph.number_of(&key.address));
        let key = key.filter(|key| targets.binary_search(key).is_ok());
        let itself = targets.binary_search(&bucket).is_ok();
        if !itself && key.is_none() {
            return;
        }
        let Some(policy) = self.policy_of(bucket) else {
            return;
        };
        for statement in iam::statements(graph.resources[policy].body.get("PolicyDocument")) {
            if !iam::allows(statement) {
                continue;
            }
            let actions = actions(statement);
            for principal in values(statement.at(&["Principal", "AWS"])) {
                let holder = match principal {
                    Term::Reference(reference) => {
                        leads(graph, graph.resources[policy].instance, reference).map(Holder::Resource)
                    }
                    Term::String(arn) => Some(Holder::Arn(arn.clone())),
                    _ => None,
                };
                let Some(holder) = holder else { continue };
                if itself {
                    found.push(Found {
                        target: bucket,
                        holder: holder.clone(),
                        actions: actions.clone(),
                    });
                }
                let does = |of_class: &str| actions.iter().any(|action| overlap(action, of_class));
                let writes = does("s3:PutObject");
                if let Some(target) = key
                    && (writes || does("s3:GetObject"))
                {
                    let key_use = if writes { KeyUse::Encrypt } else { KeyUse::Decrypt };
                    let actions = key_use.actions().iter().copied().map(Text::from).collect();
                    found.push(Found {
                        target,
                        holder,
                        actions,
                    });
                }
            }
        }
    }
}

/// An IAM policy with its holders.
struct IdentityPolicy<'g> {
    /// The resource that contains the policy.
    at: usize,
    document: &'g Term,
    holders: Vec<Holder>,
}

impl<'g> Index<'g, '_> {
    fn identity_policies(&self) -> Vec<IdentityPolicy<'g>> {
        let graph = self.graph;
        let mut found = Vec::new();
        for at in 0..graph.resources.len() {
            found.extend(self.identity_policies_at(at));
        }
        found
    }

    /// Returns the policies in a resource.
    fn identity_policies_at(&self, at: usize) -> Vec<IdentityPolicy<'g>> {
        let resource = &self.graph.resources[at];
        let body = &resource.body;
        let holders = match resource.kind.cloudformation() {
            Some("AWS::IAM::Role" | "AWS::IAM::User") => {
                let inline = body.get("Policies").map_or(&[][..], Term::items);
                let inline = inline.iter().filter_map(|policy| policy.get("PolicyDocument"));
                let policies = inline.map(|document| IdentityPolicy {
                    at,
                    document,
                    holders: vec![Holder::Resource(at)],
                });
                return policies.collect();
            }
            Some("AWS::IAM::Policy") => self.listed(at),
            Some("AWS::IAM::ManagedPolicy") => {
                let mut holders = self.listed(at);
                holders.extend(self.attached.get(&at).into_iter().flatten().cloned());
                holders
            }
            Some("AWS::IAM::RolePolicy") => self
                .holder(at, "role", body.get("RoleName"))
                .into_iter()
                .collect(),
            Some("AWS::IAM::UserPolicy") => self
                .holder(at, "user", body.get("UserName"))
                .into_iter()
                .collect(),
            _ => return Vec::new(),
        };
        let document = body.get("PolicyDocument").filter(|_| !holders.is_empty());
        let policy = document.map(|document| IdentityPolicy {
            at,
            document,
            holders,
        });
        policy.into_iter().collect()
    }

    /// Returns the holders that a policy lists.
    fn listed(&self, policy: usize) -> Vec<Holder> {
        let mut holders = Vec::new();
        for (property, kind) in [("Roles", "role"), ("Users", "user")] {
            let names = values(self.graph.resources[policy].body.get(property)).iter();
            holders.extend(names.filter_map(|name| self.holder(policy, kind, Some(name))));
        }
        holders
    }

    /// Returns the role or user with a name in a policy.
    fn holder(&self, policy: usize, kind: &'static str, name: Option<&Term>) -> Option<Holder> {
        match name? {
            Term::String(name) => Some(Holder::Named(kind, name.clone(), policy)),
            term => self.named(policy, term).first().copied().map(Holder::Resource),
        }
    }

    /// Returns the resources that a value names.
    fn named(&self, from: usize, term: &Term) -> Vec<usize> {
        let mut found = Vec::new();
        self.named_in(from, term, &mut found);
        found
    }

    /// Finds the resources that a value names: by a reference, by an intrinsic function, or by the name of a bucket in an ARN.
    fn named_in(&self, from: usize, term: &Term, found: &mut Vec<usize>) {
        let graph = self.graph;
        let resource = &graph.resources[from];
        let by_id = |id: &str, found: &mut Vec<usize>| {
            let beside = graph.resources_of(resource.instance);
            let named = beside.filter(|(_, other)| is_beside(resource, other, id));
            found.extend(named.map(|(at, _)| at));
        };
        match term {
            Term::Reference(reference) => found.extend(leads(graph, resource.instance, reference)),
            Term::Concat(parts) => parts.iter().for_each(|part| self.named_in(from, part, found)),
            Term::List(items) => items.iter().for_each(|item| self.named_in(from, item, found)),
            Term::String(text) => {
                if let Some((_, rest)) = text.split_once(":s3:::") {
                    let name = rest.split('/').next().unwrap_or_default();
                    found.extend(self.buckets.get(name));
                }
            }
            Term::Map(entries) => {
                for (function, value) in entries {
                    match (function.as_str(), value) {
                        ("Ref", Term::String(id)) => by_id(id, found),
                        ("Fn::GetAtt", Term::String(path)) => {
                            by_id(path.split('.').next().unwrap_or_default(), found);
                        }
                        ("Fn::GetAtt", Term::List(path)) => {
                            by_id(path.first().and_then(Term::as_str).unwrap_or_default(), found);
                        }
                        ("Fn::Sub", text) => {
                            let text = values(Some(text))
                                .first()
                                .and_then(Term::as_str)
                                .unwrap_or_default();
                            let names = text
                                .split("${")
                                .skip(1)
                                .filter_map(|rest| rest.split(['.', '}']).next());
                            names.for_each(|id| by_id(id, found));
                        }
                        (_, value) => self.named_in(from, value, found),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Returns the actions of a statement, or all actions for `NotAction`.
fn actions(statement: &Term) -> Vec<Text> {
    match statement.get("NotAction") {
        Some(_) => vec!["*".into()],
        None => {
            let actions = values(statement.get("Action")).iter();
            actions
                .filter_map(|action| action.as_str().map(Text::from))
                .collect()
        }
    }
}

/// Returns the prefix of the object keys in an ARN or pattern, or `None` if it names no objects.
fn object_prefix(resource: &Term) -> Option<Text> {
    let last = match resource {
        Term::String(_) => resource,
        Term::Concat(parts) => parts.last()?,
        _ => return None,
    };
    let (_, key) = last.as_str()?.split_once('/')?;
    let known = key.split(['*', '?', '$']).next().unwrap_or_default();
    Some(known.into())
}

/// The resources with the policies of each role.
#[derive(Default)]
pub(in crate::connect) struct PoliciesByRole {
    by_role: HashMap<usize, Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// Returns the buckets that the role of a runner may write to, each with the prefix of the keys. The graph must be complete.
    pub(in crate::connect) fn writable<'s>(&'s self, runner: &Resource) -> Vec<(&'s Resource, Text)> {
        // Without an index of names, resources that are named by a string are not found here.
        let index = Index {
            graph: self,
            buckets: HashMap::new(),
            policies: HashMap::new(),
            attached: HashMap::new(),
        };
        let known = self.policies_by_role.get_or_init(|| {
            let mut policies = PoliciesByRole::default();
            for policy in Index::new(self).identity_policies() {
                for holder in policy.holders {
                    if let Holder::Resource(role) = holder {
                        policies.by_role.entry(role).or_default().push(policy.at);
                    }
                }
            }
            policies
        });
        let mut found = Vec::new();
        for role in self.roles_named_by(runner) {
            let mut policies = known.by_role.get(&role).cloned().unwrap_or_default();
            policies.dedup();
            for policy in policies.into_iter().flat_map(|at| index.identity_policies_at(at)) {
                index.writable_by(&policy, &mut found);
            }
        }
        found
    }

    /// Returns the index of the resource with an address.
    fn number_of(&self, address: &Address) -> Option<usize> {
        let instance = self
            .by_component
            .get(&(address.owner.clone(), address.component.clone()))?;
        let named = self.by_name.get(&(*instance, address.resource.clone()))?;
        named
            .iter()
            .copied()
            .find(|at| self.resources[*at].address == *address)
    }
}

impl<'g> Index<'g, '_> {
    /// Finds the buckets that a policy allows its holders to write to.
    fn writable_by(&self, policy: &IdentityPolicy<'g>, found: &mut Vec<(&'g Resource, Text)>) {
        for statement in iam::statements(Some(policy.document)) {
            if !iam::allows(statement)
                || !actions(statement)
                    .iter()
                    .any(|action| overlap(action, "s3:PutObject"))
            {
                continue;
            }
            for resource in values(statement.get("Resource")) {
                let Some(prefix) = object_prefix(resource) else {
                    continue;
                };
                let named = self.named(policy.at, resource).into_iter();
                let buckets = named
                    .map(|at| &self.graph.resources[at])
                    .filter(|named| named.kind.cloudformation() == Some(BUCKET));
                found.extend(buckets.map(|bucket| (bucket, prefix.clone())));
            }
        }
    }
}

impl Holder {
    /// Returns the ARN for the condition in the policy of a target. For an account, it is a pattern that matches all its principals.
    pub(super) fn principal(&self, graph: &Graph<'_>, target: usize) -> Option<Principal> {
        let span = graph.resources[target].declared;
        let account_of = |at: usize| graph.places[graph.resources[at].instance].account.clone();
        let account = |at: usize| match account_of(at) {
            Some(other) if Some(&other) != account_of(target).as_ref() => Term::String(other),
            _ => pseudo("AWS::AccountId", span),
        };
        match self {
            Holder::Resource(at) => {
                let holder = &graph.resources[*at];
                let (kind, property) = match holder.kind.cloudformation()? {
                    "AWS::IAM::Role" => ("role", "RoleName"),
                    "AWS::IAM::User" => ("user", "UserName"),
                    _ => return None,
                };
                let name = holder.body.get(property)?.clone();
                let path = holder.body.get("Path").and_then(Term::as_str).unwrap_or("/");
                let account = account(*at);
                let arn = iam_arn(account.clone(), [format!("{kind}{path}").into(), name], span);
                Some(Principal { arn, account })
            }
            Holder::Named(kind, name, beside) => {
                let account = account(*beside);
                let arn = iam_arn(account.clone(), [format!("{kind}/{name}").into()], span);
                Some(Principal { arn, account })
            }
            Holder::Arn(arn) => {
                let number: Text = arn.split(':').nth(4)?.into();
                let own = account_of(target).as_ref() == Some(&number);
                let account = if own {
                    pseudo("AWS::AccountId", span)
                } else {
                    Term::String(number)
                };
                match arn.strip_suffix(":root") {
                    // The account of the target is not a principal. It delegates the decision to IAM.
                    Some(_) if own => None,
                    Some(of_account) => Some(Principal {
                        arn: format!("{of_account}:*").into(),
                        account,
                    }),
                    None => Some(Principal {
                        arn: Term::String(arn.clone()),
                        account,
                    }),
                }
            }
        }
    }
}

/// Sets the name of a role or user without one, because the policies of targets need its ARN.
pub(super) fn name(graph: &mut Graph<'_>, at: usize) {
    let resource = &graph.resources[at];
    let property = match resource.kind.cloudformation() {
        Some("AWS::IAM::Role") => "RoleName",
        Some("AWS::IAM::User") => "UserName",
        _ => return,
    };
    if resource.body.get(property).is_none() {
        let name = grants::role_name(graph, &resource.address, resource.instance);
        graph.resources[at].body.set(property, name);
    }
}
