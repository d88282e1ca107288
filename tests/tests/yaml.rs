//! What we write as YAML is read back unchanged, by readers that are not ours: PyYAML and libyaml (YAML 1.1) and
//! `yaml_serde` (YAML 1.2).

use terrace_artifact::{Value, to_json_compact, to_yaml, write_documents};
use terrace_tests::{awkward, judges};

#[test]
fn python_reads_back_what_was_written() {
    let values = awkward::values();
    let mut cases: Vec<judges::Written> = values
        .iter()
        .enumerate()
        .map(|(i, value)| judges::Written {
            name: format!("value {i}"),
            yaml: to_yaml(value),
            want: vec![to_json_compact(value)],
        })
        .collect();
    for (i, several) in values.chunks(500).enumerate() {
        let mut yaml = String::new();
        write_documents(several, &mut yaml);
        let want = several.iter().map(to_json_compact).collect();
        cases.push(judges::Written {
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
fn a_reader_of_yaml_1_2_reads_back_what_was_written() {
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
