//! Breaks every name, type, enum value and required field of valid bodies, one at a time. The checker must report each
//! problem at its path and nothing else, and must accept the unchanged body.

mod generate;

use std::collections::BTreeSet;

use generate::Generator;
use terrace_artifact::{Map, Segment, Text, Value, show_path};
use terrace_catalog::node::{Node, NodeId, flags, types};
use terrace_catalog::{Problem, ProblemKind, cloudformation, kinds, kubernetes};

/// The types and kinds of the benchmark's workload.
const WORKLOAD: [&str; 8] = [
    "AWS::IAM::Role",
    "AWS::IAM::Policy",
    "AWS::KMS::Key",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::StepFunctions::StateMachine",
    "AWS::Events::Rule",
    "AWS::CloudWatch::Alarm",
];

/// The way in which a body is broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Break {
    Name,
    Type,
    Enum,
    Required,
    ReadOnly,
}

/// One change that breaks a body, and the expected report.
struct Mutation {
    kind: Break,
    /// The path of the map or list that is changed.
    inside: Vec<Segment>,
    /// The change.
    change: Change,
    /// The path at which the problem must be reported.
    reported: Vec<Segment>,
}

enum Change {
    Rename(Text, Text),
    Set(Segment, Value),
    Remove(Text),
    Insert(Text, Value),
}

#[test]
fn finds_every_mutation_of_two_hundred_resource_types() {
    let mut services: BTreeSet<&str> = BTreeSet::new();
    let mut chosen: Vec<&str> = Vec::new();
    // The workload's types come first, then two of each service. There are more than a hundred services.
    for round in 0..2 {
        for name in terrace_catalog::types() {
            let service = name.split("::").nth(1).unwrap_or_default();
            let wanted = WORKLOAD.contains(&name) || services.insert(service);
            if wanted
                && !chosen.contains(&name)
                && body(name).is_some_and(|body| body.as_map().is_some_and(|map| map.len() > 2))
            {
                chosen.push(name);
            } else if wanted && !WORKLOAD.contains(&name) {
                services.remove(service);
            }
        }
        if round == 0 {
            services.clear();
        }
    }
    let mut tally = Tally::default();
    for name in &chosen {
        let resource_type = cloudformation(name).expect("a type from the list");
        let (nodes, root) = resource_type.nodes();
        let body = body(name).expect("a type with a body");
        let validate = |body: &Value| {
            let mut problems = Vec::new();
            resource_type.validate(body, &mut problems);
            problems
        };
        tally.run(name, nodes, root, &body, true, validate);
    }
    for name in WORKLOAD {
        assert!(chosen.contains(&name), "{name} has no body");
    }
    assert!(chosen.len() >= 200, "only {} types", chosen.len());
    tally.expect_at_least([4_000, 4_000, 400, 500, 100]);
}

#[test]
fn finds_every_mutation_of_one_hundred_kinds() {
    let mut tally = Tally::default();
    let mut count = 0;
    for (version, name) in kinds() {
        let kind = kubernetes(version, name).expect("a kind from the list");
        let (nodes, root) = kind.nodes();
        let Some(mut body) = Generator::new(nodes).value(root) else {
            continue;
        };
        if let Value::Map(map) = &mut body {
            map.insert("apiVersion", version);
            map.insert("kind", name);
        }
        let validate = |body: &Value| {
            let mut problems = Vec::new();
            kind.validate(body, &mut problems);
            problems
        };
        tally.run(&format!("{version} {name}"), nodes, root, &body, false, validate);
        count += 1;
    }
    assert!(count >= 100, "only {count} kinds");
    tally.expect_at_least([5_000, 5_000, 150, 1_000, 300]);
}

fn body(name: &str) -> Option<Value> {
    let (nodes, root) = cloudformation(name)?.nodes();
    Generator::new(nodes).value(root)
}

/// The number of mutations that were found, by kind.
#[derive(Default, Debug)]
struct Tally([usize; 5]);

