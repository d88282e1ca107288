"""The events of a stack in AWS's order and wording: no events for unchanged resources, the cleanup phase, the reasons."""

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, stacks

from .patching import patch, replace

STACK = "AWS::CloudFormation::Stack"
CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
STARTED_BY_USER = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS")

# The keys of a stack during an update: new logical ids, delayed events, and whether the cleanup phase has an event.
ADDED, HELD, CLEANING = "_endpoint_added", "_endpoint_held", "_endpoint_cleaning"


@patch
def events():
    """Corrects each event as it is recorded."""
    record = stacks._add_event
    update_before, delete_before = stacks._update_keeping_seed, stacks._delete_resource

    def release(stack, logical_id):
        """Records the event that was delayed until the resource changes."""
        if logical_id in stack.get(HELD, {}):
            resource_type, _ = stack[HELD].pop(logical_id)
            physical_id = stack["_resources"].get(logical_id, {}).get("PhysicalResourceId", "")
            record(
                stack["StackId"], stack["StackName"], logical_id, resource_type, "UPDATE_IN_PROGRESS", "", physical_id
            )

    def update(resource_type, physical_id, old, new, stack_name, logical_id=None, attributes=None):
        stack = cloudformation._stacks.get(stack_name)
        if stack is not None and old != new:
            release(stack, logical_id)
        return update_before(resource_type, physical_id, old, new, stack_name, logical_id, attributes)

    def add(stack_id, stack_name, logical_id, resource_type, status, reason="", physical_id="", detailed_status=""):
        stack = cloudformation._stacks.get(stack_name)
        if stack is not None and stack.get("StackId") == stack_id and logical_id != stack_name:
            status = resource_event(stack, logical_id, resource_type, status, reason)
            if status is None:
                return
            if status == "CREATE_COMPLETE":
                started = "CREATE_IN_PROGRESS", "Resource creation Initiated"
                record(stack_id, stack_name, logical_id, resource_type, *started, physical_id)
        elif stack is not None and resource_type == STACK and logical_id == stack_name:
            reason = stack_event(stack, stack_id, status, reason)
        record(stack_id, stack_name, logical_id, resource_type, status, reason, physical_id, detailed_status)

    def resource_event(stack, logical_id, resource_type, status, reason):
        """Returns the status to record, or None if AWS records nothing (yet)."""
        if stack["StackStatus"] != "UPDATE_IN_PROGRESS":
            return status
        resources = stack.get("_resources", {})
        added, held = stack.setdefault(ADDED, set()), stack.setdefault(HELD, {})
        if logical_id in resources and logical_id not in added:
            resource = resources[logical_id]
            if status == "UPDATE_IN_PROGRESS" and not reason:
                kept = ("ResourceStatus", "ResourceStatusReason", "Timestamp")
                held[logical_id] = (resource_type, {key: resource.get(key) for key in kept if key in resource})
                return None
            if status == "UPDATE_IN_PROGRESS":
                held.pop(logical_id, None)
            if status == "UPDATE_COMPLETE" and logical_id in held:
                resource.update(held.pop(logical_id)[1])
                return None
            if status == "UPDATE_FAILED":
                release(stack, logical_id)
        if status == "UPDATE_IN_PROGRESS" and logical_id not in resources:
            added.add(logical_id)
        if logical_id in added and status.startswith("UPDATE_"):
            status = status.replace("UPDATE_", "CREATE_", 1)
            if status == "CREATE_COMPLETE" and resources.get(logical_id) is not None:
                resources[logical_id]["ResourceStatus"] = status
        return status

    def stack_event(stack, stack_id, status, reason):
        """Returns the reason to record."""
        if status in STARTED_BY_USER and not reason:
            reason = "User Initiated"
        if status == "UPDATE_IN_PROGRESS":
            stack[ADDED], stack[HELD] = set(), {}
            stack.pop(CLEANING, None)
        if status == "UPDATE_COMPLETE" and not stack.pop(CLEANING, None):
            record(stack_id, stack["StackName"], stack["StackName"], STACK, CLEANUP, "", stack_id)
        if status in ("ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS") and reason == "Rollback requested":
            reason = rollback_reason(stack, stack_id, status) or reason
            stack["StackStatusReason"] = reason
        if status.endswith("_COMPLETE") and "ROLLBACK" not in status:
            stack["StackStatusReason"] = ""
        return reason

    def delete(resource_type, physical_id, properties, stack_name=None, logical_id=None):
        stack = cloudformation._stacks.get(stack_name) if stack_name else None
        if stack is None or stack["StackStatus"] != "UPDATE_IN_PROGRESS":
            return delete_before(resource_type, physical_id, properties, stack_name, logical_id)
        stack_id = stack["StackId"]
        if not stack.get(CLEANING):
            stack[CLEANING] = True
            stacks._add_event(stack_id, stack_name, stack_name, STACK, CLEANUP, "", stack_id)
        stacks._add_event(stack_id, stack_name, logical_id, resource_type, "DELETE_IN_PROGRESS", "", physical_id)
        result = delete_before(resource_type, physical_id, properties, stack_name, logical_id)
        stacks._add_event(stack_id, stack_name, logical_id, resource_type, "DELETE_COMPLETE", "", physical_id)
        return result

    stacks._update_keeping_seed, stacks._delete_resource = update, delete
    replace("_add_event", add, stacks, changesets, handlers)


def rollback_reason(stack, stack_id, status):
    """Returns a reason that lists the resources that failed since the start of the operation."""
    failed = []
    for event in reversed(cloudformation._stack_events.get(stack_id, [])):
        if event["LogicalResourceId"] == stack["StackName"]:
            break
        if event["ResourceStatus"].endswith("_FAILED"):
            failed.insert(0, event["LogicalResourceId"])
    if not failed:
        return None
    creating = status == "ROLLBACK_IN_PROGRESS"
    reason = f"The following resource(s) failed to {'create' if creating else 'update'}: [{', '.join(failed)}]. "
    return reason + "Rollback requested by user." if creating else reason
