//! Tests that foreign resources and unprotected data in a managed stack are deleted only with approval by name.

use serde_json::{Value as Json, json};
use terrace_deployer::{Error, Plan, Refusal};

use crate::estate::{Estate, fault, name, queue};

/// Returns a table with the marks that the compiler gives to a resource with data.
fn table(name: &str) -> Json {
    json!({"Type": "AWS::DynamoDB::Table", "Metadata": {"holds": true}, "DeletionPolicy": "Retain", "Properties": {
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}})
}

/// Updates the stack of component `jobs` as another user.
fn edit(estate: &Estate, edit: impl Fn(&mut Json)) {
    let of = json!({"StackName": name("jobs")});
    let template = estate.account.call("cloudformation", "get_template", of)["TemplateBody"].clone();
    let mut template = match template {
        Json::String(text) => serde_json::from_str(&text).expect("a template"),
        template => template,
    };
    edit(&mut template["Resources"]);
    let update = json!({"StackName": name("jobs"), "TemplateBody": template.to_string()});
    estate.account.call("cloudformation", "update_stack", update);
}

fn tables(estate: &Estate) -> Json {
    estate.account.call("dynamodb", "list_tables", json!({}))["TableNames"].clone()
}

/// The deleted resource, and the address that approves its deletion.
const ORDERS: [&str; 2] = [
    "AWS::DynamoDB::Table `Orders` (orders), which this environment did not create",
    r#"platform/jobs/Stack["Orders"]"#,
];
const TABLE: [&str; 2] = [
    "AWS::DynamoDB::Table `Table` (orders), which holds data and is no longer protected, because another user changed the template of the stack",
    "platform/jobs/table",
];

/// Checks that a plan is refused for one resource, with exactly this message.
async fn is_refused_for(estate: &Estate, plan: &Plan, [resource, address]: [&str; 2]) {
    let error = estate
        .try_apply(plan)
        .await
        .expect_err("the apply must be refused");
    assert!(
        matches!(error, Error::Refused(Refusal::DataLoss { .. })),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), 4);
    let expected = format!(
        "the plan would lose data without your approval; nothing was changed\n  {resource}: deleted together with CloudFormation stack acme-dev-platform-jobs\n  \
         help: to approve each change, add these options:\n    --approve '{address}'"
    );
    assert_eq!(error.to_string(), expected);
}

/// Removes everything from a resource that protects its data.
fn drop_guards(resource: &mut Json) {
    let resource = resource.as_object_mut().expect("a resource");
    resource.retain(|key, _| key == "Type" || key == "Properties");
}

/// Deploys component `jobs` with a queue and a table. Then another user removes the guards of the table.
async fn with_an_unguarded_table() -> Estate {
    let mut estate = Estate::new().await;
    let resources = json!({"Queue": queue(1), "Table": table("orders")});
    estate.want("jobs", resources, json!({}));
    estate.apply().await;
    edit(&estate, |resources| drop_guards(&mut resources["Table"]));
    estate
}

