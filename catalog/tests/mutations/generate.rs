//! Generates a valid body from a schema, deterministically.
//!
//! The generator does not use the checker. Another implementation matches strings against patterns, and a field whose schema
//! combines several schemas is left out.

use regex_lite::Regex;
use terrace_artifact::{Decimal, Map, Value};
use terrace_catalog::node::{Literal, Node, NodeId, Rules, flags, types};

/// Strings in the forms that schemas require.
const TEXTS: &[&str] = &[
    "example",
    "Example1",
    "a",
    "123456789012",
    "example.org",
    "user@example.org",
    "https://example.org/path",
    "s3://example-bucket/prefix",
    "example-bucket",
    "10.0.0.0/16",
    "10.0.0.1",
    "eu-west-1",
    "arn:aws:iam::123456789012:role/example",
    "arn:aws:s3:::example-bucket",
    "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012",
    "arn:aws:lambda:eu-west-1:123456789012:function:example",
    "arn:aws:sns:eu-west-1:123456789012:example",
    "arn:aws:sqs:eu-west-1:123456789012:example",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:example-abcdef",
    "arn:aws:ec2:eu-west-1:123456789012:instance/i-1234567890abcdef0",
    "12345678-1234-1234-1234-123456789012",
    "vpc-0123456789abcdef0",
    "subnet-0123456789abcdef0",
    "sg-0123456789abcdef0",
    "i-0123456789abcdef0",
    "2026-11-21T03:04:05Z",
    "2026-11-21",
    "rate(5 minutes)",
    "cron(0 2 * * ? *)",
    "/example/path",
    "/",
    "#00FF00",
    "example.org/example",
    "1.0",
    "1.0.0",
    "1",
    "5",
    "true",
    "alias/example",
    "example_name",
    "EXAMPLE",
    "{}",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
];

/// The maximum depth and size of a body.
const MOST_DEPTH: usize = 7;
const MOST_FIELDS: usize = 300;

pub(crate) struct Generator<'n> {
    nodes: &'n [Node<'static>],
    above: Vec<NodeId>,
    fields: usize,
}

