//! Small stacks, each for one thing that the language promises.

use terrace_compiler::source::MemorySources;
use terrace_compiler::{Compiled, Request, compile};

const BASE: &str = "
{kind: Platform, name: acme}
---
{kind: Environment, name: development, class: development, directory: out}
---
";

fn run(text: &str, set: &[&str]) -> Compiled {
    let text = format!("{BASE}{text}");
    compile(
        &MemorySources::new([("stack.yaml", text.as_str())]),
        &Request {
            program: "0.1.0".into(),
            set: set.iter().map(|text| (*text).to_owned()).collect(),
            ..Request::default()
        },
    )
}

/// What is said, a line each.
fn said(compiled: &Compiled) -> String {
    let lines = compiled.diagnostics.iter().map(|diagnostic| {
        let place = diagnostic.primary.as_ref();
        let text = place.map_or("", |label| compiled.files.text(label.span));
        format!("{}: {} <{text}>", diagnostic.code.slug(), diagnostic.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The text of a file of the only bundle.
#[track_caller]
fn file(compiled: &Compiled, path: &str) -> String {
    assert_eq!(said(compiled), "");
    let files = terrace_artifact::files(&compiled.bundles[0]);
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    match files.iter().find(|file| file.path == path) {
        Some(file) => file.text.to_string(),
        None => panic!("no {path} among {names:?}"),
    }
}

/// The properties of a resource of a CloudFormation stack, as JSON.
#[track_caller]
fn properties(compiled: &Compiled, path: &str, logical_id: &str) -> String {
    let text = file(compiled, path);
    let template: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    template["Resources"][logical_id]["Properties"].to_string()
}

#[test]
fn patches_change_add_and_remove() {
    let text = |patch: &str| {
        format!(
            "
kind: Module
name: web
version: 1.0.0
summary: a web server
resources:
  topic: {{type: AWS::SNS::Topic, properties: {{DisplayName: a, KmsMasterKeyId: alias/aws/sns, Tags: [{{Key: team, Value: a}}]}}}}
---
kind: Component
name: web
module: web
patches: {{topic: {patch}}}
"
        )
    };
    let tags = r#""Tags":[{"Key":"team","Value":"a"}]"#;
    let key = r#""KmsMasterKeyId":"alias/aws/sns""#;
    for (patch, want) in [
        (
            "{DisplayName: b}",
            format!(r#"{{"DisplayName":"b",{key},{tags}}}"#),
        ),
        (
            "{SignatureVersion: {$add: '2'}}",
            format!(r#"{{"DisplayName":"a",{key},{tags},"SignatureVersion":"2"}}"#),
        ),
        (
            "{KmsMasterKeyId: null}",
            format!(r#"{{"DisplayName":"a",{tags}}}"#),
        ),
        (
            "{Tags: {team: {Value: b}}}",
            format!(r#"{{"DisplayName":"a",{key},"Tags":[{{"Key":"team","Value":"b"}}]}}"#),
        ),
        (
            "{Tags: {owner: {$add: {Key: owner, Value: \"{{ platform.name }}\"}}}}",
            format!(
                r#"{{"DisplayName":"a",{key},"Tags":[{{"Key":"team","Value":"a"}},{{"Key":"owner","Value":"acme"}}]}}"#
            ),
        ),
        (
            "{Tags: {$add: []}}",
            format!(r#"{{"DisplayName":"a",{key},"Tags":[]}}"#),
        ),
    ] {
        let compiled = run(&text(patch), &[]);
        let got = properties(&compiled, "cloudformation/platform/web.json", "Topic");
        assert_eq!(got, want, "{patch}");
    }
}
