"""Stack policies: an update that a policy denies fails."""

import json
from fnmatch import fnmatch

from ministack.services import cloudformation
from ministack.services.cloudformation import provisioners, stacks

from .patching import patch

KEYS = ("_stack_policy", "StackPolicyBody", "_stack_policy_body", "StackPolicy")


@patch
def stack_policy():
    """Checks the policy before each modification and replacement, but not before a deletion."""
    before = stacks._update_keeping_seed

    def update(resource_type, physical_id, old, new, stack_name, logical_id=None, attributes=None):
        stack = cloudformation._stacks.get(stack_name) or {}
        policy = next((stack[key] for key in KEYS if stack.get(key)), None)
        if policy and old != new and stack.get("StackStatus") == "UPDATE_IN_PROGRESS":
            replaces = provisioners._replacing_change(resource_type, old, new)
            action = "Update:Replace" if replaces else "Update:Modify"
            if _denied(policy, action, logical_id, resource_type):
                raise ValueError(
                    f"Action denied by stack policy: Statement [#1] does not allow [{action}] "
                    f"for resource [LogicalResourceId/{logical_id}]"
                )
        return before(resource_type, physical_id, old, new, stack_name, logical_id, attributes)

    stacks._update_keeping_seed = update


def _denied(policy, action, logical_id, resource_type):
    try:
        statements = _list(json.loads(policy).get("Statement", []))
    except ValueError:
        return False
    effects = {s["Effect"] for s in statements if _applies(s, action, f"LogicalResourceId/{logical_id}", resource_type)}
    return "Deny" in effects or "Allow" not in effects


def _applies(statement, action, resource, resource_type):
    if not any(fnmatch(action, pattern) for pattern in _list(statement.get("Action", []))):
        return False
    if "Resource" in statement and not any(fnmatch(resource, pattern) for pattern in _list(statement["Resource"])):
        return False
    if "NotResource" in statement and any(fnmatch(resource, pattern) for pattern in _list(statement["NotResource"])):
        return False
    for operator, conditions in (statement.get("Condition") or {}).items():
        for patterns in conditions.values():
            like = "Like" in operator
            if not any(fnmatch(resource_type, p) if like else resource_type == p for p in _list(patterns)):
                return False
    return True


def _list(value):
    return value if isinstance(value, list) else [value]