impl<'n> Generator<'n> {
    pub(crate) fn new(nodes: &'n [Node<'static>]) -> Generator<'n> {
        Generator {
            nodes,
            above: Vec::new(),
            fields: 0,
        }
    }

    /// Generates a value with as many fields as possible. Returns `None` if the schema is not specific enough.
    pub(crate) fn value(&mut self, id: NodeId) -> Option<Value> {
        let node = &self.nodes[id as usize];
        if self.above.len() >= MOST_DEPTH || self.above.iter().filter(|above| **above == id).count() > 1 {
            return None;
        }
        if node
            .rules
            .as_deref()
            .is_some_and(|rules| is_combined(self.nodes, rules))
        {
            return None;
        }
        self.above.push(id);
        let value = self.of(node);
        self.above.pop();
        value
    }

    fn of(&mut self, node: &'n Node<'static>) -> Option<Value> {
        if node.is(flags::METADATA) {
            return Some(metadata());
        }
        if node.is(flags::EMBEDDED) {
            return None;
        }
        if node.is(flags::ANY) {
            let mut map = Map::new();
            map.insert("anything", "goes");
            return Some(Value::Map(map));
        }
        let limits = node.limits.as_deref();
        if let Some(first) = limits.and_then(|limits| limits.allowed.first()) {
            return Some(match first {
                Literal::Bool(bool) => (*bool).into(),
                Literal::Number(number) => (*number).into(),
                Literal::String(text) => (*text).into(),
            });
        }
        if node.types & types::MAP != 0 || (node.types == 0 && !node.fields.is_empty()) {
            return self.map(node);
        }
        if node.types & types::LIST != 0 {
            return self.list(node);
        }
        if node.is(flags::QUANTITY) {
            return Some("1500m".into());
        }
        if node.is(flags::BASE64) {
            return Some("YWJj".into());
        }
        if node.is(flags::TIME) {
            return Some("2026-11-21T03:04:05.000000Z".into());
        }
        if node.types & (types::INTEGER | types::NUMBER) != 0 {
            return number(node);
        }
        if node.types & types::BOOL != 0 {
            return Some(Value::Bool(true));
        }
        if node.types & types::STRING != 0 {
            return text(node, 0);
        }
        None
    }

    fn map(&mut self, node: &'n Node<'static>) -> Option<Value> {
        let mut map = Map::new();
        let left_out = left_out(self.nodes, node);
        for field in node.in_order() {
            let skip = field.read_only || left_out.contains(&field.name);
            let full = self.fields > MOST_FIELDS && !field.required;
            if skip || full {
                continue;
            }
            self.fields += 1;
            match self.value(field.node) {
                Some(value) => {
                    map.insert(field.name, value);
                }
                None if field.required => return None,
                None => {}
            }
        }
        // A map with free keys gets one key.
        if let Some(id) = node.values
            && let Some(value) = self.value(id)
        {
            map.insert("example", value);
        }
        let (least, most) = node
            .limits
            .as_ref()
            .map_or((None, None), |limits| (limits.min_count, limits.max_count));
        let keys = node.rules.as_ref().map_or(&[][..], |rules| &rules.patterns);
        for (pattern, id) in keys {
            let regex = Regex::new(pattern.text()).ok()?;
            let key = TEXTS
                .iter()
                .find(|text| regex.is_match(text) && node.field(text).is_none())?;
            let value = self.value(*id)?;
            map.insert(*key, value);
        }
        let count = map.len() as u32;
        let fits = least.is_none_or(|least| count >= least) && most.is_none_or(|most| count <= most);
        (fits && self.keeps_rules(node, &map)).then_some(Value::Map(map))
    }

    fn keeps_rules(&self, node: &Node<'static>, map: &Map) -> bool {
        let Some(rules) = node.rules.as_deref() else {
            return true;
        };
        let has = |key: &&&str| map.get(key).is_some();
        let fitting = |branches: &[NodeId]| {
            let keys = branches.iter().filter_map(|id| required_keys(self.nodes, *id));
            keys.filter(|keys| keys.iter().all(|key| map.get(key).is_some()))
                .count()
        };
        (rules.any.is_empty() || fitting(&rules.any) > 0)
            && (rules.one.is_empty() || fitting(&rules.one) == 1)
            && rules
                .exactly_one
                .iter()
                .all(|keys| keys.iter().filter(has).count() == 1)
            && rules
                .at_least_one
                .iter()
                .all(|keys| keys.iter().any(|key| has(&key)))
            && rules
                .needs
                .iter()
                .all(|(key, others)| !has(&key) || others.iter().all(|other| has(&other)))
            && rules
                .excludes
                .iter()
                .all(|(key, others)| !has(&key) || !others.iter().any(|other| has(&other)))
    }

    fn list(&mut self, node: &'n Node<'static>) -> Option<Value> {
        let Some(id) = node.items else {
            return Some(Value::List(vec!["anything".into()]));
        };
        let limits = node.limits.as_deref();
        let least = limits
            .and_then(|limits| limits.min_count)
            .unwrap_or_default()
            .max(1);
        if limits.and_then(|limits| limits.max_count) == Some(0) {
            return Some(Value::List(Vec::new()));
        }
        let item = &self.nodes[id as usize];
        let plain = item.types == types::STRING
            && item
                .limits
                .as_ref()
                .is_none_or(|limits| limits.allowed.is_empty());
        let mut items: Vec<Value> = Vec::new();
        for index in 0..least as usize {
            let next = if plain && index > 0 {
                text(item, index)
            } else {
                self.value(id)
            }?;
            if items.contains(&next) {
                return None;
            }
            items.push(next);
        }
        Some(Value::List(items))
    }
}

