//! Foreign stacks and buckets, with the program as users run it.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use terrace_tests::servers::{self, Account};
use terrace_tests::{Run, Scratch, Terrace};

/// A platform in its own account, without a cluster.
struct Lab {
    stack: Scratch,
    account: Account<'static>,
}

impl Lab {
    /// Creates the platform with a topic in each of these components.
    fn with(components: &[&str]) -> Lab {
        let lab = Lab::unprepared(components);
        let _ = lab.run(&["bootstrap", "-e", "dev"]).expect(0);
        lab
    }

    fn unprepared(components: &[&str]) -> Lab {
        let lab = Lab {
            stack: Scratch::new("lab"),
            account: servers::aws().account(),
        };
        let platform = format!(
            "kind: Platform\nname: lab\nowner: data@lab.example\n---\nkind: Environment\nname: dev\nclass: production\n\
             aws: {{account: \"{}\", region: eu-west-1}}\n",
            lab.account.id()
        );
        lab.stack.write("platform.yaml", &platform);
        lab.declare(components);
        lab
    }

    fn declare(&self, components: &[&str]) {
        let mut text = String::new();
        for name in components {
            let _ = write!(
                text,
                "---\nkind: Component\nname: {name}\nresources: {{topic: {{type: \"AWS::SNS::Topic\", holds_data: false, \
                 properties: {{TopicName: \"{{{{ name }}}}\"}}}}}}\n"
            );
        }
        self.stack.write("components.yaml", &text);
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Terrace::in_directory(self.stack.path())
            .account(&self.account)
            .run(arguments)
    }

    /// Creates a foreign stack with the name of this component's stack.
    fn occupy(&self, component: &str, tags: &Json) {
        let template = json!({"Resources": {"Orders": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "orders"}}}});
        let stack = json!({"StackName": format!("lab-dev-platform-{component}"), "TemplateBody": template.to_string(), "Tags": tags});
        self.account.call("cloudformation", "create_stack", stack);
    }

    fn described(&self, component: &str) -> Option<Json> {
        let of = json!({"StackName": format!("lab-dev-platform-{component}")});
        let found = self
            .account
            .try_call("cloudformation", "describe_stacks", of)
            .ok()?;
        Some(found["Stacks"][0].clone())
    }
}

/// Asserts that a text contains all of these.
#[track_caller]
fn assert_contains(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
    }
}

#[test]
fn a_destroy_reports_foreign_stacks_and_deletes_the_rest() {
    let lab = Lab::with(&["q", "z"]);
    lab.occupy("q", &json!([{"Key": "terrace:stack", "Value": "lab.dev"}]));
    let theirs = lab.described("q");
    let refused = lab.run(&["plan", "-e", "dev"]).expect(4);
    assert_contains(
        &refused.stderr,
        &[
            "CloudFormation stack lab-dev-platform-q exists already",
            "declared at components.yaml:3:7",
            "--adopt 'platform/q'",
        ],
    );
    let _ = lab.run(&["apply", "-e", "dev", "--yes"]).expect(4);
    let _ = lab
        .run(&["apply", "-e", "dev", "--yes", "--only", "platform/z"])
        .expect(0);
    let destroyed = lab.run(&["destroy", "-e", "dev", "--yes"]).expect(3);
    assert_contains(
        &(destroyed.stdout + &destroyed.stderr),
        &[
            "lab-dev-platform-q is not deleted: this environment did not create it",
            "lab-dev-platform-z",
        ],
    );
    assert_eq!(lab.described("q"), theirs);
    assert_eq!(lab.described("z"), None);
    // Without the state store the result is the same, and the foreign stack remains foreign.
    let _ = lab.run(&["destroy", "-e", "dev", "--yes"]).expect(3);
    assert_eq!(lab.described("q"), theirs);
}