impl Tally {
    fn run(
        &mut self,
        name: &str,
        nodes: &[Node<'static>],
        root: NodeId,
        body: &Value,
        lenient: bool,
        validate: impl Fn(&Value) -> Vec<Problem>,
    ) {
        let problems = validate(body);
        assert!(problems.is_empty(), "{name}: {}\n{body}", shown(&problems));
        let mut mutations = Vec::new();
        collect(nodes, root, body, lenient, &mut Vec::new(), &mut mutations);
        for mutation in mutations {
            let mut broken = body.clone();
            apply(&mut broken, &mutation);
            let problems = validate(&broken);
            let what = || format!("{name}: {:?} at {}", mutation.kind, show_path(&mutation.reported));
            let found = problems
                .iter()
                .any(|problem| problem.path == mutation.reported && is_expected(&mutation, &problem.kind));
            assert!(found, "{} is not found, but: {}", what(), shown(&problems));
            for problem in &problems {
                let near = problem.path.starts_with(&mutation.inside);
                assert!(near, "{}, but also: {problem}", what());
            }
            self.0[mutation.kind as usize] += 1;
        }
    }

    fn expect_at_least(&self, least: [usize; 5]) {
        assert!(
            self.0.iter().zip(least).all(|(found, least)| *found >= least),
            "{self:?}, wanted {least:?}"
        );
    }
}

fn is_expected(mutation: &Mutation, kind: &ProblemKind) -> bool {
    match (&mutation.change, kind) {
        (Change::Rename(old, _), ProblemKind::UnknownKey { nearest, .. }) => {
            // A sibling name may be equally close.
            nearest
                .as_ref()
                .is_some_and(|near| near == old || near.len().abs_diff(old.len()) <= 1)
        }
        (Change::Set(..), ProblemKind::WrongType { .. }) => mutation.kind == Break::Type,
        (Change::Set(..), ProblemKind::Form { .. }) => mutation.kind == Break::Type,
        (Change::Set(..), ProblemKind::NotInEnum { .. }) => mutation.kind == Break::Enum,
        (Change::Remove(key), ProblemKind::Missing { key: missing }) => key == missing,
        (Change::Insert(..), ProblemKind::ReadOnly) => true,
        _ => false,
    }
}

fn shown(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Collects everything that can be broken in a value and below it.
fn collect(
    nodes: &[Node<'static>],
    id: NodeId,
    value: &Value,
    lenient: bool,
    path: &mut Vec<Segment>,
    out: &mut Vec<Mutation>,
) {
    let node = &nodes[id as usize];
    match value {
        Value::Map(map) if !node.is(flags::ANY) => {
            let closed = !node.is(flags::OPEN)
                && node.values.is_none()
                && node.rules.as_ref().is_none_or(|rules| rules.patterns.is_empty());
            for (key, value) in map {
                let field = node.field(key);
                let Some(next) = field.map(|field| field.node).or(node.values) else {
                    continue;
                };
                let reported = |key: &str| [path.as_slice(), &[Segment::Key(key.into())]].concat();
                if field.is_some() && closed && key.len() > 3 {
                    let misspelled = misspelled(key, node);
                    out.push(Mutation {
                        kind: Break::Name,
                        inside: path.clone(),
                        change: Change::Rename(key.clone(), misspelled.clone()),
                        reported: reported(&misspelled),
                    });
                }
                if field.is_some_and(|field| field.required) {
                    out.push(Mutation {
                        kind: Break::Required,
                        inside: path.clone(),
                        change: Change::Remove(key.clone()),
                        reported: path.clone(),
                    });
                }
                values(nodes, next, value, lenient, Segment::Key(key.clone()), path, out);
            }
            for field in node.fields.iter().filter(|field| field.read_only) {
                out.push(Mutation {
                    kind: Break::ReadOnly,
                    inside: path.clone(),
                    change: Change::Insert(field.name.into(), "given".into()),
                    reported: [path.as_slice(), &[Segment::Key(field.name.into())]].concat(),
                });
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(next) = node.items {
                    values(nodes, next, item, lenient, Segment::Index(index), path, out);
                }
            }
        }
        _ => {}
    }
}

/// Collects what can be broken about the value at a step, then below it.
fn values(
    nodes: &[Node<'static>],
    id: NodeId,
    value: &Value,
    lenient: bool,
    step: Segment,
    path: &mut Vec<Segment>,
    out: &mut Vec<Mutation>,
) {
    let node = &nodes[id as usize];
    let reported = [path.as_slice(), std::slice::from_ref(&step)].concat();
    let mut add = |kind: Break, value: Value| {
        out.push(Mutation {
            kind,
            inside: path.clone(),
            change: Change::Set(step.clone(), value),
            reported: reported.clone(),
        });
    };
    for wrong in wrong_types(node, lenient) {
        add(Break::Type, wrong);
    }
    if node
        .limits
        .as_ref()
        .is_some_and(|limits| !limits.allowed.is_empty())
        && node.types & types::STRING != 0
    {
        add(Break::Enum, "no-such-value".into());
    }
    path.push(step);
    collect(nodes, id, value, lenient, path, out);
    path.pop();
}

/// Returns values of types that a node rejects.
fn wrong_types(node: &Node<'static>, lenient: bool) -> Vec<Value> {
    let mut wrong = Vec::new();
    if node.is(flags::ANY) || node.types == 0 {
        return wrong;
    }
    let takes = |bits: u8| node.types & bits != 0;
    if !takes(types::MAP) {
        wrong.push(Value::Map(
            ["example"].into_iter().map(|key| (key, "value")).collect(),
        ));
    }
    if !takes(types::LIST) {
        wrong.push(Value::List(vec!["value".into()]));
    }
    if !takes(types::STRING) {
        wrong.push("no number".into());
    }
    if !takes(types::NULL) {
        wrong.push(Value::Null);
    }
    let scalar = takes(types::STRING | types::INTEGER | types::NUMBER | types::BOOL);
    // CloudFormation accepts other scalars for a string.
    let text = lenient && takes(types::STRING);
    if !text && !takes(types::BOOL) {
        wrong.push(Value::Bool(true));
    }
    if !text && !takes(types::INTEGER | types::NUMBER) && !node.is(flags::QUANTITY) {
        wrong.push(7.into());
    }
    if scalar && takes(types::INTEGER) && !takes(types::NUMBER | types::STRING) {
        wrong.push(Value::Number("1.5".parse().expect("a number")));
    }
    wrong
}

/// Misspells a key: swaps two letters or, if that changes nothing or results in another field, appends a letter.
fn misspelled(key: &str, node: &Node<'static>) -> Text {
    let mut letters: Vec<char> = key.chars().collect();
    let last = letters.len() - 1;
    letters.swap(last, last - 1);
    let swapped: String = letters.into_iter().collect();
    if swapped == key || node.field(&swapped).is_some() {
        format!("{key}q").into()
    } else {
        swapped.into()
    }
}

fn apply(body: &mut Value, mutation: &Mutation) {
    let inside = mutation
        .inside
        .iter()
        .fold(body, |value, segment| match (segment, value) {
            (Segment::Key(key), Value::Map(map)) => map.get_mut(key).expect("the key is there"),
            (Segment::Index(index), Value::List(items)) => &mut items[*index],
            _ => panic!("the path does not exist"),
        });
    match (&mutation.change, inside) {
        (Change::Rename(old, new), Value::Map(map)) => {
            let renamed: Map = std::mem::take(map)
                .into_iter()
                .map(|(key, value)| (if key == *old { new.clone() } else { key }, value))
                .collect();
            *map = renamed;
        }
        (Change::Remove(key), Value::Map(map)) => {
            map.remove(key);
        }
        (Change::Set(Segment::Key(key), value), Value::Map(map))
        | (Change::Insert(key, value), Value::Map(map)) => {
            map.insert(key.clone(), value.clone());
        }
        (Change::Set(Segment::Index(index), value), Value::List(items)) => items[*index] = value.clone(),
        _ => panic!("the change does not fit the value"),
    }
}
