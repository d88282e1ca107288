//! What an apply that was killed left open is put back by the next one, whatever that one is for.

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

/// A guarded table is wanted, beside a queue that nobody touches.
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
    let asked = json!({"StackName": name("orders")});
    let answer = estate.account.call("cloudformation", "get_stack_policy", asked);
    let body = answer["StackPolicyBody"].as_str();
    body.map_or(Json::Null, |body| serde_json::from_str(body).expect("JSON"))
}

/// Applies, and is killed when a request of this name has taken effect.
async fn killed_after(estate: &Estate, request: &'static str) {
    let upstream = estate.access.aws.endpoint.clone().expect("an endpoint");
    let proxy = Proxy::start(&upstream, Cut::AfterThe(request)).await;
    let plan = estate.plan().await;
    let access = through(&proxy, &estate.access, "killed");
    tokio::select! {
        () = proxy.dead() => {}
        applied = estate.apply_with(&plan, &access, &|_| {}) => panic!("not killed: {applied:?}"),
    }
}

/// Plans and applies what is wanted of the queue, and nothing else; gives what was put right before.
async fn apply_the_rest(estate: &Estate) -> (Plan, Vec<String>) {
    let mut options = PlanOptions::everything();
    options.only = vec!["platform/jobs".into()];
    let plan = plan(&estate.bundle, &estate.access, &options)
        .await
        .unwrap_or_else(|error| panic!("no plan: {error}"));
    let restored = std::sync::Mutex::new(Vec::new());
    let tell = |event| {
        if let Event::Restoring { what } = event {
            restored.lock().expect("nobody panicked").push(what);
        }
    };
    let applied = estate.apply_with(&plan, &estate.access, &tell).await;
    applied.unwrap_or_else(|error| panic!("not applied: {error}"));
    (plan, restored.into_inner().expect("nobody panicked"))
}

/// The keys of the notes in the home.
fn notes(estate: &Estate) -> Vec<String> {
    let bucket = format!(
        "terrace-assets-{}-{}",
        estate.account.id(),
        estate.account.region()
    );
    let asked = json!({"Bucket": bucket, "Prefix": "environments/acme.dev/journal/"});
    let listed = estate.account.call("s3", "list_objects_v2", asked);
    let all = listed["Contents"].as_array().cloned().unwrap_or_default();
    all.iter().map(|object| object["Key"].to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn protection_that_was_lifted_for_a_deletion_is_put_back() {
    let mut estate = wanted().await;
    estate.apply().await;
    assert_eq!(notes(&estate), Vec::<String>::new(), "nothing is left open");
    estate.drop_component("orders");
    killed_after(&estate, "UpdateTerminationProtection").await;
    assert!(!is_protected(&estate), "it was lifted");
    assert_eq!(notes(&estate).len(), 1);

    // What comes next is not about this stack: it is not even in the plan.
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    let (plan, restored) = apply_the_rest(&estate).await;
    let what = "termination protection of `acme-dev-platform-orders`, lifted for its deletion";
    assert_eq!(restored, [what]);
    assert!(
        plan.notes.iter().any(|note| note.ends_with(what)),
        "{:?}",
        plan.notes
    );
    assert!(is_protected(&estate));
    assert_eq!(notes(&estate), Vec::<String>::new());

    // And the deletion, when it is applied after all, says that it lifts it again.
    assert!(
        estate
            .shown()
            .await
            .contains("its termination protection is lifted first")
    );
    estate.apply().await;
    assert_eq!(estate.status("orders"), "absent");
    assert_eq!(notes(&estate), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_was_opened_for_a_replacement_is_put_back() {
    for request in ["SetStackPolicy", "ExecuteChangeSet"] {
        let mut estate = wanted().await;
        estate.apply().await;
        estate.want("orders", json!({"Table": table("two")}), json!({}));
        guard(&mut estate);
        killed_after(&estate, request).await;
        assert_ne!(live_policy(&estate), policy(), "it was opened");

        let (_, restored) = apply_the_rest(&estate).await;
        let what = "stack policy of `acme-dev-platform-orders`, opened for an approved change";
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
async fn guards_that_were_not_set_yet_are_set() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    estate.want("orders", json!({"Table": table("one")}), json!({}));
    guard(&mut estate);
    estate.account.delay(std::time::Duration::from_millis(500));
    killed_after(&estate, "ExecuteChangeSet").await;
    assert!(!is_protected(&estate), "it is still being created");
    let (_, restored) = apply_the_rest(&estate).await;
    let what =
        "termination protection and stack policy of `acme-dev-platform-orders`, to be set once it stands";
    assert_eq!(restored, [what]);
    assert_eq!((is_protected(&estate), live_policy(&estate)), (true, policy()));
    estate.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_leaves_nothing_open() {
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
