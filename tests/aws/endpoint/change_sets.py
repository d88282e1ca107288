"""The operations on change sets that AWS allows in each stack status, and the fields that a stack keeps from them."""

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, engine, handlers, helpers

from .patching import patch
from .property_values import complete

UPDATABLE = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "CREATE_FAILED",
    "UPDATE_FAILED",
}
NOT_DELETABLE = {
    "UPDATE_IN_PROGRESS",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "ROLLBACK_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "IMPORT_IN_PROGRESS",
}


@patch
def creating_change_sets():
    """Rejects creation by stack status, and keeps one stack id for all change sets of a stack in review."""
    before = changesets._create_change_set

    def create(params):
        name, kind = helpers._p(params, "StackName"), helpers._p(params, "ChangeSetType", "UPDATE")
        stack = handlers._resolve_stack(name) if name else None
        refusal = _refusal(params, stack, kind)
        if refusal:
            return helpers._error("ValidationError", refusal)
        if stack and kind != "CREATE":
            # ministack looks up the change set by the given stack name, which may be the stack's id.
            params = params | {"StackName": [stack["StackName"]]}
        in_review = stack if stack and kind == "CREATE" and stack["StackStatus"] == "REVIEW_IN_PROGRESS" else None
        events = list(cloudformation._stack_events.get(in_review["StackId"], [])) if in_review else []
        answer = before(params)
        if in_review:
            answer = _keep_stack(name, in_review, events, answer)
        if answer[0] == 200:
            change_set = _named(helpers._p(params, "ChangeSetName"), (stack or {}).get("StackName", name))
            if change_set:
                complete(change_set, cloudformation._stacks.get(change_set["StackName"]))
        return answer

    changesets._create_change_set = create
    handlers._ACTION_HANDLERS["CreateChangeSet"] = create


@patch
def finding_change_sets():
    """Finds the change sets of a stack that is given by its id, too."""
    before = changesets._find_change_set

    def find(name, stack_name=""):
        stack = handlers._resolve_stack(stack_name) if stack_name else None
        return before(name, stack["StackName"] if stack else stack_name)

    changesets._find_change_set = find
    list_before = handlers._ACTION_HANDLERS["ListChangeSets"]

    def list_change_sets(params):
        stack = handlers._resolve_stack(helpers._p(params, "StackName") or "")
        return list_before(params | {"StackName": [stack["StackName"]]} if stack else params)

    handlers._ACTION_HANDLERS["ListChangeSets"] = list_change_sets


@patch
def executing_change_sets():
    """Executes only available change sets of idle stacks. The stack then has the change set's id and description."""
    before = changesets._execute_change_set

    def execute(params):
        name = helpers._p(params, "ChangeSetName")
        _, change_set = changesets._find_change_set(name, helpers._p(params, "StackName"))
        if not change_set:
            return before(params)
        if change_set["ExecutionStatus"] != "AVAILABLE":
            status = change_set["Status"]
            return helpers._error(
                "InvalidChangeSetStatus",
                f"ChangeSet [{change_set['ChangeSetId']}] cannot be executed in its current status of [{status}]",
            )
        stack = cloudformation._stacks.get(change_set["StackName"])
        status = stack["StackStatus"] if stack is not None else ""
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            return helpers._error("ValidationError", _not_updatable(stack))
        answer = before(params)
        stack = cloudformation._stacks.get(change_set["StackName"])
        if answer[0] == 200 and stack is not None:
            stack["ChangeSetId"] = change_set["ChangeSetId"]
            description = (change_set.get("_template") or {}).get("Description")
            if description:
                stack["Description"] = description
        return answer

    changesets._execute_change_set = execute
    handlers._ACTION_HANDLERS["ExecuteChangeSet"] = execute


