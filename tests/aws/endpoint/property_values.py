"""The values of each property before and after a change, which a change set shows with IncludePropertyValues."""

import copy
import json
import re

from ministack.services.cloudformation import changesets, engine, handlers, helpers

from .patching import patch
from .templates import SUBSTITUTION

KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
SHOWN = ("Properties", "Metadata", "DeletionPolicy", "UpdateReplacePolicy", "CreationPolicy", "UpdatePolicy")


@patch
def described_property_values():
    """Adds the values to the XML of DescribeChangeSet."""
    before = changesets._describe_change_set

    def describe(params):
        answer = before(params)
        if answer[0] != 200 or helpers._p(params, "IncludePropertyValues", "false").lower() != "true":
            return answer
        _, change_set = changesets._find_change_set(
            helpers._p(params, "ChangeSetName"), helpers._p(params, "StackName")
        )
        status, headers, body = answer
        text = _with_values(body.decode() if isinstance(body, bytes) else body, change_set["Changes"])
        headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        return status, headers, text.encode() if isinstance(body, bytes) else text

    changesets._describe_change_set = describe
    handlers._ACTION_HANDLERS["DescribeChangeSet"] = describe


def complete(change_set, stack):
    """Adds the details to a new change set that AWS returns and ministack does not."""
    template_before, template_after = (stack or {}).get("_template") or {}, change_set.get("_template") or {}
    if change_set["ChangeSetType"] == "UPDATE" and change_set["Status"] == "FAILED" and stack is not None:
        # AWS also accepts a change set that only changes outputs.
        if (template_before.get("Outputs") or {}) != (template_after.get("Outputs") or {}):
            change_set.update(Status="CREATE_COMPLETE", ExecutionStatus="AVAILABLE", StatusReason="")
    for parameter in change_set["Parameters"]:
        if change_set["_resolved_params"].get(parameter["ParameterKey"], {}).get("NoEcho"):
            parameter["ParameterValue"] = "****"
    values = _Values(change_set, stack)
    parameters_before = (stack or {}).get("_resolved_params") or {}
    update = change_set["ChangeSetType"] == "UPDATE"
    before = values.resources(template_before, parameters_before, after=False) if update else {}
    after = values.resources(template_after, change_set["_resolved_params"], after=True)
    for change in change_set["Changes"]:
        change = change["ResourceChange"]
        logical_id = change["LogicalResourceId"]
        _add_context(change, _without_absent(before.get(logical_id)), _without_absent(after.get(logical_id)))


class _Values:
    """Resolves references in both templates of a change set, if their values are known before its execution."""

    def __init__(self, change_set, stack):
        self.change_set = change_set
        self.known = (stack or {}).get("_resources") or {}
        changes = [change["ResourceChange"] for change in change_set["Changes"]]
        self.replaced = {
            change["LogicalResourceId"]
            for change in changes
            if change.get("Replacement") == "True" or change["Action"] == "Add"
        }

    def resources(self, template, parameters, after):
        if not template:
            return {}
        template = copy.deepcopy(template)
        resources = template.get("Resources") or {}
        for resource in resources.values():
            resource["Properties"] = self._resolve(resource.get("Properties") or {}, set(resources), after)
        stack = self.change_set["StackName"], self.change_set["StackId"]
        return changesets._resolve_props_for_diff(template, parameters, *stack).get("Resources", {})

    def _resolve(self, node, names, after):
        """Resolves references to resources. ministack resolves references to parameters."""
        if isinstance(node, list):
            return [self._resolve(item, names, after) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, value),) = node.items()
            if function == "Ref" and value in names:
                return self._value(value, None, after)
            if function == "Fn::GetAtt":
                parts = value.split(".", 1) if isinstance(value, str) else (value[0], ".".join(map(str, value[1:])))
                if parts[0] in names:
                    return self._value(*parts, after)
            if function == "Fn::Sub":
                return {"Fn::Sub": self._substitute(value, names, after)}
        return {key: self._resolve(value, names, after) for key, value in node.items()}

    def _substitute(self, value, names, after):
        text, variables = (value, {}) if isinstance(value, str) else value

        def known(match):
            name, _, attribute = match.group(1).strip().partition(".")
            if name not in names or name in variables:
                return match.group(0)
            return str(self._value(name, attribute or None, after))

        text = SUBSTITUTION.sub(known, text)
        return [text, self._resolve(variables, names, after)] if variables else text

    def _value(self, logical_id, attribute, after):
        if logical_id not in self.known or (after and logical_id in self.replaced):
            return KNOWN_AFTER_APPLY
        resource = self.known[logical_id]
        if attribute is None:
            return resource.get("PhysicalResourceId")
        return resource.get("Attributes", {}).get(attribute, KNOWN_AFTER_APPLY)


def _add_context(change, before, after):
    if before is not None and change["Action"] in ("Modify", "Remove", "Dynamic"):
        change["BeforeContext"] = _context(before)
    if after is not None and change["Action"] in ("Modify", "Add", "Import", "Dynamic"):
        change["AfterContext"] = _context(after)
    for detail in change.get("Details", []):
        target = detail["Target"]
        if target.get("Attribute") != "Properties" or not target.get("Name"):
            continue
        old = (before or {}).get("Properties", {}).get(target["Name"])
        new = (after or {}).get("Properties", {}).get(target["Name"])
        target["Path"] = f"/Properties/{target['Name']}"
        target["AttributeChangeType"] = "Add" if old is None else "Remove" if new is None else "Modify"
        for name, value in (("BeforeValue", old), ("AfterValue", new)):
            if value is not None:
                target[name] = value if isinstance(value, str) else json.dumps(value, default=str)


def _context(resource):
    shown = {key: resource[key] for key in SHOWN if key in resource and (key != "Properties" or resource[key])}
    return json.dumps(shown, default=str)


def _without_absent(value):
    """Returns the value without the parts that `AWS::NoValue` removes."""
    if isinstance(value, dict):
        return {key: _without_absent(item) for key, item in value.items() if item is not engine._NO_VALUE}
    if isinstance(value, list):
        return [_without_absent(item) for item in value if item is not engine._NO_VALUE]
    return value


def _with_values(body, changes):
    head, rest = body.split("<Changes>", 1)
    middle, tail = rest.rsplit("</Changes>", 1)
    start = "<member><Type>Resource</Type>"
    first, *members = middle.split(start)
    members = [_member_with_values(member, change["ResourceChange"]) for member, change in zip(members, changes)]
    return f"{head}<Changes>{start.join([first, *members])}</Changes>{tail}"


def _member_with_values(member, change):
    details = iter(change.get("Details", []))

    def target(match):
        shown = ("Path", "BeforeValue", "AfterValue", "AttributeChangeType")
        return f"{match.group(1)}{_elements(next(details)['Target'], shown)}</Target>"

    member = re.sub(r"(<Target>(?:(?!</Target>).)*)</Target>", target, member, flags=re.DOTALL)
    context = _elements(change, ("BeforeContext", "AfterContext"))
    return member.replace("</ResourceChange>", f"{context}</ResourceChange>", 1)


def _elements(values, names):
    return "".join(f"<{name}>{helpers._esc(str(values[name]))}</{name}>" for name in names if name in values)
