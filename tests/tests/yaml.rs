//! Our YAML is read back unchanged by independent readers: PyYAML and libyaml (YAML 1.1), kubectl (both), and
//! `yaml_serde` (YAML 1.2).

use serde_json::Value as Json;
use terrace_artifact::{Map, Value, to_json_compact, to_yaml, write_documents};
use terrace_tests::{awkward, judges, servers};

#[test]
fn python_reads_back_the_same_values() {
    let values = awkward::values();
    let mut cases: Vec<judges::YamlSample> = values
        .iter()
        .enumerate()
        .map(|(i, value)| judges::YamlSample {
            name: format!("value {i}"),
            yaml: to_yaml(value),
            want: vec![to_json_compact(value)],
        })
        .collect();
    for (i, several) in values.chunks(500).enumerate() {
        let mut yaml = String::new();
        write_documents(several, &mut yaml);
        let want = several.iter().map(to_json_compact).collect();
        cases.push(judges::YamlSample {
            name: format!("documents {i}"),
            yaml,
            want,
        });
    }
    if let Err(different) = judges::python_reads(&cases) {
        panic!("{different}");
    }
}

#[test]
fn a_yaml_1_2_reader_reads_back_the_same_values() {
    let mut different = Vec::new();
    for value in awkward::values() {
        let yaml = to_yaml(&value);
        match yaml_serde::from_str::<serde_json::Value>(&yaml) {
            Ok(json) if Value::from_json(&json) == value => {}
            got => different.push(format!(
                "{:.200}\n  read as {:.200}",
                format!("{yaml:?}"),
                format!("{got:?}")
            )),
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different[..different.len().min(20)].join("\n")
    );
}

#[test]
fn kubectl_reads_back_the_same_values() {
    let strings = awkward::strings();
    // A single document would exceed the size limit of the API; several documents also test the document separator.
    let objects: Vec<Value> = strings.chunks(5000).map(config_map).collect();
    let mut yaml = String::new();
    write_documents(&objects, &mut yaml);
    let arguments = [
        "create",
        "--dry-run=client",
        "--validate=false",
        "--output=json",
        "--filename=-",
    ];
    let output = servers::kubernetes().run_kubectl(&arguments, &yaml);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Json>();
    let read: Vec<Json> = read.map(|json| json.expect("kubectl prints JSON")).collect();
    assert_eq!(read.len(), objects.len());
    for (got, want) in read.iter().zip(&objects) {
        let want = want.to_json();
        let (got, want) = (
            got["data"].as_object().expect("data"),
            want["data"].as_object().expect("data"),
        );
        let different: Vec<_> = want
            .iter()
            .filter(|(key, value)| got.get(*key) != Some(value))
            .take(20)
            .collect();
        assert!(
            different.is_empty() && got.len() == want.len(),
            "read back differently: {different:#?}"
        );
    }
}

fn config_map(strings: &[String]) -> Value {
    let data = strings
        .iter()
        .map(|text| (text.into(), Value::from(text.as_str())));
    Value::Map(Map::from_iter([
        ("apiVersion", Value::from("v1")),
        ("kind", "ConfigMap".into()),
        (
            "metadata",
            Value::Map(Map::from_iter([("name", "awkward"), ("namespace", "default")])),
        ),
        ("data", Value::Map(Map::from_distinct(data.collect()))),
    ]))
}
