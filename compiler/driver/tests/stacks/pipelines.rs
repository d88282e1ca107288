//! A pipeline in several variants of its stack.

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde_json::{Value, json};
use terrace_artifact::File;

use crate::{files, run};

fn json_of(files: &[File], path: &str) -> Value {
    let file = files.iter().find(|file| file.path == path);
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    serde_json::from_str(&file.unwrap_or_else(|| panic!("no {path} among {paths:?}")).text).unwrap()
}

const SALES: &str = include_str!("pipelines/sales.yaml");

#[test]
fn compiles_the_sales_pipeline() {
    let files = files(&run(SALES));
    for path in [
        "step-functions/finance/sales.json",
        "cloudformation/finance/sales.json",
    ] {
        let file = files.iter().find(|file| file.path == path).unwrap();
        let name = path.split('/').next().unwrap();
        expect_file![format!("./pipelines/sales.{name}.json")].assert_eq(&file.text);
    }
}

/// Lists the states of the sales pipeline, with their types and targets.
#[test]
fn the_sales_pipeline_has_the_expected_states() {
    let files = files(&run(SALES));
    let definition = json_of(&files, "step-functions/finance/sales.json");
    assert_eq!(definition["Comment"], "Data processing pipeline");
    assert_eq!(definition["StartAt"], "ValidateInput");
    assert_eq!(definition["TimeoutSeconds"], 14_400);
    let states = &definition["States"];
    let shape = |states: &Value| -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        states
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, state)| (name.clone(), text(&state["Type"]), text(&state["Next"])))
            .collect()
    };
    let row = |name: &str, kind: &str, next: &str| (name.to_owned(), kind.to_owned(), next.to_owned());
    assert_eq!(
        shape(states),
        [
            row("ValidateInput", "Task", "CheckDataQuality"),
            row("CheckDataQuality", "Task", "ProcessData"),
            row("ProcessData", "Parallel", "GenerateReport"),
            row("GenerateReport", "Task", "NotifyCompletion"),
            row("NotifyCompletion", "Task", ""),
            row("HandleFailure", "Task", "PipelineFailed"),
            // A failed run must end in a `Fail` state, so that the execution is reported as failed.
            row("PipelineFailed", "Fail", ""),
        ]
    );
    assert_eq!(
        shape(&states["ProcessData"]["Branches"][0]["States"]),
        [row("ETLProcessing", "Task", "")]
    );
    assert_eq!(
        shape(&states["ProcessData"]["Branches"][1]["States"]),
        [row("DataProfiling", "Task", "")]
    );
    let retry = json!([{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 30, "MaxAttempts": 3, "BackoffRate": 2}]);
    assert_eq!(states["ValidateInput"]["Retry"], retry);
    // Every task catches all errors and keeps its input next to the error.
    let catch = json!([{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "HandleFailure"}]);
    for name in [
        "ValidateInput",
        "CheckDataQuality",
        "ProcessData",
        "GenerateReport",
        "NotifyCompletion",
    ] {
        assert_eq!(states[name]["Catch"], catch, "{name}");
    }
    assert_eq!(
        states["CheckDataQuality"]["Resource"],
        "arn:aws:states:::glue:startJobRun.sync"
    );
    assert_eq!(
        states["CheckDataQuality"]["Parameters"]["Arguments"],
        json!({"--INPUT_PATH.$": "$.inputPath"})
    );
    assert_eq!(
        states["HandleFailure"]["Parameters"]["Message"],
        "Pipeline execution failed"
    );
}

/// The role allows exactly the actions that the states of the machine need.
#[test]
fn the_role_allows_only_the_calls_of_the_states() {
    let template = json_of(&files(&run(SALES)), "cloudformation/finance/sales.json");
    let policy = &template["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"];
    let mut actions = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        let list = match &statement["Action"] {
            Value::String(one) => vec![one.clone()],
            many => many
                .as_array()
                .unwrap()
                .iter()
                .map(|a| a.as_str().unwrap().to_owned())
                .collect(),
        };
        let everything = statement["Resource"] == "*";
        for action in list {
            assert_eq!(
                everything,
                action.starts_with("logs:") || action.starts_with("xray:"),
                "{action}"
            );
            assert!(!action.contains('*'), "{action}");
            actions.insert(action);
        }
    }
    actions.retain(|action| !action.starts_with("logs:") && !action.starts_with("xray:"));
    let wanted = [
        "glue:BatchStopJobRun",
        "glue:GetJobRun",
        "glue:GetJobRuns",
        "glue:StartJobRun",
        "lambda:InvokeFunction",
        "sns:Publish",
    ];
    assert_eq!(actions.into_iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn the_order_of_documents_does_not_matter() {
    let mut documents: Vec<&str> = SALES.split("\n---\n").collect();
    documents.reverse();
    let reversed = documents.join("\n---\n");
    assert_eq!(files(&run(&reversed)), files(&run(SALES)));
}

/// A missing or wrong line causes a diagnostic and never a panic. An emitted state machine is always complete.
#[test]
fn wrong_or_missing_lines_never_panic() {
    let lines: Vec<&str> = SALES.lines().collect();
    let begin = lines.iter().position(|line| *line == "kind: Pipeline").unwrap();
    let mut variants: Vec<String> = Vec::new();
    for at in begin + 1..lines.len() {
        let with = |line: Option<String>| {
            let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            match line {
                Some(line) => lines[at] = line,
                None => {
                    lines.remove(at);
                }
            }
            lines.join("\n")
        };
        variants.push(with(None));
        for (from, to) in [
            (": ", ": {{ "),
            ("{", "["),
            ("input", "inptu"),
            ("steps.", "steps.x."),
            ("lambda", "glue"),
            ("sns", "sqs"),
            ("glue", "athena"),
            ("'", ""),
        ] {
            if lines[at].contains(from) {
                variants.push(with(Some(lines[at].replacen(from, to, 1))));
            }
        }
    }
    assert!(variants.len() > 50, "{}", variants.len());
    for text in variants {
        let compiled = run(&text);
        if compiled.has_errors() {
            assert!(compiled.bundles.is_empty(), "{text}");
            continue;
        }
        for bundle in &compiled.bundles {
            let files = terrace_artifact::files(bundle);
            if let Some(file) = files
                .iter()
                .find(|file| file.path == "step-functions/finance/sales.json")
            {
                let machine: Value = serde_json::from_str(&file.text).unwrap();
                let start = machine["StartAt"].as_str().unwrap();
                assert!(machine["States"][start].is_object(), "{text}");
            }
        }
    }
}
