//! Checks `golden/` with independent tools, and proves that each of them rejects wrong input.

use std::path::PathBuf;

use terrace_tests::{Scratch, judges};

#[test]
fn cfn_lint_accepts_the_goldens() {
    accepts(judges::cfn_lint(&judges::golden("cloudformation", "json")));
}

#[test]
fn cfn_lint_rejects_an_unknown_property() {
    let template =
        r#"{"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicNames": "x"}}}}"#;
    refuses(judging("template.json", template, judges::cfn_lint), "TopicNames");
}

#[test]
fn every_permission_in_the_goldens_is_effective() {
    accepts(judges::lint_rights(&judges::golden("cloudformation", "json")));
}

#[test]
fn finds_permissions_without_effect() {
    for (action, on, word) in [
        (
            "s3:GetObjects",
            r#""arn:aws:s3:::raw/*""#,
            "the action s3:GetObjects does not exist",
        ),
        ("s3:GetObject", r#""*""#, "can be limited to a resource"),
        (
            "s3:GetObject",
            r#"{"Fn::GetAtt": ["Raw", "Arn"]}"#,
            "but AWS checks",
        ),
        (
            "s3:ListBucket",
            r#"{"Fn::Sub": "${Raw.Arn}/*"}"#,
            "but AWS checks",
        ),
        (
            "logs:PutLogEvents",
            r#""arn:aws:logs:eu-west-1:111122223333:log-group:/etl""#,
            "but AWS checks",
        ),
        (
            "ec2:DescribeSubnets",
            r#""arn:aws:ec2:eu-west-1:111122223333:subnet/*""#,
            "supports only the resource *",
        ),
    ] {
        let template = format!(
            r#"{{"Resources": {{
                "Raw": {{"Type": "AWS::S3::Bucket"}},
                "Policy": {{"Type": "AWS::IAM::ManagedPolicy", "Properties": {{"PolicyDocument": {{"Statement": [
                    {{"Effect": "Allow", "Action": "{action}", "Resource": {on}}}
                ]}}}}}}
            }}}}"#
        );
        refuses(judging("template.json", &template, judges::lint_rights), word);
    }
}

#[test]
fn kubernetes_validate_accepts_the_goldens() {
    accepts(judges::kubernetes_validate(&judges::golden("kubernetes", "yaml")));
}

#[test]
fn kubernetes_validate_rejects_invalid_objects() {
    let unknown = "apiVersion: v1\nkind: Service\nmetadata:\n  name: x\nspec:\n  port: 80\n";
    refuses(
        judging("service.yaml", unknown, judges::kubernetes_validate),
        "port",
    );
    let misspelled = "apiVersion: apps/v1\nkind: Deploymnet\nmetadata:\n  name: x\n";
    refuses(
        judging("deployment.yaml", misspelled, judges::kubernetes_validate),
        "Deploymnet",
    );
}

#[test]
fn asl_validator_accepts_the_goldens() {
    accepts(judges::asl_validator(&judges::golden("step-functions", "json")));
}

#[test]
fn asl_validator_rejects_an_unknown_state() {
    let dangling = r#"{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}"#;
    refuses(judging("machine.json", dangling, judges::asl_validator), "B");
}

#[test]
fn python_rejects_values_that_it_reads_differently() {
    let case = |yaml: &str, want: &str| judges::YamlSample {
        name: "x".into(),
        yaml: yaml.into(),
        want: vec![want.into()],
    };
    accepts(judges::python_reads(&[case("a: 'NO'\n", r#"{"a": "NO"}"#)]));
    refuses(
        judges::python_reads(&[case("a: NO\n", r#"{"a": "NO"}"#)]),
        "expected",
    );
    refuses(
        judges::python_reads(&[case("a: 1\n", r#"{"a": true}"#)]),
        "expected",
    );
    refuses(
        judges::python_reads(&[case("a: 1\n---\nb: 1\n", r#"{"a": 1}"#)]),
        "expected",
    );
}

#[track_caller]
fn accepts(verdict: Result<(), String>) {
    if let Err(found) = verdict {
        panic!("{found}");
    }
}

#[track_caller]
fn refuses(verdict: Result<(), String>, word: &str) {
    let found = verdict.expect_err("the input is wrong");
    assert!(found.contains(word), "{found}");
}

/// Runs a judge on one file.
fn judging(name: &str, text: &str, judge: fn(&[PathBuf]) -> Result<(), String>) -> Result<(), String> {
    let scratch = Scratch::new("judged");
    scratch.write(name, text);
    judge(&[scratch.path().join(name)])
}
