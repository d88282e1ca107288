//! Shared entries are validated once per schema, and never less.

use terrace_artifact::{Map, Value};

fn pod(container: Map) -> Value {
    let containers = Value::List(vec![container.into()]);
    Value::Map(Map::from_iter([
        ("apiVersion", Value::from("v1")),
        ("kind", "Pod".into()),
        ("metadata", Map::from_iter([("name", "a")]).into()),
        ("spec", Map::from_iter([("containers", containers)]).into()),
    ]))
}

fn container(key: &str) -> Map {
    Map::shared(vec![("name".into(), "a".into()), (key.into(), "b".into())])
}

fn problems(pod: &Value) -> usize {
    let mut problems = Vec::new();
    let kind = terrace_catalog::kubernetes("v1", "Pod").expect("a known kind");
    kind.validate(pod, &mut problems);
    problems.len()
}

#[test]
fn reports_invalid_shared_entries_every_time() {
    let (right, wrong) = (pod(container("image")), pod(container("imgae")));
    for _ in 0..3 {
        assert_eq!(problems(&right), 0);
        // The field is unknown, and the image is missing.
        assert_eq!(problems(&wrong), 2);
    }
}

#[test]
fn validates_shared_entries_against_each_schema() {
    let shared = container("image");
    let mut elsewhere = pod(shared.clone());
    assert_eq!(problems(&elsewhere), 0);
    // A volume has a name, but no image.
    let spec = elsewhere.as_map_mut().and_then(|pod| pod.get_mut("spec"));
    let spec = spec.and_then(Value::as_map_mut).expect("a pod with a spec");
    spec.insert("volumes", vec![Value::Map(shared)]);
    assert_eq!(problems(&elsewhere), 1);
    assert_eq!(problems(&elsewhere), 1);
}
