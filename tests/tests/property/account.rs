//! Foreign acts in the account.

use serde_json::{Value as Json, json};
use terrace_tests::servers::Fault;

use crate::foreign::{Act, Scene};
use crate::stack::{Shape, Stack};

/// Runs a random act in the account. Returns `None` if that is not possible now.
pub(crate) fn act(scene: &mut Scene<'_, '_>) -> Option<Act> {
    match scene.random.below(14) {
        0..=3 => squat(scene),
        4..=5 => add_to_ours(scene),
        6 => recreate(scene),
        7..=8 => strip(scene),
        9 => delete(scene),
        10..=11 => loose(scene),
        12 => squat_bucket(scene),
        _ => lose_state(scene),
    }
}

fn call(scene: &Scene<'_, '_>, operation: &str, parameters: Json) -> Option<Json> {
    let account = &scene.world.account;
    account.try_call("cloudformation", operation, parameters).ok()
}

/// Returns the name of a component's stack, and the address of the component.
fn component(scene: &mut Scene<'_, '_>) -> Option<(String, String)> {
    let parts = scene.stack.parts.iter().map(|part| part.shape);
    let shapes: Vec<&Shape> = parts
        .filter(|shape| shape.objects.is_empty() && Stack::fits(shape, scene.environment))
        .collect();
    let shape = *scene.random.of(&shapes);
    let owner = if shape.of_tenants {
        scene.random.of(&scene.stack.tenants).clone()
    } else {
        "platform".to_owned()
    };
    let (id, environment) = (&scene.stack.id, scene.environment.name);
    Some((
        format!("{id}-{environment}-{owner}-{}", shape.name),
        format!("{owner}/{}", shape.name),
    ))
}

/// Returns the name of one of our stacks that exists.
fn one_of_ours(scene: &mut Scene<'_, '_>) -> Option<(String, String)> {
    let (name, address) = component(scene)?;
    let owned = scene
        .ours
        .iter()
        .any(|key| key.starts_with("account cloudformation.") && key.contains(&name));
    owned.then_some((name, address))
}

/// Returns a template with a topic and a queue, whose names contain this number.
fn theirs(scene: &Scene<'_, '_>, number: usize) -> Json {
    let id = &scene.stack.id;
    json!({"Resources": {
        "Orders": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": format!("{id}-orders-{number}")}},
        "Letters": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": format!("{id}-letters-{number}")}},
    }})
}

/// Returns the tags of a foreign stack: none, those of Terrace, or those of another environment.
fn tags(scene: &mut Scene<'_, '_>) -> Json {
    let id = &scene.stack.id;
    let own = format!("{id}.{}", scene.environment.name);
    match scene.random.below(3) {
        0 => json!([{"Key": "terrace:stack", "Value": own}]),
        1 => json!([{"Key": "terrace:stack", "Value": format!("other-{id}.live")}]),
        _ => json!([]),
    }
}

/// Creates a foreign stack with one of our names, in a random state.
fn squat(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let (name, address) = component(scene)?;
    let number = scene.random.below(1000);
    let (template, tags) = (theirs(scene, number).to_string(), tags(scene));
    let set = json!({"StackName": name, "ChangeSetName": "by-hand", "ChangeSetType": "CREATE", "TemplateBody": template, "Tags": tags});
    let state = match scene.random.below(4) {
        0 => {
            call(scene, "create_change_set", set)?;
            "REVIEW_IN_PROGRESS"
        }
        1 => {
            call(scene, "create_change_set", set)?;
            call(
                scene,
                "execute_change_set",
                json!({"StackName": name, "ChangeSetName": "by-hand"}),
            )?;
            "created by a change set"
        }
        2 => {
            scene.world.account.fail(&Fault {
                operation: "create",
                logical_id: "Orders",
                stack: &name,
                reason: "no",
                times: 1,
                ..Fault::default()
            });
            call(
                scene,
                "create_stack",
                json!({"StackName": name, "TemplateBody": template, "Tags": tags}),
            )?;
            "rolled back"
        }
        _ => {
            call(
                scene,
                "create_stack",
                json!({"StackName": name, "TemplateBody": template, "Tags": tags}),
            )?;
            "created"
        }
    };
    Act::taking(
        format!("squat stack {name} ({state}), tags {tags}"),
        scene.environment,
        address,
    )
}

