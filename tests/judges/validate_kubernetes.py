"""kubernetes-validate over files of objects, strictly: unknown fields are errors. Files' names come on standard input.

Objects of kinds that operators define have no schema here; they are named in CUSTOM, so that a misspelt kind is not taken
for one. Prints what is wrong, then `N objects`. Exit status 1 when something was.
"""

import re
import sys

import yaml
from kubernetes_validate import utils

VERSION = "1.36"  # that of the cluster in tests/kubernetes

# API groups whose kinds are custom resources
CUSTOM = {
    "argoproj.io",
    "cert-manager.io",
    "extensions.istio.io",
    "external-secrets.io",
    "flink.apache.org",
    "gateway.networking.k8s.io",
    "groupsnapshot.storage.k8s.io",
    "kafka.strimzi.io",
    "keda.sh",
    "monitoring.coreos.com",
    "networking.istio.io",
    "postgresql.cnpg.io",
    "ray.io",
    "route.openshift.io",
    "security.istio.io",
    "security.openshift.io",
    "snapshot.storage.k8s.io",
    "sparkoperator.k8s.io",
    "telemetry.istio.io",
}


def cached(function):
    """The package reads 5 MB of definitions again for each object."""
    known = {}

    def lookup(name, version):
        if name not in known:
            known[name] = function(name, version)
        return known[name]

    return lookup


def problem(data):
    if not isinstance(data, dict) or "apiVersion" not in data or "kind" not in data:
        return "no object: apiVersion or kind is missing"
    group = re.sub(r"/?[^/]*$", "", data["apiVersion"])
    try:
        utils.validate(data, VERSION, strict=True)
    except utils.ValidationError as error:
        path = ".".join(map(str, error.path))
        return f"{path}: {error.message}"[:400]
    except utils.SchemaNotFoundError as error:
        return None if group in CUSTOM else error.message
    return None


def main():
    utils.schema_contents = cached(utils.schema_contents)
    objects = wrong = 0
    for file in sys.stdin.read().splitlines():
        with open(file, encoding="utf-8") as text:
            for data in yaml.load_all(text, yaml.CSafeLoader):
                objects += 1
                found = problem(data)
                if found:
                    wrong += 1
                    name = data.get("metadata", {}).get("name") if isinstance(data, dict) else None
                    kind = data.get("kind") if isinstance(data, dict) else None
                    print(f"{file}: {kind} {name}: {found}")
    print(f"{objects} objects")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
