"""Keeps resources in memory whose type has a schema but no service. Ref, GetAtt and replacement work for them."""

import copy

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, new_uuid
from ministack.services.cloudformation import provisioners

from .patching import patch
from .schemas import SCHEMAS

# "type|physical id" -> {Type, Id, Properties, Attributes}, for the account and region of the request.
RESOURCES = AccountRegionScopedDict()


@patch
def generic_types():
    """Adds a handler to every type that has none."""
    for resource_type in SCHEMAS:
        if resource_type in provisioners._RESOURCE_HANDLERS or resource_type.startswith("AWS::CloudFormation::"):
            continue
        provisioners._RESOURCE_HANDLERS[resource_type] = {
            "create": _create(resource_type),
            "update": _update(resource_type),
            "delete": _delete(resource_type),
            "generic": True,
        }


def _create(resource_type):
    def create(logical_id, properties, stack_name):
        physical_id = _physical_id(resource_type, logical_id, properties, stack_name)
        key = f"{resource_type}|{physical_id}"
        if key in RESOURCES:
            raise ValueError(f"Resource of type '{resource_type}' with identifier '{physical_id}' already exists.")
        attributes = _attributes(resource_type, physical_id, properties)
        RESOURCES[key] = {
            "Type": resource_type,
            "Id": physical_id,
            "Properties": copy.deepcopy(properties),
            "Attributes": attributes,
        }
        return physical_id, attributes

    return create


def _update(resource_type):
    def update(physical_id, _old, new, _stack_name):
        resource = RESOURCES.get(f"{resource_type}|{physical_id}")
        if resource is None:
            raise ValueError(f"Resource of type '{resource_type}' with identifier '{physical_id}' was not found.")
        resource["Properties"] = copy.deepcopy(new)
        resource["Attributes"] = _attributes(resource_type, physical_id, new)
        return physical_id, resource["Attributes"]

    return update


def _delete(resource_type):
    return lambda physical_id, _properties: RESOURCES.pop(f"{resource_type}|{physical_id}", None)


def _physical_id(resource_type, logical_id, properties, stack_name):
    """Returns the primary identifier if the template states it completely, otherwise a name, or an ARN if the identifier is one."""
    schema = SCHEMAS[resource_type]
    stated = [path for path in schema["pid"] if path not in schema["ro"]]
    values = [str(properties[path]) for path in stated if properties.get(path)]
    if stated and len(values) == len(stated) == len(schema["pid"]):
        return "|".join(values)
    names = (path for path in schema["co"] if path.endswith(("Name", "Identifier")) and properties.get(path))
    named = next((str(properties[path]) for path in names), None)
    name = named or f"{stack_name}-{logical_id}-{new_uuid()[:12]}"
    if schema["pid"] and schema["pid"][0].lower().endswith("arn"):
        return _arn(resource_type, name)
    return name


def _attributes(resource_type, physical_id, properties):
    """Returns the values of GetAtt: read-only properties, generated in a form that fits their names, and set properties."""
    name = resource_type.split("::")[2]
    attributes = {}
    for path in SCHEMAS[resource_type]["ro"]:
        key = path.replace("/", ".")
        leaf = key.split(".")[-1]
        if leaf.lower().endswith("arn"):
            value = physical_id if physical_id.startswith("arn:") else _arn(resource_type, physical_id)
        elif leaf == "Port":
            value = str(properties.get("Port", 5439 if "Redshift" in resource_type else 5432))
        elif leaf in ("Address", "MasterPublicDNS", "EndpointAddress"):
            value = f"{physical_id}.{_service(resource_type)}.{get_region()}.amazonaws.com"
        elif leaf in ("Id", name + "Id", "Name", name + "Name"):
            value = physical_id
        else:
            value = f"{leaf.lower()}-{physical_id}"
        attributes[key] = value
    for key, value in properties.items():
        if isinstance(value, (str, int, float)):
            attributes.setdefault(key, value)
    return attributes


def _arn(resource_type, name):
    kind = resource_type.split("::")[2].lower()
    return f"arn:aws:{_service(resource_type)}:{get_region()}:{get_account_id()}:{kind}/{name}"


def _service(resource_type):
    return resource_type.split("::")[1].lower()
