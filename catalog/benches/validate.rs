//! Measures the validation of the workload's bodies against the catalog: `cargo bench -p terrace-catalog`.
//!
//! `tests/workload` contains the objects and the template of one tenant. The benchmark validates them a thousand times, the
//! number of tenants in W(1000).

use std::time::{Duration, Instant};

use terrace_artifact::{Tree, Value, View};
use terrace_catalog::{cloudformation, kubernetes};

const TENANTS: u32 = 1000;

#[expect(clippy::print_stdout, reason = "the result of a benchmark")]
fn main() {
    let objects = read(include_str!("../tests/workload/objects.json"));
    let template = read(include_str!("../tests/workload/template.json"));
    let objects = objects.as_list().unwrap_or_default();
    let resources: Vec<&Value> = template
        .get("Resources")
        .and_then(Value::as_map)
        .into_iter()
        .flat_map(|map| map.values())
        .collect();
    let each = |counts: usize| counts * TENANTS as usize;
    let first = time(|| validate(objects, &resources));
    println!("the first tenant, with unpacking: {first:?}");
    let best = |objects: &[Value], resources: &[&Value]| {
        let rounds = (0..5).map(|_| time(|| (0..TENANTS).for_each(|_| validate(objects, resources))));
        rounds.min().unwrap_or_default()
    };
    let nodes: usize = objects.iter().map(count).sum();
    println!(
        "{} objects, {} values: {:?}",
        each(objects.len()),
        each(nodes),
        best(objects, &[])
    );
    let nodes: usize = resources.iter().copied().map(count).sum();
    println!(
        "{} resources, {} values: {:?}",
        each(resources.len()),
        each(nodes),
        best(&[], &resources)
    );
}

fn read(text: &str) -> Value {
    serde_json::from_str::<Value>(text).unwrap_or_default()
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn validate(objects: &[Value], resources: &[&Value]) {
    let mut problems = Vec::new();
    fn text<'v>(value: &'v Value, key: &str) -> &'v str {
        value.get(key).and_then(Value::as_str).unwrap_or_default()
    }
    for object in objects {
        let kind = kubernetes(text(object, "apiVersion"), text(object, "kind"));
        kind.iter().for_each(|kind| kind.validate(object, &mut problems));
    }
    for resource in resources {
        let known = cloudformation(text(resource, "Type"));
        if let (Some(known), Some(properties)) = (known, resource.get("Properties")) {
            known.validate(properties, &mut problems);
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

fn count(value: &Value) -> usize {
    1 + match value.view() {
        View::List(items) => items.iter().map(count).sum(),
        View::Map(entries) => entries.iter().map(|(_, value)| count(value)).sum(),
        _ => 0,
    }
}
