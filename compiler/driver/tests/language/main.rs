//! Small stacks, each of which tests one rule of the language.

mod division;
mod renamed;
mod repeated;
mod rights;

use expect_test::expect;
use terrace_compiler::source::MemorySources;
use terrace_compiler::{Compiled, Request, compile};

const BASE: &str = "
{kind: Platform, name: acme}
---
{kind: Environment, name: development, class: development, directory: out}
---
";

fn run(text: &str, set: &[&str]) -> Compiled {
    run_on("", text, set)
}

fn run_on(today: &str, text: &str, set: &[&str]) -> Compiled {
    let text = format!("{BASE}{text}");
    compile(
        &MemorySources::new([("stack.yaml", text.as_str())]),
        &Request {
            program: "0.1.0".into(),
            today: today.into(),
            set: set.iter().map(|text| (*text).to_owned()).collect(),
            ..Request::default()
        },
    )
}

/// Formats the diagnostics, one per line: `code: message <text of the span>`.
fn report(compiled: &Compiled) -> String {
    let lines = compiled.diagnostics.iter().map(|diagnostic| {
        let place = diagnostic.primary.as_ref();
        let text = place.map_or("", |label| compiled.files.text(label.span));
        format!("{}: {} <{text}>", diagnostic.code.slug(), diagnostic.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the text of a file of the first bundle. Fails if there are diagnostics.
#[track_caller]
fn file(compiled: &Compiled, path: &str) -> String {
    assert_eq!(report(compiled), "");
    let files = terrace_artifact::files(&compiled.bundles[0]);
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    match files.iter().find(|file| file.path == path) {
        Some(file) => file.text.to_string(),
        None => panic!("no {path} among {names:?}"),
    }
}

/// Returns the properties of a resource in a template, as JSON.
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
        ("{Tags: []}", format!(r#"{{"DisplayName":"a",{key},"Tags":[]}}"#)),
    ] {
        let compiled = run(&text(patch), &[]);
        let got = properties(&compiled, "cloudformation/platform/web.json", "Topic");
        assert_eq!(got, want, "{patch}");
    }
}

const VALUES: &str = "
kind: Module
name: values
version: 1.0.0
summary: an input of every type
inputs:
  tag: {type: string, default: latest}
  image: {type: object, properties: {tag: {type: string}}, default: {tag: latest}}
  labels: {type: object, additionalProperties: {type: string}, default: {}}
  count: {type: integer, default: 1}
  on: {type: boolean, default: false}
  keep: {type: duration, default: 1d}
  size: {type: size, default: 1Gi}
  cores: {type: quantity, default: '1'}
  share: {type: percent, default: 10%}
  names: {type: array, items: {type: string}, default: []}
resources:
  page:
    type: v1/ConfigMap
    metadata: {namespace: default}
    data: {all: \"{{ [inputs.tag, inputs.image.tag, inputs.labels, inputs.count, inputs.on, inputs.keep | hours, inputs.size | string, inputs.cores | string, inputs.share, inputs.names] | json }}\"}
---
{kind: Component, name: web, module: values}
---
{kind: Component, name: own, resources: {page: {type: v1/ConfigMap, metadata: {namespace: default}, data: {a: b}}}}
";

#[test]
fn command_line_values_have_the_type_of_their_input() {
    let base = r#"["latest","latest",{},1,false,24,"1Gi","1",10,[]]"#;
    for (set, want) in [
        ("web.tag=9", base.replacen("latest", "9", 1)),
        ("web.tag=true", base.replacen("latest", "true", 1)),
        ("web.tag=007", base.replacen("latest", "007", 1)),
        ("web.tag=null", base.replacen("latest", "null", 1)),
        ("web.tag=1.10", base.replacen("latest", "1.10", 1)),
        ("web.tag=", base.replacen("latest", "", 1)),
        ("web.tag={{ x }}: @", base.replacen("latest", "{{ x }}: @", 1)),
        ("web.image.tag=9", base.replace("latest\",{}", "9\",{}")),
        ("web.labels.a=1", base.replace("{}", r#"{"a":"1"}"#)),
        ("web.count=3", base.replace("1,false", "3,false")),
        ("web.on=true", base.replace("false", "true")),
        ("web.keep=2d", base.replace("24", "48")),
        ("web.size=2Ti", base.replace("1Gi", "2Ti")),
        ("web.cores=0.5", base.replace("\"1\"", "\"500m\"")),
        ("web.share=25%", base.replace("10,", "25,")),
        ("web.names=[a, b]", base.replace("[]", r#"["a","b"]"#)),
    ] {
        let compiled = run(VALUES, &[set]);
        let object = file(&compiled, "kubernetes/platform/web.yaml");
        let line = object
            .lines()
            .find(|line| line.contains("all:"))
            .unwrap_or_default();
        let got = line.trim().trim_start_matches("all: '").trim_end_matches('\'');
        assert_eq!(got, want, "{set}");
    }
}

#[test]
fn rejects_invalid_command_line_inputs() {
    for (set, want) in [
        (
            "web.tga=9",
            "unknown-input: module `values` has no input `tga` <tga>",
        ),
        ("own.tag=9", "unknown-input: component `own` has no inputs <tag>"),
        ("web.count=many", "wrong-type: `count` must be an integer <many>"),
        (
            "web.count=007",
            "invalid-set: the number `007` is ambiguous <007>",
        ),
        ("web.keep=30", "wrong-unit: `keep` must have a unit <30>"),
        ("web.names=[a", "invalid-set: `[` is not closed <[a>"),
        (
            "web.image.tga=9",
            "unknown-key: unknown key `tga` in `image` <web.image.tga>",
        ),
    ] {
        assert_eq!(report(&run(VALUES, &[set])), want, "{set}");
    }
}

#[test]
fn waivers_suppress_module_checks_by_rule_name() {
    let text = |waiver: &str| {
        format!(
            "
kind: Module
name: alarms
version: 1.0.0
summary: alarms
inputs: {{alarms: {{type: object, additionalProperties: {{type: integer}}, default: {{}}}}, most: {{type: integer, default: 5}}}}
resources:
  alarm:
    for_each: \"{{{{ inputs.alarms }}}}\"
    type: v1/ConfigMap
    metadata: {{namespace: default}}
    data: {{periods: \"{{{{ each.value | string }}}}\", most: \"{{{{ inputs.most | string }}}}\"}}
checks:
- {{for_each: \"{{{{ inputs.alarms }}}}\", that: \"{{{{ each.value <= 10 }}}}\", message: \"{{{{ each.key }}}} waits too long\", at: alarms.*, rule: patience}}
- {{that: \"{{{{ inputs.most < 9 }}}}\", message: too many, at: most, rule: few}}
---
kind: Component
name: sales
module: alarms
inputs: {{alarms: {{errors: 20, delays: 30}}, most: 9}}
waivers: [{waiver}]
"
        )
    };
    let rule = |rule: &str, address: &str, expires: &str| {
        format!("{{rule: {rule}, address: '{address}', reason: tried, expires: {expires}}}")
    };
    let few = rule("few", "platform/sales/alarm", "2027-01-01");
    let all = rule("patience", "platform/sales/alarm", "2027-01-01");
    let errors = rule("patience", "platform/sales/alarm[\"errors\"]", "2027-01-01");
    let delays = rule("patience", "*/sales/alarm[\"delays\"]", "2027-01-01");
    let over = rule("patience", "platform/sales/alarm", "2026-01-01");
    let no_such = rule("patiense", "platform/sales/alarm", "2027-01-01");
    let elsewhere = rule("patience", "platform/sales/other", "2027-01-01");
    let order = "failed-check: errors waits too long <20>\nfailed-check: delays waits too long <30>";
    for (waivers, want) in [
        (vec![&few, &all], ""),
        (vec![&few, &errors, &delays], ""),
        (vec![&few, &errors], "failed-check: delays waits too long <30>"),
        (vec![&all], "failed-check: too many <9>"),
        (vec![&few, &over], order),
        (vec![&few, &elsewhere], order),
        (
            vec![&few, &all, &no_such],
            "unknown-value: no rule is named `patiense` <patiense>",
        ),
        (
            vec![&few, &all, &errors],
            "unused-waiver: waiver for `patience` suppresses nothing <patience>",
        ),
    ] {
        let list: Vec<&str> = waivers.into_iter().map(String::as_str).collect();
        let compiled = run_on("2026-11-21", &text(&list.join(", ")), &[]);
        assert_eq!(report(&compiled), want, "{list:?}");
    }
}

#[test]
fn a_grant_on_a_table_includes_its_database_and_the_catalog() {
    let compiled = run(
        "
kind: Component
name: catalog
resources:
  sales: {type: AWS::Glue::Database, properties: {CatalogId: '111122223333', DatabaseInput: {Name: sales}}}
  orders:
    type: AWS::Glue::Table
    properties: {CatalogId: '111122223333', DatabaseName: \"{{ ref('sales') }}\", TableInput: {Name: orders}}
outputs: {orders: \"{{ ref('orders') }}\", sales: \"{{ ref('sales') }}\"}
---
kind: Component
name: report
resources:
  role: {type: AWS::IAM::Role, properties: {AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: glue.amazonaws.com}, Action: 'sts:AssumeRole'}]}}}
grants:
- {who: role, may: read, on: \"{{ ref('catalog').orders }}\"}
- {who: role, may: write, on: \"{{ ref('catalog').sales }}\"}
",
        &[],
    );
    let properties = properties(&compiled, "cloudformation/platform/report.json", "RoleGrants");
    let policy: serde_json::Value = serde_json::from_str(&properties).unwrap();
    let lines = policy["PolicyDocument"]["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .map(|statement| format!("{} {}\n", statement["Action"], statement["Resource"]));
    expect![[r#"
        ["glue:BatchGetPartition","glue:GetDatabase","glue:GetPartition","glue:GetPartitions","glue:GetTable","glue:GetTables"] [{"Fn::Sub":"arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:catalog"},{"Fn::Sub":"arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:database/${CatalogSales}"},{"Fn::Sub":"arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:table/${CatalogSales}/${CatalogOrders}"}]
        ["glue:BatchCreatePartition","glue:BatchGetPartition","glue:BatchUpdatePartition","glue:CreatePartition","glue:CreateTable","glue:GetDatabase","glue:GetPartition","glue:GetPartitions","glue:GetTable","glue:GetTables","glue:UpdatePartition","glue:UpdateTable"] [{"Fn::Sub":"arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:catalog"},{"Fn::Sub":"arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:database/${CatalogSales}"},{"Fn::Sub":"arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:table/${CatalogSales}/*"}]
    "#]].assert_eq(&lines.collect::<String>());
}

#[test]
fn outputs_of_a_lake_are_accessed_by_zone_name() {
    let compiled = run(
        "
{kind: Component, name: kms, module: kms}
---
{kind: Component, name: lake, module: lake, inputs: {zones: {raw: null, landing: {retention: 30d}, scratch: {retention: 7d, database: false}}}}
---
kind: Component
name: report
resources:
  role: {type: AWS::IAM::Role, properties: {AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: glue.amazonaws.com}, Action: 'sts:AssumeRole'}]}}}
  page: {type: AWS::SSM::Parameter, properties: {Type: String, Value: \"{{ ref('lake').databases.landing.name }} {{ ref('lake').buckets.scratch.name }}\"}}
grants:
- {who: role, may: read, on: \"{{ ref('lake').databases.landing }}\"}
",
        &[],
    );
    assert_eq!(report(&compiled), "");
    let page = properties(&compiled, "cloudformation/platform/report.json", "Page");
    expect![[r#"{"Type":"String","Value":{"Fn::Sub":"${LakeDatabaseLanding} acme-scratch-development-${AWS::AccountId}"}}"#]].assert_eq(&page);
    let grants = properties(&compiled, "cloudformation/platform/report.json", "RoleGrants");
    assert!(grants.contains("database/${LakeDatabaseLanding}"), "{grants}");
}

#[test]
fn value_replaces_a_key_and_empty_json_removes_it() {
    let compiled = run(
        r#"
kind: Component
name: notes
resources:
  page:
    type: AWS::SNS::Topic
    properties:
      TopicName: {$when: "{{ true }}", $value: notes}
      DisplayName: {$when: "{{ false }}", $value: Notes}
      ArchivePolicy: {$json: {$for_each: "{{ {} }}", "{{ each.key }}": 1}}
      Tags: [{$for_each: "{{ ['a', 'b'] }}", $merge: {Key: x, Value: y}, Key: "{{ each.key }}"}]
"#,
        &[],
    );
    let page = properties(&compiled, "cloudformation/platform/notes.json", "Page");
    expect![[r#"{"TopicName":"notes","Tags":[{"Key":"a","Value":"y"},{"Key":"b","Value":"y"}]}"#]]
        .assert_eq(&page);
}

#[test]
fn reports_a_misspelled_input_where_it_is_read() {
    let stack = |text: &str| {
        format!(
            "kind: Module\nname: note\nversion: 1.0.0\nsummary: a note\ninputs: {{text: {{type: string}}}}\nresources:\n  \
             topic: {{type: AWS::SNS::Topic, properties: {{DisplayName: \"{{{{ {text} }}}}\"}}}}\n---\n\
             {{kind: Component, name: hello, module: note, inputs: {{text: hi}}}}"
        )
    };
    let compiled = run(&stack("inputs.txt"), &[]);
    assert_eq!(report(&compiled), "undefined: `inputs` has no key `txt` <txt>");
    let users = compiled.diagnostics[0]
        .trace
        .iter()
        .map(|frame| compiled.files.text(frame.span));
    assert_eq!(users.collect::<Vec<_>>(), ["note"]);
    // If the misspelled name is never evaluated, the input is still unused.
    let unread = run(&stack("'a' if not environment.production else inputs.txt"), &[]);
    assert_eq!(report(&unread), "unused-input: input `text` is never used <text>");
    let other = run(&stack("name"), &[]);
    assert_eq!(report(&other), "unused-input: input `text` is never used <text>");
}
