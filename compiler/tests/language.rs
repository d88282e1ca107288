//! Small stacks, each for one thing that the language promises.

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
fn what_is_set_has_the_type_of_its_input() {
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
fn what_cannot_be_set_is_refused() {
    for (set, want) in [
        (
            "web.tga=9",
            "unknown-input: module `values` has no input `tga` <tga>",
        ),
        ("own.tag=9", "unknown-input: component `own` has no inputs <tag>"),
        (
            "web.count=many",
            "wrong-type: `count` has to be a whole number, not text <many>",
        ),
        (
            "web.count=007",
            "invalid-set: `007` is two different numbers <007>",
        ),
        ("web.keep=30", "wrong-unit: `keep` has no unit <30>"),
        ("web.names=[a", "invalid-set: `[` is not closed <[a>"),
        (
            "web.image.tga=9",
            "unknown-key: `tga` is not a key of `image` <9>",
        ),
    ] {
        assert_eq!(said(&run(VALUES, &[set])), want, "{set}");
    }
}

#[test]
fn what_a_module_demands_can_be_waived_by_name() {
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
            "unused-waiver: nothing here breaks the rule `patience` <patience>",
        ),
    ] {
        let list: Vec<&str> = waivers.into_iter().map(String::as_str).collect();
        let compiled = run_on("2026-11-21", &text(&list.join(", ")), &[]);
        assert_eq!(said(&compiled), want, "{list:?}");
    }
}