@patch
def naming_the_last_change_set():
    """Makes `DescribeStacks` return the last executed change set, until an update without a change set."""
    describe_before = handlers._ACTION_HANDLERS["DescribeStacks"]
    update_before = handlers._ACTION_HANDLERS["UpdateStack"]

    def describe(params):
        status, headers, body = describe_before(params)
        text = body.decode() if isinstance(body, bytes) else body
        for stack in list(cloudformation._stacks.values()) if status == 200 else []:
            identity = f"<StackId>{helpers._esc(stack['StackId'])}</StackId>"
            if stack.get("ChangeSetId"):
                named = f"<ChangeSetId>{helpers._esc(stack['ChangeSetId'])}</ChangeSetId>"
                text = text.replace(identity, identity + named)
        headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        return status, headers, text.encode() if isinstance(body, bytes) else text

    def update(params):
        answer = update_before(params)
        stack = handlers._resolve_stack(helpers._p(params, "StackName") or "")
        if answer[0] == 200 and stack:
            stack.pop("ChangeSetId", None)
        return answer

    handlers._ACTION_HANDLERS["DescribeStacks"] = describe
    handlers._ACTION_HANDLERS["UpdateStack"] = update


@patch
def deleting_stacks():
    """Rejects the deletion of a stack during an update or a rollback."""
    before = handlers._ACTION_HANDLERS["DeleteStack"]

    def delete(params):
        stack = handlers._resolve_stack(helpers._p(params, "StackName") or "")
        if stack and stack["StackStatus"] in NOT_DELETABLE:
            text = f"Stack [{stack['StackId']}] cannot be deleted while in status {stack['StackStatus']}"
            return helpers._error("ValidationError", text)
        return before(params)

    handlers._ACTION_HANDLERS["DeleteStack"] = delete


def _refusal(params, stack, kind):
    if not stack:
        return None
    status = stack["StackStatus"]
    if kind == "UPDATE":
        if status != "DELETE_COMPLETE" and status not in UPDATABLE:
            return _not_updatable(stack)
        changed = _changed_types(params, stack)
        if changed:
            return (
                "Update of resource type is not permitted. The new template modifies resource type of the "
                f"following resources: [{', '.join(changed)}]"
            )
    if kind == "CREATE" and status not in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS"):
        name = helpers._p(params, "ChangeSetName")
        return f"Stack [{stack['StackName']}] already exists and cannot be created again with the changeSet [{name}]."
    return None


def _not_updatable(stack):
    return f"Stack:{stack['StackId']} is in {stack['StackStatus']} state and can not be updated."


def _changed_types(params, stack):
    """Returns the logical ids whose type changes in the new template. Other code rejects an invalid template."""
    try:
        template = engine._parse_template(helpers._resolve_template(params)[0] or "{}")
    except Exception:
        return []
    current = (stack.get("_template") or {}).get("Resources") or {}
    return sorted(
        logical_id
        for logical_id, resource in (template.get("Resources") or {}).items()
        if logical_id in current
        and isinstance(resource, dict)
        and resource.get("Type") != current[logical_id].get("Type")
    )


def _keep_stack(name, stack, events, answer):
    """Restores the stack in review. ministack creates a new stack for each CREATE change set; AWS keeps the id and the events."""
    new = cloudformation._stacks.get(name)
    if new is stack:
        return answer
    cloudformation._stacks[name] = stack
    if new is None:
        cloudformation._stack_events[stack["StackId"]] = events
        return answer
    new_id, old_id = new["StackId"], stack["StackId"]
    stack["Tags"] = new.get("Tags", [])
    cloudformation._stack_events.pop(new_id, None)
    for change_set in cloudformation._change_sets.values():
        if change_set.get("StackId") == new_id:
            change_set["StackId"] = old_id
    if not isinstance(answer, tuple):
        return answer
    status, headers, body = answer
    old, new = (old_id.encode(), new_id.encode()) if isinstance(body, bytes) else (old_id, new_id)
    return status, headers, body.replace(new, old)


def _named(name, stack_name):
    sets = cloudformation._change_sets.values()
    return next((s for s in sets if s["ChangeSetName"] == name and s["StackName"] == stack_name), None)
