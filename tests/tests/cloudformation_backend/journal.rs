//! Tests that every apply restores the guards that a killed apply left relaxed.

use serde_json::{Value as Json, json};
use terrace_artifact::Value;
use terrace_deployer::{Event, Plan, PlanOptions, plan};
use terrace_tests::servers::Fault;

use crate::estate::{Estate, name, queue};
use crate::killed::through;
use crate::proxy::{Cut, Proxy};

fn table(name: &str) -> Json {
    json!({"Type": "AWS::DynamoDB::Table", "Metadata": {"holds": true}, "Properties": {
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}})
}

fn policy() -> Json {
    json!({"Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": ["Update:Replace", "Update:Delete"], "Resource": "LogicalResourceId/Table"}]})
}

fn guard(estate: &mut Estate) {
    let stack = estate.wanted("orders");
    stack.termination_protection = true;
    stack.policy = Some(Value::from_json(&policy()));
}

/// Declares a guarded table, and a queue that does not change.
async fn wanted() -> Estate {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.want("orders", json!({"Table": table("one")}), json!({}));
    guard(&mut estate);
    estate.approve("orders", "Table");
    estate
}

fn is_protected(estate: &Estate) -> bool {
    estate.described("orders").expect("a stack")["EnableTerminationProtection"] == true
}

fn live_policy(estate: &Estate) -> Json {
    let request = json!({"StackName": name("orders")});
    let response = estate.account.call("cloudformation", "get_stack_policy", request);
    let body = response["StackPolicyBody"].as_str();
    body.map_or(Json::Null, |body| serde_json::from_str(body).expect("JSON"))
}

/// Applies, and kills the apply after a request of this name has taken effect.
async fn killed_after(estate: &Estate, request: &'static str) {
    let upstream = estate.access.aws.endpoint.clone().expect("an endpoint");
    let proxy = Proxy::start(&upstream, Cut::AfterThe(request)).await;
    let plan = estate.plan().await;
    let access = through(&proxy, &estate.access, "killed");
    tokio::select! {
        () = proxy.dead() => {}
        applied = estate.apply_with(&plan, &access, &|_| {}) => panic!("the apply was not killed: {applied:?}"),
    }
}

/// Plans and applies only the queue. Returns the plan and the descriptions of the restored guards.
async fn apply_the_rest(estate: &Estate) -> (Plan, Vec<String>) {
    let mut options = PlanOptions::everything();
    options.only = vec!["platform/jobs".into()];
    let plan = plan(&estate.bundle, &estate.access, &options)
        .await
        .unwrap_or_else(|error| panic!("the plan failed: {error}"));
    let restored = std::sync::Mutex::new(Vec::new());
    let record = |event| {
        if let Event::Restoring { what } = event {
            restored.lock().expect("no panic").push(what);
        }
    };
    let applied = estate.apply_with(&plan, &estate.access, &record).await;
    applied.unwrap_or_else(|error| panic!("the apply failed: {error}"));
    (plan, restored.into_inner().expect("no panic"))
}

/// Returns the keys of the recovery records in the state store.
fn notes(estate: &Estate) -> Vec<String> {
    let bucket = format!(
        "terrace-assets-{}-{}",
        estate.account.id(),
        estate.account.region()
    );
    let request = json!({"Bucket": bucket, "Prefix": "environments/acme.dev/journal/"});
    let listed = estate.account.call("s3", "list_objects_v2", request);
    let all = listed["Contents"].as_array().cloned().unwrap_or_default();
    all.iter().map(|object| object["Key"].to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_termination_protection_that_was_disabled_for_a_deletion() {
    let mut estate = wanted().await;
    estate.apply().await;
    assert_eq!(notes(&estate), Vec::<String>::new(), "a recovery record remains");
    estate.drop_component("orders");
    killed_after(&estate, "UpdateTerminationProtection").await;
    assert!(!is_protected(&estate), "the protection is still enabled");
    assert_eq!(notes(&estate).len(), 1);

    // The plan of the next apply does not contain this stack.
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    let (plan, restored) = apply_the_rest(&estate).await;
    let what = "termination protection of `acme-dev-platform-orders`, disabled for its deletion";
    assert_eq!(restored, [what]);
    assert!(
        plan.notes.iter().any(|note| note.ends_with(what)),
        "{:?}",
        plan.notes
    );
    assert!(is_protected(&estate));
    assert_eq!(notes(&estate), Vec::<String>::new());

    // The plan of the deletion announces that it disables the protection again.
    assert!(
        estate
            .shown()
            .await
            .contains("its termination protection is disabled first")
    );
    estate.apply().await;
    assert_eq!(estate.status("orders"), "absent");
    assert_eq!(notes(&estate), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_a_stack_policy_that_was_relaxed_for_a_replacement() {
    for request in ["SetStackPolicy", "ExecuteChangeSet"] {
        let mut estate = wanted().await;
        estate.apply().await;
        estate.want("orders", json!({"Table": table("two")}), json!({}));
        guard(&mut estate);
        killed_after(&estate, request).await;
        assert_ne!(live_policy(&estate), policy(), "the policy was not relaxed");

        let (_, restored) = apply_the_rest(&estate).await;
        let what = "stack policy of `acme-dev-platform-orders`, relaxed for an approved change";
        assert_eq!(restored, [what]);
        assert_eq!(live_policy(&estate), policy(), "after {request}");
        estate.apply().await;
        let tables = estate.account.call("dynamodb", "list_tables", json!({}));
        assert_eq!(tables["TableNames"], json!(["two"]));
        assert_eq!(live_policy(&estate), policy());
        assert_eq!(notes(&estate), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_the_guards_that_an_interrupted_create_left_out() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    estate.want("orders", json!({"Table": table("one")}), json!({}));
    guard(&mut estate);
    estate.account.delay(std::time::Duration::from_millis(500));
    killed_after(&estate, "ExecuteChangeSet").await;
    assert!(!is_protected(&estate), "the guards are already set");
    let (_, restored) = apply_the_rest(&estate).await;
    let what =
        "termination protection and stack policy of `acme-dev-platform-orders`, to be set after its creation";
    assert_eq!(restored, [what]);
    assert_eq!((is_protected(&estate), live_policy(&estate)), (true, policy()));
    estate.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_change_leaves_no_recovery_record() {
    let mut estate = wanted().await;
    estate.apply().await;
    estate.account.fail(&Fault {
        operation: "create",
        logical_id: "Table",
        reason: "the limit of tables is reached",
        ..Fault::default()
    });
    estate.want("orders", json!({"Table": table("two")}), json!({}));
    guard(&mut estate);
    let error = estate.apply_fails().await;
    assert!(error.contains("the limit of tables is reached"), "{error}");
    assert_eq!(estate.status("orders"), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(live_policy(&estate), policy());
    assert_eq!(notes(&estate), Vec::<String>::new());
}