/// A component that is divided: a topic and its policy for each name, a key for all, and a component that reads them.
fn divided(names: &[&str]) -> Compiled {
    let text = format!(
        "
kind: Module
name: topics
version: 1.0.0
summary: topics with their policies
inputs: {{names: {{type: array, items: {{type: string}}}}}}
divides: {{by: \"{{{{ each.key }}}}\", into: 3}}
resources:
  key: {{type: AWS::KMS::Key, properties: {{KeyPolicy: {{Version: '2012-10-17', Statement: []}}}}}}
  topic:
    for_each: \"{{{{ inputs.names }}}}\"
    type: AWS::SNS::Topic
    properties: {{KmsMasterKeyId: \"{{{{ ref('key').arn }}}}\"}}
  policy:
    for_each: \"{{{{ inputs.names }}}}\"
    type: AWS::SNS::TopicPolicy
    properties:
      Topics: [\"{{{{ ref('topic', each.key).arn }}}}\"]
      PolicyDocument: {{Version: '2012-10-17', Statement: [{{Effect: Allow, Principal: {{Service: events.amazonaws.com}}, Action: 'sns:Publish', Resource: \"{{{{ ref('topic', each.key).arn }}}}\"}}]}}
outputs: {{orders: \"{{{{ ref('topic', 'orders').arn }}}}\", key: \"{{{{ ref('key').arn }}}}\"}}
---
{{kind: Component, name: topics, module: topics, inputs: {{names: [{}]}}}}
---
kind: Component
name: reader
resources:
  page: {{type: AWS::SSM::Parameter, properties: {{Type: String, Value: \"{{{{ ref('topics').orders }}}}\"}}}}
",
        names.join(", ")
    );
    run(&text, &[])
}

/// The stack that each resource of a bundle is in.
fn stacks(compiled: &Compiled) -> Vec<(String, String)> {
    assert_eq!(said(compiled), "");
    let stacks = compiled.bundles[0]
        .artifacts
        .iter()
        .filter_map(|artifact| artifact.stack());
    let members = |stack: &terrace_artifact::Stack| {
        let name = stack.name.to_string();
        let addresses = stack.members.values().map(|member| member.address.to_string());
        addresses
            .map(|address| (address, name.clone()))
            .collect::<Vec<_>>()
    };
    stacks.flat_map(members).collect()
}

#[test]
fn a_resource_of_a_divided_component_never_moves() {
    let names = ["orders", "customers", "returns", "prices", "stock", "visits"];
    let all = stacks(&divided(&names));
    let used: std::collections::BTreeSet<&str> = all.iter().map(|(_, stack)| stack.as_str()).collect();
    assert_eq!(
        used.into_iter().collect::<Vec<_>>(),
        [
            "acme-development-platform-reader",
            "acme-development-platform-topics",
            "acme-development-platform-topics-1",
            "acme-development-platform-topics-2",
            "acme-development-platform-topics-3",
        ]
    );
    for without in 1..names.len() {
        let mut fewer: Vec<&str> = names.to_vec();
        fewer.remove(without);
        fewer.reverse();
        for place in stacks(&divided(&fewer)) {
            assert!(all.contains(&place), "{place:?} moved without {}", names[without]);
        }
    }
}

#[test]
fn the_stacks_of_a_component_tell_each_other_by_parameters() {
    let compiled = divided(&["orders", "customers"]);
    let orders = stacks(&compiled)
        .into_iter()
        .find_map(|(address, stack)| (address == "platform/topics/topic[\"orders\"]").then_some(stack))
        .unwrap();
    let part = orders.rsplit('-').next().unwrap();
    expect![[r#"
        topics: {
          "AWSTemplateFormatVersion": "2010-09-09",
          "Description": "topics of the platform in acme development",
          "Resources": {
            "Key": {
              "Type": "AWS::KMS::Key",
              "Metadata": {
                "terrace": {
                  "address": "platform/topics/key",
                  "holds-data": true
                }
              },
              "DeletionPolicy": "Retain",
              "UpdateReplacePolicy": "Retain",
              "Properties": {
                "KeyPolicy": {
                  "Version": "2012-10-17",
                  "Statement": []
                }
              }
            }
          },
          "Outputs": {
            "Key": {
              "Value": {"Fn::GetAtt": ["Key", "Arn"]}
            }
          }
        }

        topics-PART: {
          "AWSTemplateFormatVersion": "2010-09-09",
          "Description": "topics of the platform in acme development, 3 of 3",
          "Metadata": {
            "terrace": {
              "needs": ["directory:acme-development-platform-topics"]
            }
          },
          "Parameters": {
            "TopicsKeyArn": {
              "Type": "String"
            }
          },
          "Resources": {
            "TopicOrders": {
              "Type": "AWS::SNS::Topic",
              "Properties": {
                "KmsMasterKeyId": {"Ref": "TopicsKeyArn"}
              }
            },
            "PolicyOrders": {
              "Type": "AWS::SNS::TopicPolicy",
              "Properties": {
                "Topics": [
                  {"Fn::GetAtt": ["TopicOrders", "TopicArn"]}
                ],
                "PolicyDocument": {
                  "Version": "2012-10-17",
                  "Statement": [
                    {
                      "Effect": "Allow",
                      "Principal": {
                        "Service": "events.amazonaws.com"
                      },
                      "Action": "sns:Publish",
                      "Resource": {"Fn::GetAtt": ["TopicOrders", "TopicArn"]}
                    }
                  ]
                }
              }
            }
          },
          "Outputs": {
            "Orders": {
              "Value": {"Fn::GetAtt": ["TopicOrders", "TopicArn"]}
            }
          }
        }

        reader: {
          "AWSTemplateFormatVersion": "2010-09-09",
          "Description": "reader of the platform in acme development",
          "Metadata": {
            "terrace": {
              "needs": ["directory:acme-development-platform-topics-3"]
            }
          },
          "Parameters": {
            "TopicsTopicOrdersTopicArn": {
              "Type": "String"
            }
          },
          "Resources": {
            "Page": {
              "Type": "AWS::SSM::Parameter",
              "Properties": {
                "Type": "String",
                "Value": {"Ref": "TopicsTopicOrdersTopicArn"}
              }
            }
          }
        }
    "#]]
    .assert_eq(&format!(
        "topics: {}\ntopics-PART: {}\nreader: {}",
        file(&compiled, "cloudformation/platform/topics.json"),
        file(&compiled, &format!("cloudformation/platform/topics-{part}.json")),
        file(&compiled, "cloudformation/platform/reader.json"),
    ));
}

#[test]
fn a_right_on_a_table_is_one_on_its_database_and_the_catalog() {
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
fn a_misspelt_input_is_told_where_it_is_read() {
    let stack = |text: &str| {
        format!(
            "kind: Module\nname: note\nversion: 1.0.0\nsummary: a note\ninputs: {{text: {{type: string}}}}\nresources:\n  \
             topic: {{type: AWS::SNS::Topic, properties: {{DisplayName: \"{{{{ {text} }}}}\"}}}}\n---\n\
             {{kind: Component, name: hello, module: note, inputs: {{text: hi}}}}"
        )
    };
    let compiled = run(&stack("inputs.txt"), &[]);
    assert_eq!(said(&compiled), "undefined: `inputs` has no `txt` <txt>");
    let users = compiled.diagnostics[0]
        .trace
        .iter()
        .map(|frame| compiled.files.text(frame.span));
    assert_eq!(users.collect::<Vec<_>>(), ["note"]);
    // Where nothing comes to the misspelling, the input is unused all the same.
    let unread = run(&stack("'a' if not environment.production else inputs.txt"), &[]);
    assert_eq!(
        said(&unread),
        "unused-input: no expression reads the input `text` <text>"
    );
    let other = run(&stack("name"), &[]);
    assert_eq!(
        said(&other),
        "unused-input: no expression reads the input `text` <text>"
    );
}

/// A component of so many topics that all tell their ARNs, and one that reads them all.
fn told_and_read(count: usize) -> String {
    let each = |line: &dyn Fn(usize) -> String, between: &str| {
        let lines: Vec<String> = (0..count).map(line).collect();
        lines.join(between)
    };
    let names = each(&|at| format!("'t{at}'"), ", ");
    let outputs = each(
        &|at| format!("t{at}: \"{{{{ ref('topic', 't{at}').arn }}}}\""),
        ", ",
    );
    let value = |at: usize| format!("{{Type: String, Value: \"{{{{ ref('topics').all.t{at} }}}}\"}}");
    let parameters = each(
        &|at| {
            format!(
                "  p{at}: {{type: AWS::SSM::Parameter, properties: {}}}",
                value(at)
            )
        },
        "\n",
    );
    format!(
        "
kind: Component
name: topics
resources: {{topic: {{type: AWS::SNS::Topic, for_each: \"{{{{ [{names}] }}}}\"}}}}
outputs: {{all: {{{outputs}}}}}
---
kind: Component
name: reader
resources:
{parameters}
"
    )
}

#[test]
fn a_stack_that_cloudformation_would_refuse_is_an_error() {
    let document = |length: usize| {
        let text = "x".repeat(length);
        format!(
            "
kind: Component
name: handbook
resources: {{page: {{type: AWS::SSM::Document, properties: {{Content: {{schemaVersion: '2.2', description: {text}}}}}}}}}
"
        )
    };
    for (text, want) in [
        (told_and_read(200), ""),
        (
            told_and_read(201),
            "stack-too-large: the CloudFormation stack `acme-development-platform-topics` has 201 outputs <topics>\n\
             stack-too-large: the CloudFormation stack `acme-development-platform-reader` has 201 parameters <reader>",
        ),
        (document(990_000), ""),
        (
            document(1_000_000),
            "stack-too-large: the CloudFormation stack `acme-development-platform-handbook` has 1000114 bytes <handbook>",
        ),
    ] {
        assert_eq!(said(&run(&text, &[])), want);
    }
}

#[test]
fn the_stacks_of_a_renamed_component_have_files_of_their_own() {
    let text = "
kind: Module
name: topics
version: 1.0.0
summary: topics
divides: {by: \"{{ each.key }}\", into: 2}
resources: {topic: {type: AWS::SNS::Topic, for_each: \"{{ ['orders', 'returns', 'stock'] }}\"}}
---
{kind: Component, name: my_subjects, moved_from: topics, module: topics}
";
    let compiled = run(text, &[]);
    assert_eq!(said(&compiled), "");
    let files = terrace_artifact::files(&compiled.bundles[0]);
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "cloudformation/platform/my_subjects-1.json",
            "cloudformation/platform/my_subjects-2.json"
        ]
    );
}
