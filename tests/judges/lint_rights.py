"""Checks that the permissions of templates can work: compares `Allow` statements with the service authorization reference.

Reads file names from standard input. Prints the findings, then `N templates`. The exit status is 1 if there are findings:

- an action that does not exist,
- `*` for an action that can be limited to a resource, unless `ON_ALL` gives a reason,
- an action whose statement lacks the resource that AWS checks, such as the objects of a bucket or the catalog of a table.
"""

import json
import re
import sys
from functools import cache

from cfnlint.data import AdditionalSpecs
from cfnlint.helpers import load_resource

REFERENCE = load_resource(AdditionalSpecs, "Policies.json")

# Actions that may apply to every resource, each with the reason.
ON_ALL = {
    "cloudwatch:PutMetricData": "bound by the namespace; only the newer of its requests know a resource",
    "ec2:AssignPrivateIpAddresses": "Lambda asks for every resource of the account, as its role for VPCs says",
    "ec2:CreateNetworkInterface": "as above",
    "ec2:DeleteNetworkInterface": "as above",
    "ec2:DescribeVpcAttribute": "as above; for Glue",
    "ec2:UnassignPrivateIpAddresses": "as above",
}

# ARN formats for which the reference contains only the service. `!` is a name without a slash.
FORMATS = {
    ("s3", "bucket"): "arn:aws:s3:::!",
    ("s3", "object"): "arn:aws:s3:::!/?",
    ("logs", "log-group"): "arn:aws:logs:?:?:log-group:?",
    ("logs", "log-stream"): "arn:aws:logs:?:?:log-group:?:?",
}

# The service in the ARNs of a namespace, if it is not the lower-case namespace.
SERVICES = {"EMRServerless": "emr-serverless", "KinesisFirehose": "firehose", "StepFunctions": "states"}

PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
}


def statements(value):
    """Yields every `Allow` statement of identity policies below a value."""
    if isinstance(value, dict):
        if value.get("Effect") == "Allow" and "Principal" not in value:
            yield value
        else:
            for inner in value.values():
                yield from statements(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from statements(inner)


def listed(value):
    return value if isinstance(value, list) else [value]


def text(resource, template):
    """Returns a pattern for the ARNs of a statement's resource, or None if it is known only after deployment."""
    if isinstance(resource, str):
        return resource
    (function, argument), *_ = resource.items()
    if function == "Fn::GetAtt" or function == "Ref":
        name = argument[0] if function == "Fn::GetAtt" else argument
        return of_resource(template["Resources"].get(name))
    if function != "Fn::Sub":
        return None
    names = re.findall(r"\$\{([^}]+)\}", argument)
    if not argument.startswith("arn:"):
        # An ARN with a suffix, such as `${Bucket.Arn}/*`.
        start = of_resource(template["Resources"].get(names[0].split(".")[0]))
        return start and start + argument[argument.index("}") + 1 :]
    for name in names:
        argument = argument.replace("${" + name + "}", PSEUDO.get(name, "?"))
    return argument


def of_resource(resource):
    """Returns the pattern of an ARN that follows from the type of a resource."""
    if resource is None:
        return None
    _, namespace, _ = resource["Type"].split("::")
    service = SERVICES.get(namespace, namespace.lower())
    return "arn:aws:s3:::bucket" if service == "s3" else f"arn:*:{service}:*:*:*"


@cache
def meet(one, other):
    """Returns whether a text matches both patterns. `*` is any text, `?` is a non-empty text, `!` is one without a slash."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == other[0] and one[0] not in "*?!":
        return meet(one[1:], other[1:])
    for wild, plain in ((one, other), (other, one)):
        if wild[0] == "*" and meet(wild[1:], plain):
            return True
        if wild[0] in "*?!" and not (wild[0] == "!" and plain[0] == "/"):
            # The wildcard either continues or ends here.
            return meet(("!" if wild[0] == "!" else "*") + wild[1:], plain[1:]) or meet(wild[1:], plain[1:])
    return False


def fits(one, other):
    """Returns whether an ARN matches both patterns."""
    parts, others = one.split(":", 5), other.split(":", 5)
    return len(parts) == len(others) and all(map(meet, parts, others))


def wanted(action):
    """Returns the patterns of the ARNs that an action supports, or None if the action does not exist."""
    service, name = action.lower().split(":")
    actions = REFERENCE.get(service, {"Actions": {}})["Actions"]
    found = [known for known in actions if re.fullmatch(name.replace("*", ".*"), known)]
    if not found:
        return None
    kinds = {kind.lower() for known in found for kind in actions[known].get("Resources", [])}
    return [form for kind in kinds for form in formats(service, kind)]


def formats(service, kind):
    """Returns the ARN patterns of a resource type."""
    if (service, kind) in FORMATS:
        return [FORMATS[service, kind]]
    forms = REFERENCE[service]["Resources"][kind]["ARNFormats"]
    return [re.sub(r"\$\{[^}]+\}|\.\*", "?", form.replace("${Partition}", "aws")) for form in forms]


def judge(statement, template):
    resources = listed(statement["Resource"])
    texts = [text(resource, template) for resource in resources]
    for action in listed(statement["Action"]):
        forms = wanted(action)
        if forms is None:
            yield f"the action {action} does not exist"
        elif "*" in resources:
            if forms and action not in ON_ALL:
                yield f"{action} can be limited to a resource"
        elif not forms:
            yield f"{action} supports only the resource *"
        elif None not in texts and not any(fits(one, form) for one in texts for form in forms):
            yield f"{action} is allowed on {', '.join(texts)}, but AWS checks {' or '.join(sorted(forms))}"


def main():
    files = sys.stdin.read().splitlines()
    found = set()
    for file in files:
        with open(file, encoding="utf-8") as opened:
            template = json.load(opened)
        for statement in statements(template["Resources"]):
            found |= {f"{file}: {statement.get('Sid')}: {what}" for what in judge(statement, template)}
    for line in sorted(found):
        print(line)
    print(f"{len(files)} templates")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