/// Deploys component `jobs`. Then another user adds a table to its stack.
async fn with_a_foreign_table() -> Estate {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    edit(&estate, |resources| {
        resources["Orders"] = table("orders");
        drop_guards(&mut resources["Orders"]);
    });
    assert_eq!(tables(&estate), json!(["orders"]));
    estate
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_does_not_delete_resources_that_another_user_added() {
    let mut estate = with_a_foreign_table().await;
    for seconds in [1, 2] {
        estate.want("jobs", json!({"Queue": queue(seconds)}), json!({}));
        let plan = estate.plan().await;
        is_refused_for(&estate, &plan, ORDERS).await;
        assert_eq!(tables(&estate), json!(["orders"]));
    }
    estate
        .approved
        .insert(r#"platform/jobs/Stack["Orders"]"#.parse().unwrap());
    estate.apply().await;
    assert_eq!(tables(&estate), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_delete_a_stack_with_resources_that_another_user_added() {
    for destroyed in [false, true] {
        let mut estate = with_a_foreign_table().await;
        let plan = if destroyed {
            estate.destroy_plan().await
        } else {
            estate.drop_component("jobs");
            estate.plan().await
        };
        is_refused_for(&estate, &plan, ORDERS).await;
        assert_eq!(estate.status("jobs"), "UPDATE_COMPLETE");
        assert_eq!(tables(&estate), json!(["orders"]));
        estate
            .approved
            .insert(r#"platform/jobs/Stack["Orders"]"#.parse().unwrap());
        estate.try_apply(&plan).await.expect("the apply is approved");
        assert_eq!(estate.status("jobs"), "absent");
        assert_eq!(tables(&estate), json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_delete_resources_that_were_added_after_the_plan() {
    for destroyed in [false, true] {
        let mut estate = with_a_foreign_table().await;
        edit(&estate, |resources| {
            resources.as_object_mut().expect("resources").remove("Orders");
        });
        let plan = if destroyed {
            estate.destroy_plan().await
        } else {
            estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
            estate.plan().await
        };
        edit(&estate, |resources| {
            resources["Orders"] = table("orders");
            drop_guards(&mut resources["Orders"]);
        });
        let error = estate.try_apply(&plan).await.expect_err("the plan is stale");
        assert!(matches!(error, Error::Refused(Refusal::Stale(_))), "{error:?}");
        assert_eq!(tables(&estate), json!(["orders"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn protects_data_after_another_user_removed_the_marks() {
    for how in ["removed", "dropped", "destroyed"] {
        let mut estate = with_an_unguarded_table().await;
        let plan = match how {
            "removed" => {
                estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
                estate.plan().await
            }
            "dropped" => {
                estate.drop_component("jobs");
                estate.plan().await
            }
            _ => estate.destroy_plan().await,
        };
        is_refused_for(&estate, &plan, TABLE).await;
        assert_eq!(tables(&estate), json!(["orders"]), "{how}");
        estate.approve("jobs", "Table");
        estate.try_apply(&plan).await.expect("the apply is approved");
        assert_eq!(tables(&estate), json!([]), "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_guards_that_another_user_removed() {
    let estate = with_an_unguarded_table().await;
    estate.apply().await;
    let of = json!({"StackName": name("jobs")});
    let template = estate.account.call("cloudformation", "get_template", of)["TemplateBody"].to_string();
    assert!(
        template.contains("DeletionPolicy") && template.contains("holds-data"),
        "{template}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_of_a_rolled_back_update_are_still_managed() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1), "Old": queue(1)}), json!({}));
    estate.apply().await;
    estate.account.fail(&fault("update", "Queue", "no"));
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    let _ = estate.apply_fails().await;
    assert_eq!(estate.status("jobs"), "UPDATE_ROLLBACK_COMPLETE");
    // After the rollback, the stack has the previous template of Terrace. None of its resources is foreign.
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "UPDATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_replace_a_foreign_resource_that_a_component_declares_later() {
    let mut estate = with_a_foreign_table().await;
    let mut other = table("others");
    other["Metadata"] = json!({});
    estate.want("jobs", json!({"Queue": queue(1), "Orders": other}), json!({}));
    let plan = estate.plan().await;
    let error = estate
        .try_apply(&plan)
        .await
        .expect_err("the apply must be refused")
        .to_string();
    assert!(
        error.contains("`Orders` (orders), which this environment did not create"),
        "{error}"
    );
    assert!(error.contains("--approve 'platform/jobs/orders'"), "{error}");
    assert_eq!(tables(&estate), json!(["orders"]));
    // Without a replacement, the plan notes that this environment manages the table from now on.
    let mut same = table("orders");
    same["Properties"]["Tags"] = json!([{"Key": "team", "Value": "sales"}]);
    estate.want("jobs", json!({"Queue": queue(1), "Orders": same}), json!({}));
    let shown = estate.shown().await;
    assert!(
        shown.contains("note: `Orders`: another user added it to the CloudFormation stack; Terrace manages it from now on"),
        "{shown}"
    );
    estate.apply().await;
    assert_eq!(tables(&estate), json!(["orders"]));
}