/// Updates one of our stacks and adds foreign resources to it.
fn add_to_ours(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let (name, _) = one_of_ours(scene)?;
    let number = scene.random.below(1000);
    let mut template = template(scene, &name)?;
    let added = theirs(scene, number);
    for (logical, resource) in added["Resources"].as_object()? {
        template["Resources"][logical] = resource.clone();
    }
    call(
        scene,
        "update_stack",
        json!({"StackName": name, "TemplateBody": template.to_string()}),
    )?;
    Act::new(format!("update-stack {name} with resources of number {number}"))
}

fn template(scene: &Scene<'_, '_>, name: &str) -> Option<Json> {
    let found = call(
        scene,
        "get_template",
        json!({"StackName": name, "TemplateStage": "Original"}),
    )?;
    match &found["TemplateBody"] {
        Json::String(text) => serde_json::from_str(text).ok(),
        object => Some(object.clone()),
    }
}

/// Deletes one of our stacks with its resources, unless they are retained.
fn delete(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let (name, _) = one_of_ours(scene)?;
    drop_stack(scene, &name)?;
    Act::new(format!("delete stack {name}"))
}

fn drop_stack(scene: &Scene<'_, '_>, name: &str) -> Option<()> {
    let open = json!({"StackName": name, "EnableTerminationProtection": false});
    call(scene, "update_termination_protection", open)?;
    call(scene, "delete_stack", json!({"StackName": name}))?;
    let gone = call(scene, "describe_stacks", json!({"StackName": name})).is_none();
    gone.then_some(())
}

/// Deletes one of our stacks and creates a foreign stack with its name.
fn recreate(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let (name, address) = one_of_ours(scene)?;
    drop_stack(scene, &name)?;
    let (template, tags) = (theirs(scene, 0).to_string(), tags(scene));
    call(
        scene,
        "create_stack",
        json!({"StackName": name, "TemplateBody": template, "Tags": tags}),
    )?;
    Act::taking(
        format!("recreate stack {name}, tags {tags}"),
        scene.environment,
        address,
    )
}

/// Removes our tags from one of our stacks.
fn strip(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let (name, _) = one_of_ours(scene)?;
    let stripped =
        json!({"StackName": name, "UsePreviousTemplate": true, "Tags": [{"Key": "team", "Value": "theirs"}]});
    call(scene, "update_stack", stripped)?;
    Act::new(format!("strip tags of stack {name}"))
}

/// Creates a resource outside of all stacks, with one of our names.
fn loose(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let (name, _) = component(scene)?;
    let account = &scene.world.account;
    let bucket = format!("{name}-{}", account.id());
    let (service, operation, parameters) = match scene.random.below(4) {
        0 => ("sqs", "create_queue", json!({"QueueName": name})),
        1 => ("sns", "create_topic", json!({"Name": name})),
        2 => (
            "logs",
            "create_log_group",
            json!({"logGroupName": format!("/{name}")}),
        ),
        _ => (
            "s3",
            "create_bucket",
            json!({"Bucket": bucket, "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}),
        ),
    };
    account.try_call(service, operation, parameters).ok()?;
    Act::new(format!("{operation} {name} outside of all stacks"))
}

/// Creates the bucket of our state store in an account of another owner.
fn squat_bucket(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let bucket = state_bucket(scene);
    let place = json!({"Bucket": bucket, "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}});
    let open = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*",
        "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")]}]});
    let other = &scene.world.other;
    other.try_call("s3", "create_bucket", place).ok()?;
    other
        .try_call(
            "s3",
            "put_bucket_policy",
            json!({"Bucket": bucket, "Policy": open.to_string()}),
        )
        .ok()?;
    Act::new("another account creates the state bucket")
}

/// Deletes the state store.
fn lose_state(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let account = &scene.world.account;
    let bucket = state_bucket(scene);
    let listed = account
        .try_call("s3", "list_objects_v2", json!({"Bucket": bucket}))
        .ok()?;
    for object in listed["Contents"].as_array()? {
        let _ = account.try_call(
            "s3",
            "delete_object",
            json!({"Bucket": bucket, "Key": object["Key"]}),
        );
    }
    Act::new("lose the state store")
}

fn state_bucket(scene: &Scene<'_, '_>) -> String {
    format!("terrace-assets-{}-eu-west-1", scene.world.account.id())
}
