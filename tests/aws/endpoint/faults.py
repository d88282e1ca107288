"""Faults and delays of resource operations that tests request, and conflicts of resource names."""

import os
import time
from fnmatch import fnmatch

from ministack.core.responses import get_account_id, get_region
from ministack.services import (
    athena,
    cloudformation,
    cloudwatch,
    cloudwatch_logs,
    dynamodb,
    firehose,
    iam,
    kinesis,
    lambda_svc,
    secretsmanager,
    sns,
    sqs,
    stepfunctions,
)
from ministack.services.cloudformation import provisioners, stacks

from .patching import patch

# {"op": create|update|delete|revert, "account", "type", "logical", "stack": patterns, "reason": text, "times": number}
FAULTS = []

# The delay of each operation on a resource in seconds, by account. "*" applies to all other accounts.
DELAYS = {}


def reset():
    """Removes all faults, and sets the delay of ENDPOINT_DELAY."""
    FAULTS.clear()
    DELAYS.clear()
    DELAYS["*"] = float(os.environ.get("ENDPOINT_DELAY", "0"))


reset()


@patch
def conflicts_faults_delays():
    """Applies delays and faults before each operation, and rejects names that exist."""
    create_before, update_before = stacks._provision_keeping_seed, stacks._update_keeping_seed
    delete_before, revert_before = stacks._delete_resource, stacks._update_resource
    on_thread_before = stacks._runs_on_worker_thread

    def create(resource_type, logical_id, properties, stack_name):
        _gate("create", resource_type, logical_id, stack_name)
        name = properties.get(NAMES[resource_type]) if resource_type in NAMES else None
        if isinstance(name, str) and _exists(resource_type, name):
            raise ValueError(f"Resource of type '{resource_type}' with identifier '{name}' already exists.")
        return create_before(resource_type, logical_id, properties, stack_name)

    def update(resource_type, physical_id, old, new, stack_name, logical_id=None, attributes=None):
        if old != new:
            operation = "create" if provisioners._replacing_change(resource_type, old, new) else "update"
            _gate(operation, resource_type, logical_id, stack_name)
        return update_before(resource_type, physical_id, old, new, stack_name, logical_id, attributes)

    def delete(resource_type, physical_id, properties, stack_name=None, logical_id=None):
        _gate("delete", resource_type, logical_id, stack_name)
        return delete_before(resource_type, physical_id, properties, stack_name, logical_id)

    def revert(resource_type, physical_id, old, new, stack_name, logical_id=None, attributes=None):
        if "ROLLBACK" in (cloudformation._stacks.get(stack_name) or {}).get("StackStatus", ""):
            _gate("revert", resource_type, logical_id, stack_name)
        return revert_before(resource_type, physical_id, old, new, stack_name, logical_id, attributes)

    stacks._provision_keeping_seed, stacks._update_keeping_seed = create, update
    stacks._delete_resource, stacks._update_resource = delete, revert
    stacks._runs_on_worker_thread = lambda template: bool(_delay()) or on_thread_before(template)


def _delay():
    return DELAYS.get(get_account_id(), DELAYS["*"])


def _gate(operation, resource_type, logical_id, stack_name):
    if _delay():
        time.sleep(_delay())
    about = {"account": get_account_id(), "type": resource_type, "logical": logical_id, "stack": stack_name}
    for fault in list(FAULTS):
        if fault.get("op", "create") != operation:
            continue
        if not all(fnmatch(str(value or ""), fault.get(key, "*")) for key, value in about.items()):
            continue
        if "times" in fault:
            fault["times"] -= 1
            if fault["times"] <= 0:
                FAULTS.remove(fault)
        raise ValueError(fault.get("reason", "Internal Failure"))


# The property with the resource's name, for types where ministack allows duplicate names.
NAMES = {
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Kinesis::Stream": "Name",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::Athena::WorkGroup": "Name",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamName",
}


def _exists(resource_type, name):
    if resource_type == "AWS::IAM::ManagedPolicy":
        return _any_ends_with(iam._policies, f":policy/{name}")
    if resource_type == "AWS::StepFunctions::StateMachine":
        return _any_ends_with(stepfunctions._state_machines, f":stateMachine:{name}")
    if resource_type == "AWS::SQS::Queue":
        return sqs._queue_url(name) in sqs._queues
    if resource_type == "AWS::SNS::Topic":
        return f"arn:aws:sns:{get_region()}:{get_account_id()}:{name}" in sns._topics
    by_name = {
        "AWS::IAM::Role": iam._roles,
        "AWS::Logs::LogGroup": cloudwatch_logs._log_groups,
        "AWS::Kinesis::Stream": kinesis._streams,
        "AWS::DynamoDB::Table": dynamodb._tables,
        "AWS::Lambda::Function": lambda_svc._functions,
        "AWS::CloudWatch::Alarm": cloudwatch._alarms,
        "AWS::CloudWatch::Dashboard": cloudwatch._dashboards,
        "AWS::Athena::WorkGroup": athena._workgroups,
        "AWS::SecretsManager::Secret": secretsmanager._secrets,
        "AWS::KinesisFirehose::DeliveryStream": firehose._streams,
    }
    return name in by_name[resource_type]


def _any_ends_with(store, end):
    return any(str(key).endswith(end) for key in list(store.keys()))