#[test]
fn adopts_a_stack_by_name_from_a_saved_plan() {
    let lab = Lab::with(&["q"]);
    lab.occupy("q", &json!([]));
    let adopt = [
        "plan",
        "-e",
        "dev",
        "--adopt",
        "platform/q",
        "--save",
        "plan.json",
    ];
    let planned = lab.run(&adopt).expect(0);
    assert_contains(
        &planned.stdout,
        &[
            "lab-dev-platform-q (2 resources)  adopted",
            "AWS::SNS::Topic `Orders`",
            "which this environment did not create",
        ],
    );
    let refused = lab.run(&["apply", "plan.json"]).expect(4);
    let approve = r#"platform/q/Stack["Orders"]"#;
    assert_contains(&refused.stderr, &["`Orders`", &format!("--approve '{approve}'")]);
    let _ = lab.run(&["apply", "plan.json", "--approve", approve]).expect(0);
    let _ = lab.run(&["plan", "-e", "dev", "--detailed-exitcode"]).expect(0);
    lab.declare(&["z"]);
    let released = lab.run(&["apply", "-e", "dev", "--yes"]).expect(0);
    assert_contains(&released.stdout, &["1 to retain", "was adopted"]);
    let stack = lab.described("q").expect("the stack still exists");
    assert!(!stack["Tags"].to_string().contains("terrace:stack"), "{stack}");
}

#[test]
fn refuses_an_apply_before_bootstrap_and_names_the_command() {
    let lab = Lab::unprepared(&["q"]);
    let planned = lab.run(&["plan", "-e", "dev"]).expect(0);
    assert_contains(
        &planned.stdout,
        &[
            "`terrace apply` would refuse this plan",
            "terrace bootstrap -e dev",
        ],
    );
    let refused = lab.run(&["apply", "-e", "dev", "--yes"]).expect(4);
    assert_contains(
        &refused.stderr,
        &[
            "refused: account",
            "is not bootstrapped",
            "terrace bootstrap -e dev",
        ],
    );
    assert_eq!(lab.described("q"), None);
}

#[test]
fn every_command_refuses_a_bucket_of_another_account() {
    let lab = Lab::unprepared(&["q"]);
    let other = servers::aws().account();
    let bucket = format!("terrace-assets-{}-eu-west-1", lab.account.id());
    let place = json!({"Bucket": bucket, "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}});
    other.call("s3", "create_bucket", place);
    let open = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*",
        "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")]}]});
    other.call(
        "s3",
        "put_bucket_policy",
        json!({"Bucket": bucket, "Policy": open.to_string()}),
    );
    for command in [
        &["bootstrap", "-e", "dev"][..],
        &["plan", "-e", "dev"],
        &["apply", "-e", "dev", "--yes"],
        &["destroy", "-e", "dev", "--yes"],
    ] {
        let refused = lab.run(command).expect(4);
        assert_contains(
            &refused.stderr,
            &[&format!("bucket `{bucket}` belongs to another account")],
        );
    }
    let listed = other.call("s3", "list_objects_v2", json!({"Bucket": bucket}));
    assert_eq!(listed["KeyCount"], 0);
    assert_eq!(lab.described("q"), None);
}

#[test]
fn a_destroy_with_only_reports_the_remaining_resources() {
    let lab = Lab::with(&["a", "b", "c"]);
    let _ = lab.run(&["apply", "-e", "dev", "--yes"]).expect(0);
    let destroyed = lab
        .run(&["destroy", "-e", "dev", "--yes", "--only", "platform/b"])
        .expect(0);
    // The removal of termination protection is part of the plan.
    assert_contains(&destroyed.stdout, &["TerminationProtection: true → false"]);
    assert_contains(
        &destroyed.stderr,
        &[
            "destroyed platform/b of lab in dev",
            "eu-west-1: 2 CloudFormation stacks",
        ],
    );
    assert!(!destroyed.stderr.contains("nothing"), "{}", destroyed.stderr);
    let rest = lab.run(&["destroy", "-e", "dev", "--yes"]).expect(0);
    assert_contains(&rest.stderr, &["destroyed lab in dev", "eu-west-1: nothing"]);
}