/// Returns whether a schema combines others in a way that the generator does not resolve. It resolves only branches that
/// require keys.
fn is_combined(nodes: &[Node<'static>], rules: &Rules<'_>) -> bool {
    let branches = rules.any.iter().chain(&rules.one);
    !(rules.all.is_empty() && rules.first_items.is_empty())
        || rules.not.is_some()
        || rules.condition.is_some()
        || branches.into_iter().any(|id| required_keys(nodes, *id).is_none())
}

/// Returns the keys that a branch requires, if it has no other rules.
fn required_keys(nodes: &[Node<'static>], id: NodeId) -> Option<Vec<&'static str>> {
    let branch = &nodes[id as usize];
    let plain = branch.limits.is_none() && branch.rules.is_none() && !branch.fields.is_empty();
    let keys = |field: &terrace_catalog::node::Field<'static>| {
        (field.required && nodes[field.node as usize].is(flags::ANY)).then_some(field.name)
    };
    plain.then(|| branch.fields.iter().map(keys).collect())?
}

/// Returns the keys to leave out, so that the remaining keys do not exclude each other.
fn left_out<'n>(nodes: &[Node<'static>], node: &'n Node<'static>) -> Vec<&'n str> {
    let mut out: Vec<&str> = Vec::new();
    let Some(rules) = node.rules.as_deref() else {
        return out;
    };
    for keys in rules.exactly_one.iter().chain(&rules.at_most_one) {
        let required = |key: &&&str| node.field(key).is_some_and(|field| field.required);
        let kept = keys.iter().find(required).or(keys.first());
        out.extend(keys.iter().filter(|key| Some(*key) != kept));
    }
    let branches: Vec<_> = rules
        .one
        .iter()
        .filter_map(|id| required_keys(nodes, *id))
        .collect();
    if let Some((first, others)) = branches.split_first() {
        out.extend(others.iter().flatten().filter(|key| !first.contains(key)));
    }
    for (key, others) in &rules.excludes {
        if !out.contains(key) {
            out.extend(others);
        }
    }
    // A key that requires a left-out key is left out too.
    for _ in 0..rules.needs.len() {
        for (key, others) in &rules.needs {
            if others.iter().any(|other| out.contains(other)) && !out.contains(key) {
                out.push(key);
            }
        }
    }
    out
}

fn number(node: &Node<'static>) -> Option<Value> {
    let Some(limits) = node.limits.as_deref() else {
        return Some(1.into());
    };
    let one = Decimal::from(1);
    let mut number = one;
    if let Some(least) = limits.minimum
        && number < least
    {
        number = least;
    }
    if let Some(most) = limits.maximum
        && number > most
    {
        number = most;
    }
    let fits = limits.above.is_none_or(|limit| number > limit)
        && limits.below.is_none_or(|limit| number < limit)
        && limits.minimum.is_none_or(|least| number >= least)
        && limits
            .multiple_of
            .is_none_or(|of| number.div(of).is_ok_and(Decimal::is_integer));
    fits.then_some(Value::Number(number))
}

/// Returns the `nth` string that the limits accept.
fn text(node: &Node<'static>, nth: usize) -> Option<Value> {
    let Some(limits) = node.limits.as_deref() else {
        return Some(TEXTS[nth].into());
    };
    let regex = match &limits.pattern {
        Some(pattern) => Some(Regex::new(pattern.text()).ok()?),
        None => None,
    };
    let fits = |text: &&&str| {
        let length = text.chars().count() as u32;
        limits.min_length.is_none_or(|least| length >= least)
            && limits.max_length.is_none_or(|most| length <= most)
            && regex.as_ref().is_none_or(|regex| regex.is_match(text))
    };
    TEXTS.iter().filter(fits).nth(nth).map(|text| (*text).into())
}

fn metadata() -> Value {
    let map = |pairs: &[(&'static str, &'static str)]| pairs.iter().copied().collect::<Map>();
    let mut metadata = map(&[("name", "example")]);
    metadata.insert("labels", map(&[("app.kubernetes.io/name", "example")]));
    metadata.insert("annotations", map(&[("example.org/note", "any text: at all")]));
    Value::Map(metadata)
}
