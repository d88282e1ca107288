"""The errors that AWS reports before it creates anything, such as dangling references and unknown or missing properties."""

import re

from ministack.services.cloudformation import changesets, engine, handlers, helpers, stacks

from .patching import patch, replace
from .schemas import SCHEMAS

# Matches ${Name} and ${Name.Attribute}, but not ${!Literal}.
SUBSTITUTION = re.compile(r"\$\{([^!][^}]*)\}")


@patch
def template_checks():
    """Rejects dangling references, cycles, and templates without resources."""
    before = engine.validate_template_support

    def check(template, conditions, params=None):
        resources = template.get("Resources")
        if not resources:
            raise ValueError("Template format error: At least one Resources member must be defined.")
        before(template, conditions, params)
        known = set(resources) | set(template.get("Parameters") or {})
        for section in ("Resources", "Outputs"):
            used = set(_references(template.get(section) or {}))
            if section == "Resources":
                for resource in resources.values():
                    depends_on = resource.get("DependsOn") or []
                    used |= {depends_on} if isinstance(depends_on, str) else set(depends_on)
            unknown = sorted(name for name in used - known if not name.startswith("AWS::"))
            if unknown and not template.get("Transform"):
                raise ValueError(
                    f"Template format error: Unresolved resource dependencies [{', '.join(unknown)}] "
                    f"in the {section} block of the template"
                )
        engine._topological_sort(resources, conditions)

    replace("validate_template_support", check, engine, changesets, handlers)


@patch
def parameter_checks():
    """Rejects unknown parameters, missing parameters, and values that are not allowed."""
    before = engine._resolve_parameters

    def check(template, provided, previous=None):
        declared = template.get("Parameters") or {}
        keys = {parameter.get("Key") for parameter in provided}
        unknown = [
            parameter["Key"] for parameter in provided if "Key" in parameter and parameter["Key"] not in declared
        ]
        if unknown:
            raise ValueError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        missing = [name for name, parameter in declared.items() if "Default" not in parameter and name not in keys]
        if missing:
            raise ValueError(f"Parameters: [{', '.join(missing)}] must have values")
        for parameter in provided:
            allowed = (declared.get(parameter.get("Key")) or {}).get("AllowedValues")
            if allowed is None or parameter.get("UsePreviousValue"):
                continue
            if str(parameter.get("Value")) not in map(str, allowed):
                raise ValueError(f"Parameter '{parameter['Key']}' must be one of AllowedValues")
        return before(template, provided, previous)

    replace("_resolve_parameters", check, engine, changesets, handlers)


@patch
def property_validation():
    """Reports unknown and missing properties at the top level of a resource, in the form of AWS's early validation."""
    before = stacks._validation_errors

    def check(resources, ordered, *arguments, **keywords):
        errors = list(before(resources, ordered, *arguments, **keywords))
        for logical_id in ordered:
            resource_type = resources[logical_id].get("Type")
            schema = SCHEMAS.get(resource_type)
            if not schema:
                continue
            properties = resources[logical_id].get("Properties") or {}
            place = f"/Resources/{logical_id}/Properties"
            if schema["ap"] is False:
                for name in sorted(set(properties) - set(schema["p"])):
                    text = f"#: extraneous key [{name}] is not permitted"
                    errors.append((logical_id, resource_type, "PROPERTY_VALIDATION", f"{place}/{name}", text))
            for name in sorted(set(schema["req"]) - set(properties)):
                text = f"#: required key [{name}] not found"
                errors.append((logical_id, resource_type, "PROPERTY_VALIDATION", place, text))
        return errors

    stacks._validation_errors = check


@patch
def template_url():
    """Accepts a TemplateURL with the bucket in its host name. ministack itself supports only the path style."""
    before = helpers._resolve_template
    in_host = re.compile(r"https?://([a-z0-9.-]+?)\.s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com/(.+)")

    def resolve(params):
        match = in_host.match(helpers._p(params, "TemplateURL") or "")
        if match:
            params = {**params, "TemplateURL": [f"https://s3.amazonaws.com/{match.group(1)}/{match.group(2)}"]}
        return before(params)

    replace("_resolve_template", resolve, helpers, changesets, handlers)


def _references(node):
    """Yields the names that Ref, Fn::GetAtt and Fn::Sub use in a part of a template."""
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    if not isinstance(node, dict):
        return
    if len(node) == 1:
        ((function, value),) = node.items()
        if function == "Ref" and isinstance(value, str):
            yield value
            return
        if function == "Fn::GetAtt":
            yield value.split(".")[0] if isinstance(value, str) else value[0]
            return
        if function == "Fn::Sub":
            text, variables = (value, {}) if isinstance(value, str) else value
            for name in SUBSTITUTION.findall(text):
                if name.strip() not in variables:
                    yield name.strip().split(".")[0]
            yield from _references(variables)
            return
    for value in node.values():
        yield from _references(value)
