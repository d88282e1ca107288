//! Tests of ownership: Terrace neither writes nor deletes a stack with only a matching name or a copied tag, and continues to
//! manage its own stacks.

use expect_test::expect;
use serde_json::{Value as Json, json};
use terrace_deployer::{Error, Event, Outcome, Plan, Refusal};

use crate::estate::{Estate, fault, held, name, queue, shown};
use crate::proxy::{Cut, Proxy};

/// Returns a table without the marks of Terrace.
fn table(name: &str) -> Json {
    json!({"Type": "AWS::DynamoDB::Table", "Properties": {
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}})
}

fn theirs() -> String {
    json!({"Resources": {"Orders": table("orders")}}).to_string()
}

/// The state of a foreign stack.
#[derive(Clone, Copy, PartialEq, Debug)]
enum How {
    Created,
    ByChangeSet,
    InReview,
    RolledBack,
}

/// Creates a foreign stack with the name of the stack of a component.
fn occupy(estate: &Estate, component: &str, how: How, set: &str, tags: &Json) {
    let call = |operation: &str, parameters: Json| {
        estate.account.call("cloudformation", operation, parameters);
    };
    let stack = name(component);
    match how {
        How::Created => call(
            "create_stack",
            json!({"StackName": stack, "TemplateBody": theirs(), "Tags": tags}),
        ),
        How::ByChangeSet | How::InReview => {
            call(
                "create_change_set",
                json!({"StackName": stack, "ChangeSetName": set, "ChangeSetType": "CREATE",
                       "TemplateBody": theirs(), "Tags": tags}),
            );
            if how == How::ByChangeSet {
                call(
                    "execute_change_set",
                    json!({"StackName": stack, "ChangeSetName": set}),
                );
            }
        }
        How::RolledBack => {
            let bucket = json!({"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "Not A Name"}});
            let template = json!({"Resources": {"Orders": table("orders"), "Bad": bucket}}).to_string();
            estate.account.fail(&terrace_tests::servers::Fault {
                operation: "create",
                logical_id: "Bad",
                stack: &stack,
                reason: "no",
                ..Default::default()
            });
            call(
                "create_stack",
                json!({"StackName": stack, "TemplateBody": template, "Tags": tags}),
            );
        }
    }
}

/// Returns all stacks and tables of an account.
fn inventory(estate: &Estate) -> Json {
    let stacks = estate
        .account
        .call("cloudformation", "describe_stacks", json!({}));
    let stacks = stacks["Stacks"].as_array().cloned().unwrap_or_default();
    let templates = stacks.iter().map(|stack| {
        let of = json!({"StackName": stack["StackId"]});
        let sets = estate.account.call(
            "cloudformation",
            "list_change_sets",
            json!({"StackName": stack["StackName"]}),
        );
        json!({
            "template": estate.account.call("cloudformation", "get_template", of)["TemplateBody"],
            "sets": sets["Summaries"],
        })
    });
    json!({
        "stacks": stacks, "templates": templates.collect::<Vec<_>>(),
        "tables": estate.account.call("dynamodb", "list_tables", json!({}))["TableNames"],
    })
}

/// Returns the message of a refusal to apply a plan.
async fn refused(estate: &Estate, plan: &Plan) -> String {
    let error = estate
        .try_apply(plan)
        .await
        .expect_err("the apply must be refused");
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    assert_eq!(error.exit_code(), 4);
    estate.neutral(&error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_a_stack_with_only_a_matching_name_or_a_copied_tag_alone() {
    let tag = |value: &str| json!([{"Key": "terrace:stack", "Value": value}]);
    let digest = "terrace-8fb51dc9f7a2ab0fd4ec0ae2dd1fdf76c4ce5b8d83b75e27de06fd15fd3b53cb";
    for tags in [json!([]), tag("other.dev"), tag("acme.dev")] {
        for (how, set) in [
            (How::Created, ""),
            (How::ByChangeSet, "console-ana"),
            (How::ByChangeSet, digest),
            (How::InReview, "console-ana"),
            (How::InReview, "terrace-left"),
            (How::InReview, digest),
            (How::RolledBack, ""),
        ] {
            let mut estate = Estate::new().await;
            occupy(&estate, "jobs", how, set, &tags);
            let before = inventory(&estate);
            let case = format!("{how:?} {set} {tags}");
            estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
            let plan = estate.plan().await;
            let error = refused(&estate, &plan).await;
            // CloudFormation cannot update a stack in such a state, so no flag helps.
            let way_out = match how {
                How::Created | How::ByChangeSet => "--adopt 'platform/jobs'",
                How::InReview => "it cannot be adopted: its status is REVIEW_IN_PROGRESS",
                How::RolledBack => "it cannot be adopted: its status is ROLLBACK_COMPLETE",
            };
            assert!(
                error.contains("CloudFormation stack acme-dev-platform-jobs exists already")
                    && error.contains(way_out)
                    && error.contains("declared at"),
                "{case}: {error}"
            );
            // A destroy reports the foreign stack and does not change it.
            estate.want("more", json!({"Queue": queue(1)}), json!({}));
            let plan = estate.destroy_plan().await;
            assert!(plan.is_empty(), "{case}: {}", shown(&plan));
            assert!(
                plan.leaves
                    .iter()
                    .any(|line| line.contains("acme-dev-platform-jobs is not deleted")),
                "{case}: {:?}",
                plan.leaves
            );
            let report = estate.try_apply(&plan).await.expect("the destroy must succeed");
            assert_eq!(report.leaves, plan.leaves);
            // Terrace does not delete the foreign stack when the component is no longer declared.
            estate.drop_component("jobs");
            estate.drop_component("more");
            assert_eq!(shown(&estate.plan().await), "no changes\n", "{case}");
            assert_eq!(inventory(&estate), before, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destroy_deletes_managed_stacks_and_leaves_the_others() {
    let mut estate = Estate::new().await;
    estate.want("more", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    occupy(
        &estate,
        "jobs",
        How::Created,
        "",
        &json!([{"Key": "team", "Value": "payments"}]),
    );
    let stack = estate.described("jobs");
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    let plan = estate.destroy_plan().await;
    expect![[r#"
        Delete acme-dev-platform-more (None): the environment is destroyed
          Delete platform/more/queue (None): its stack is deleted
    "#]]
    .assert_eq(&shown(&plan));
    let report = estate.try_apply(&plan).await.expect("the destroy must succeed");
    expect![[r#"
        CloudFormation stack acme-dev-platform-jobs is not deleted: this environment did not create it, and its tags are `team=payments`"#]]
    .assert_eq(&report.leaves.join("\n"));
    assert!(report.steps.iter().all(|(_, outcome)| *outcome == Outcome::Done));
    assert_eq!(estate.status("more"), "absent");
    assert_eq!(estate.described("jobs"), stack);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_another_user_recreated_is_foreign() {
    let copied =
        json!([{"Key": "terrace:stack", "Value": "acme.dev"}, {"Key": "terrace:component", "Value": "jobs"}]);
    for tags in [json!([{"Key": "team", "Value": "payments"}]), copied] {
        for lost in [false, true] {
            let mut estate = Estate::new().await;
            estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
            estate.want("more", json!({"Queue": queue(1)}), json!({}));
            estate.apply().await;
            let first = estate.plan().await;
            let delete = json!({"StackName": name("jobs")});
            estate.account.call("cloudformation", "delete_stack", delete);
            occupy(&estate, "jobs", How::Created, "", &tags);
            if lost {
                lose_the_store(&estate);
            }
            let before = inventory(&estate);
            // The component is unchanged, changed, dropped or destroyed. An older plan is stale.
            assert!(
                refused(&estate, &estate.plan().await)
                    .await
                    .contains("exists already")
            );
            estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
            assert!(
                refused(&estate, &estate.plan().await)
                    .await
                    .contains("exists already")
            );
            if !first.is_empty() {
                assert!(refused(&estate, &first).await.contains("stack id"));
            }
            estate.drop_component("jobs");
            let plan = estate.plan().await;
            assert!(plan.is_empty(), "{}", shown(&plan));
            if !lost {
                let notes = plan.notes.join("\n");
                assert!(notes.contains("acme-dev-platform-jobs is not deleted"), "{notes}");
            }
            assert_eq!(inventory(&estate), before);
            let plan = estate.destroy_plan().await;
            assert_eq!(plan.changes().count(), 1, "{}", shown(&plan));
            estate.try_apply(&plan).await.expect("the destroy must succeed");
            assert_eq!(estate.status("jobs"), "CREATE_COMPLETE");
            let tables = estate.account.call("dynamodb", "list_tables", json!({}));
            assert_eq!(tables["TableNames"], json!(["orders"]));
        }
    }
}

/// Deletes all objects of the environment's state store.
fn lose_the_store(estate: &Estate) {
    let bucket = format!("terrace-assets-{}-eu-west-1", estate.account.id());
    let all = json!({"Bucket": bucket, "Prefix": "environments/"});
    let listed = estate.account.call("s3", "list_objects_v2", all);
    for object in listed["Contents"].as_array().into_iter().flatten() {
        let object = json!({"Bucket": bucket, "Key": object["Key"]});
        estate.account.call("s3", "delete_object", object);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_the_state_store_loses_history_but_no_stack() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.want("bound", json!({"Queue": queue(1)}), json!({}));
    estate.want(
        "source",
        json!({"Queue": queue(1)}),
        json!({"Url": {"Value": {"Ref": "Queue"}}}),
    );
    estate.bind("bound", "Url", "source", "Url");
    estate.apply().await;
    occupy(
        &estate,
        "theirs",
        How::Created,
        "",
        &json!([{"Key": "terrace:stack", "Value": "acme.dev"}]),
    );
    let before = inventory(&estate);
    lose_the_store(&estate);
    let plan = estate.plan().await;
    assert!(plan.is_empty(), "{}", shown(&plan));
    // Foreign stacks are still foreign, and managed stacks can still be deleted.
    estate.drop_component("jobs");
    expect![[r#"
        Delete acme-dev-platform-jobs (None): no longer in the stack
          Delete platform/jobs/queue (None): its stack is deleted
    "#]]
    .assert_eq(&estate.shown().await);
    assert_eq!(inventory(&estate), before);
    let plan = estate.destroy_plan().await;
    estate.try_apply(&plan).await.expect("the destroy must succeed");
    for component in ["jobs", "bound", "source"] {
        assert_eq!(estate.status(component), "absent");
    }
    assert_eq!(estate.status("theirs"), "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn recognizes_a_failed_stack_without_the_state_store() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": held(queue(1))}), json!({}));
    estate.apply().await;
    // The creation of one stack and the update of the other are rolled back.
    for operation in ["create", "update"] {
        estate.account.fail(&fault(operation, "Queue", "no"));
    }
    estate.want("jobs", json!({"Queue": held(queue(2))}), json!({}));
    estate.want("more", json!({"Queue": queue(1)}), json!({}));
    let _ = estate.apply_fails().await;
    assert_eq!(estate.status("jobs"), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(estate.status("more"), "ROLLBACK_COMPLETE");
    lose_the_store(&estate);
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "UPDATE_COMPLETE");
    assert_eq!(estate.status("more"), "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_lost_its_tags_is_still_managed() {
    for dropped in [false, true] {
        let mut estate = Estate::new().await;
        estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
        estate.want("more", json!({"Queue": queue(1)}), json!({}));
        estate.apply().await;
        let update = json!({"StackName": name("jobs"), "UsePreviousTemplate": true,
                            "Tags": [{"Key": "team", "Value": "payments"}]});
        estate.account.call("cloudformation", "update_stack", update);
        if dropped {
            estate.drop_component("jobs");
            expect![[r#"
                Delete acme-dev-platform-jobs (None): no longer in the stack
                  Delete platform/jobs/queue (None): its stack is deleted
                  note: another user removed its tag `terrace:stack`; it still belongs to this environment, because the state store records its StackId
            "#]]
            .assert_eq(&estate.shown().await);
            estate.apply().await;
            assert_eq!(estate.status("jobs"), "absent");
            continue;
        }
        expect![[r#"
            Update acme-dev-platform-jobs (None): `Tags.team` and 2 other fields change
              Tags.team: "payments" -> -
              Tags.terrace:component: - -> "jobs"
              Tags.terrace:stack: - -> "acme.dev"
              note: another user removed its tag `terrace:stack`; it still belongs to this environment, because the state store records its StackId
        "#]]
        .assert_eq(&estate.shown().await);
        estate.apply().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_or_deletes_the_change_set_of_a_killed_run() {
    for wanted in [true, false] {
        let mut estate = Estate::new().await;
        let endpoint = estate.access.aws.endpoint.clone().unwrap();
        estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
        let proxy = Proxy::start(&endpoint, Cut::AfterThe("CreateChangeSet")).await;
        let mut broken = estate.access.clone();
        broken.aws.endpoint = Some(proxy.url.as_str().into());
        let plan = estate.plan().await;
        tokio::select! {
            _ = estate.apply_with(&plan, &broken, &|_| {}) => panic!("the apply was not killed"),
            () = proxy.dead() => {}
        }
        assert_eq!(estate.status("jobs"), "REVIEW_IN_PROGRESS");
        if wanted {
            estate.apply().await;
            assert_eq!(estate.status("jobs"), "CREATE_COMPLETE");
        } else {
            lose_the_store(&estate);
            let plan = estate.destroy_plan().await;
            assert_eq!(plan.leaves, [""; 0]);
            estate.try_apply(&plan).await.expect("the destroy must succeed");
            assert_eq!(estate.status("jobs"), "absent");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_refers_to_the_stack_by_its_id() {
    let mut estate = Estate::new().await;
    let endpoint = estate.access.aws.endpoint.clone().unwrap();
    let proxy = Proxy::start(&endpoint, Cut::Never).await;
    estate.access.aws.endpoint = Some(proxy.url.as_str().into());
    for seconds in [1, 2] {
        estate.want("jobs", json!({"Queue": queue(seconds)}), json!({}));
        let other = format!("LogicalResourceId/Other{seconds}");
        let policy = json!({"Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"},
            {"Effect": "Deny", "Principal": "*", "Action": "Update:*", "Resource": other}]});
        let stack = estate.wanted("jobs");
        stack.termination_protection = true;
        stack.policy = Some(terrace_artifact::Value::from_json(&policy));
        estate.apply().await;
    }
    estate.drop_component("jobs");
    estate.apply().await;
    let mut by_name = Vec::new();
    for body in proxy.bodies() {
        let field = |name: &str| {
            let mut fields = body.split('&').filter_map(|pair| pair.split_once('='));
            fields
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let action = field("Action").unwrap_or_default();
        let reads = ["Describe", "Get", "List"]
            .iter()
            .any(|verb| action.starts_with(verb));
        let Some(stack) = field("StackName").filter(|_| !reads) else {
            continue;
        };
        if !stack.starts_with("arn%3A") {
            by_name.push(format!("{action} {}", field("ChangeSetType").unwrap_or_default()));
        }
    }
    // A stack that does not exist yet has only a name.
    assert_eq!(by_name, ["CreateChangeSet CREATE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_write_a_stack_that_was_created_after_the_plan() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    let plan = estate.plan().await;
    occupy(&estate, "jobs", How::InReview, "console-ana", &json!([]));
    let before = inventory(&estate);
    let error = estate.try_apply(&plan).await.expect_err("the stack is foreign");
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(matches!(error, Error::Refused(Refusal::Stale(_))), "{error:?}");
    assert_eq!(inventory(&estate), before);
}

/// Deletes the stack of component `jobs`, and creates a foreign stack with its name and a copy of its tags.
fn replace_jobs(estate: &Estate) {
    let copied =
        json!([{"Key": "terrace:stack", "Value": "acme.dev"}, {"Key": "terrace:component", "Value": "jobs"}]);
    let delete = json!({"StackName": name("jobs")});
    estate.account.call("cloudformation", "delete_stack", delete);
    occupy(estate, "jobs", How::Created, "", &copied);
}

/// Deploys component `jobs` and returns a plan that updates it, or that destroys everything.
async fn with_a_plan(destroyed: bool) -> (Estate, Plan) {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    let plan = match destroyed {
        false => estate.plan().await,
        true => estate.destroy_plan().await,
    };
    (estate, plan)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_a_stack_that_was_recreated_is_stale() {
    for destroyed in [false, true] {
        let (estate, plan) = with_a_plan(destroyed).await;
        replace_jobs(&estate);
        let before = inventory(&estate);
        let error = refused(&estate, &plan).await;
        assert!(error.contains("`stack id` was"), "{error}");
        assert_eq!(inventory(&estate), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_change_a_stack_that_was_recreated_during_the_apply() {
    for destroyed in [false, true] {
        let (estate, plan) = with_a_plan(destroyed).await;
        // Replaces the stack after the apply has observed it and before the first write.
        let replace = |event: Event| {
            if matches!(event, Event::Begun { .. }) {
                replace_jobs(&estate);
            }
        };
        let applied = estate.apply_with(&plan, &estate.access, &replace).await;
        // The deletion succeeds, because the old stack no longer exists. The update fails.
        assert_eq!(applied.is_ok(), destroyed, "{applied:?}");
        assert_eq!(estate.status("jobs"), "CREATE_COMPLETE");
        let tables = estate.account.call("dynamodb", "list_tables", json!({}));
        assert_eq!(tables["TableNames"], json!(["orders"]));
        // The new stack is foreign afterwards.
        let plan = estate.destroy_plan().await;
        assert!(plan.is_empty(), "{}", shown(&plan));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modified_history_proves_nothing() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.want("more", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    // After an update by another user, only the state store proves the ownership of this stack.
    let template = json!({"Resources": {"Queue": queue(7)}}).to_string();
    let update = json!({"StackName": name("jobs"), "TemplateBody": template});
    estate.account.call("cloudformation", "update_stack", update);
    assert_eq!(estate.plan().await.changes().count(), 1);
    let bucket = format!("terrace-assets-{}-eu-west-1", estate.account.id());
    let key = "environments/acme.dev/ledger/00000001";
    let forged = json!({"Bucket": bucket, "Key": key, "Body": "{}"});
    let entry = json!({"Bucket": bucket, "Key": key});
    let kept = estate.account.call("s3", "get_object", entry)["Body"].clone();
    let changed = kept
        .as_str()
        .expect("an entry")
        .replace("ana@laptop", "eve@laptop");
    let mut object = forged;
    object["Body"] = changed.into();
    estate.account.call("s3", "put_object", object);
    let plan = estate.plan().await;
    let notes = plan.notes.join("\n");
    assert!(
        notes.contains("the history was changed, so Terrace does not use it"),
        "{notes}"
    );
    let error = refused(&estate, &plan).await;
    assert!(
        error.contains("CloudFormation stack acme-dev-platform-jobs exists already"),
        "{error}"
    );
    assert!(!error.contains("acme-dev-platform-more"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_recovery_record_does_not_change_a_foreign_stack() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    occupy(&estate, "theirs", How::Created, "", &json!([]));
    let theirs = estate.described("theirs").expect("a stack");
    let bucket = format!("terrace-assets-{}-eu-west-1", estate.account.id());
    let note = json!({"target": "aws", "artifact": format!("aws:{}", name("theirs")), "id": theirs["StackId"],
                      "what": "forged", "restore": {"protected": true, "policy": null}});
    let key = "environments/acme.dev/journal/1-0123456789abcdef";
    let object = json!({"Bucket": bucket, "Key": key, "Body": note.to_string()});
    estate.account.call("s3", "put_object", object);
    // Terrace reads recovery records only after a failed apply.
    estate.account.fail(&fault("update", "Queue", "no"));
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    let _ = estate.apply_fails().await;
    estate.apply().await;
    assert_eq!(estate.described("theirs").expect("a stack"), theirs);
}
