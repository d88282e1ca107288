//! Tests of foreign stacks that the user adopts by name and that Terrace retains later.

use std::collections::BTreeSet;

use expect_test::expect;
use serde_json::{Value as Json, json};
use terrace_deployer::{Error, Plan, PlanOptions, Refusal};

use crate::estate::{Estate, address, fault, held, name, queue, shown};

/// Creates a foreign stack with the name of the stack of component `jobs`.
fn occupy(estate: &Estate, resources: Json) {
    let tags = json!([{"Key": "team", "Value": "payments"}]);
    let template = json!({"Resources": resources}).to_string();
    let stack = json!({"StackName": name("jobs"), "TemplateBody": template, "Tags": tags});
    estate.account.call("cloudformation", "create_stack", stack);
}

fn topic(name: &str) -> Json {
    json!({"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name}})
}

async fn adopting(estate: &Estate) -> Plan {
    let mut options = PlanOptions::everything();
    options.adopt = vec!["platform/jobs".into()];
    options.approved = estate.approved.clone();
    let plan = terrace_deployer::plan(&estate.bundle, &estate.access, &options).await;
    plan.unwrap_or_else(|error| panic!("the plan failed: {error}"))
}

async fn refused(estate: &Estate, plan: &Plan) -> String {
    let error = estate
        .try_apply(plan)
        .await
        .expect_err("the apply must be refused");
    assert!(
        matches!(error, Error::Refused(Refusal::DataLoss { .. })),
        "{error:?}"
    );
    estate.neutral(&error.to_string())
}

fn tags(estate: &Estate) -> BTreeSet<String> {
    let stack = estate.described("jobs").expect("a stack");
    let tags = stack["Tags"].as_array().cloned().unwrap_or_default();
    let shown = tags.iter().map(|tag| {
        format!(
            "{}={}",
            tag["Key"].as_str().unwrap_or_default(),
            tag["Value"].as_str().unwrap_or_default()
        )
    });
    shown.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn manages_an_adopted_stack_and_retains_it_when_it_is_dropped() {
    let mut estate = Estate::new().await;
    occupy(&estate, json!({"Queue": queue(1), "Topic": topic("theirs")}));
    estate.want(
        "jobs",
        json!({"Queue": held(queue(2)), "Topic": held(topic("theirs"))}),
        json!({}),
    );
    let id = estate.described("jobs").expect("a stack")["StackId"].clone();
    let plan = adopting(&estate).await;
    expect![[r#"
        Adopt acme-dev-platform-jobs (None): 2 of 2 resources in it change
          Tags.team: "payments" -> -
          Tags.terrace:adopted: - -> "true"
          Tags.terrace:component: - -> "jobs"
          Tags.terrace:stack: - -> "acme.dev"
          Update platform/jobs/queue (None): `VisibilityTimeout` and `Metadata` change
            VisibilityTimeout: 1 -> 2
            Metadata: - -> {"terrace":{"address":"platform/jobs/queue","holds-data":true}}
          Update platform/jobs/topic (None): `Metadata` changes
            Metadata: - -> {"terrace":{"address":"platform/jobs/topic","holds-data":true}}
    "#]]
    .assert_eq(&shown(&plan));
    estate.try_apply(&plan).await.expect("the stack must be adopted");
    let marked = [
        "terrace:adopted=true",
        "terrace:component=jobs",
        "terrace:stack=acme.dev",
    ];
    assert_eq!(tags(&estate), marked.map(str::to_owned).into());
    assert!(estate.plan().await.is_empty());
    // Updates keep the mark of the adoption.
    estate.want(
        "jobs",
        json!({"Queue": held(queue(3)), "Topic": held(topic("theirs"))}),
        json!({}),
    );
    estate.apply().await;
    assert_eq!(tags(&estate), marked.map(str::to_owned).into());

    estate.drop_component("jobs");
    expect![[r#"
        Retain acme-dev-platform-jobs (None): no longer in the stack; it was adopted, so it is not deleted
          note: to delete it instead, pass --approve 'platform/jobs/queue'
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
    let stack = estate.described("jobs").expect("the stack must remain");
    assert_eq!(
        (&stack["StackId"], &stack["StackStatus"]),
        (&id, &json!("UPDATE_COMPLETE"))
    );
    assert_eq!(tags(&estate), ["terrace:component=jobs".to_owned()].into());
    // Terrace does not recognize the retained stack as its own.
    estate.want(
        "jobs",
        json!({"Queue": held(queue(4)), "Topic": held(topic("theirs"))}),
        json!({}),
    );
    let error = estate
        .try_apply(&estate.plan().await)
        .await
        .expect_err("the stack is foreign");
    assert!(error.to_string().contains("exists already"), "{error}");
    let plan = estate.destroy_plan().await;
    assert!(plan.is_empty(), "{}", shown(&plan));
    assert_eq!(
        estate.described("jobs").expect("the stack must remain")["StackId"],
        id
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn destroy_retains_an_adopted_stack_unless_its_deletion_is_approved() {
    for approved in [false, true] {
        for lost in [false, true] {
            let mut estate = Estate::new().await;
            occupy(&estate, json!({"Queue": queue(1)}));
            estate.want("jobs", json!({"Queue": held(queue(1))}), json!({}));
            let plan = adopting(&estate).await;
            estate.try_apply(&plan).await.expect("the stack must be adopted");
            if lost {
                // Without the state store, the tag still marks the adoption.
                let bucket = format!("terrace-assets-{}-eu-west-1", estate.account.id());
                let all = json!({"Bucket": bucket, "Prefix": "environments/"});
                let listed = estate.account.call("s3", "list_objects_v2", all);
                for object in listed["Contents"].as_array().into_iter().flatten() {
                    let object = json!({"Bucket": bucket, "Key": object["Key"]});
                    estate.account.call("s3", "delete_object", object);
                }
            }
            let mut options = PlanOptions::everything();
            if approved {
                estate.approve("jobs", "Queue");
                options.approved.insert(address("jobs", "Queue"));
            }
            let plan = terrace_deployer::destroy_plan(&estate.bundle, &estate.access, &options).await;
            let plan = plan.unwrap();
            estate.try_apply(&plan).await.expect("the destroy must succeed");
            let expected = if approved { "absent" } else { "UPDATE_COMPLETE" };
            assert_eq!(
                estate.status("jobs"),
                expected,
                "approved: {approved}, state store lost: {lost}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_requires_approval_for_the_resources_it_deletes() {
    let mut estate = Estate::new().await;
    occupy(&estate, json!({"Queue": queue(1), "Orders": topic("orders")}));
    estate.want("jobs", json!({"Queue": held(queue(1))}), json!({}));
    let plan = adopting(&estate).await;
    expect![[r#"
        the plan would lose data without your approval; nothing was changed
          AWS::SNS::Topic `Orders` (arn:aws:sns:eu-west-1:ACCOUNT:orders), which this environment did not create: deleted together with CloudFormation stack acme-dev-platform-jobs
          help: to approve each change, add these options:
            --approve 'platform/jobs/Stack["Orders"]'"#]]
    .assert_eq(&refused(&estate, &plan).await);
    let topics = estate.account.call("sns", "list_topics", json!({}));
    assert_eq!(topics["Topics"].as_array().map(Vec::len), Some(1));
    estate
        .approved
        .insert(r#"platform/jobs/Stack["Orders"]"#.parse().unwrap());
    estate
        .try_apply(&adopting(&estate).await)
        .await
        .expect("the apply is approved");
    let topics = estate.account.call("sns", "list_topics", json!({}));
    assert_eq!(topics["Topics"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_to_adopt_writes_nothing() {
    let mut estate = Estate::new().await;
    occupy(&estate, json!({"Queue": queue(1)}));
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    let before = estate.described("jobs");
    let mut options = PlanOptions::everything();
    options.adopt = vec!["platform/jobs".into()];
    options.preview.change_set = true;
    terrace_deployer::plan(&estate.bundle, &estate.access, &options)
        .await
        .unwrap();
    let of = json!({"StackName": name("jobs")});
    let sets = estate.account.call("cloudformation", "list_change_sets", of);
    assert_eq!(sets["Summaries"], json!([]));
    assert_eq!(estate.described("jobs"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_adopt_a_stack_that_cannot_be_updated() {
    let mut estate = Estate::new().await;
    estate.account.fail(&fault("create", "Bad", "no"));
    occupy(&estate, json!({"Queue": queue(1), "Bad": topic("bad")}));
    assert_eq!(estate.status("jobs"), "ROLLBACK_COMPLETE");
    estate.want("jobs", json!({"Queue": held(queue(1))}), json!({}));
    let plan = adopting(&estate).await;
    let error = estate
        .try_apply(&plan)
        .await
        .expect_err("the adoption must be refused");
    assert_eq!(error.exit_code(), 4);
    expect![[r#"
        platform/jobs/queue: CloudFormation stack `acme-dev-platform-jobs` (its tags are `team=payments`) cannot be adopted: its status is ROLLBACK_COMPLETE, which does not allow updates; its owner must repair or delete it first
          declared at components.yaml:3:1, defined at module:lake/module.yaml:3:1
          help: to leave it unchanged, rename the component in the stack or remove it from the stack"#]]
    .assert_eq(&error.to_string());
    assert_eq!(estate.status("jobs"), "ROLLBACK_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_requires_approval_for_the_resources_it_replaces() {
    let mut estate = Estate::new().await;
    occupy(&estate, json!({"Topic": topic("theirs")}));
    estate.want("jobs", json!({"Topic": topic("ours")}), json!({}));
    let error = refused(&estate, &adopting(&estate).await).await;
    assert!(
        error.contains(
            "AWS::SNS::Topic `Topic` (arn:aws:sns:eu-west-1:ACCOUNT:theirs), which this environment did not create"
        ),
        "{error}"
    );
    assert!(error.contains("--approve 'platform/jobs/topic'"), "{error}");
    estate.approve("jobs", "Topic");
    estate
        .try_apply(&adopting(&estate).await)
        .await
        .expect("the apply is approved");
    // From now on, a replacement needs no approval.
    estate.want("jobs", json!({"Topic": topic("ours-again")}), json!({}));
    estate.approved.clear();
    estate.apply().await;
}
