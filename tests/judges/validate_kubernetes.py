"""Runs kubernetes-validate on files of objects, in strict mode: unknown fields are errors. Reads file names from standard input.

Custom resources have no schema in the package. CUSTOM lists their API groups, so that a misspelled kind is still an error.
Prints the findings, then `N objects`. The exit status is 1 if there are findings.
"""

import re
import sys

import yaml
from kubernetes_validate import utils

VERSION = "1.36"  # the version of the cluster in tests/kubernetes

# The API groups of custom resources.
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
    """Caches the results of a function, because the package would read 5 MB of definitions for each object."""
    known = {}

    def lookup(name, version):
        if name not in known:
            known[name] = function(name, version)
        return known[name]

    return lookup


def problem(data):
    if not isinstance(data, dict) or "apiVersion" not in data or "kind" not in data:
        return "not an object: apiVersion or kind is missing"
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
                finding = problem(data)
                if finding:
                    wrong += 1
                    name = data.get("metadata", {}).get("name") if isinstance(data, dict) else None
                    kind = data.get("kind") if isinstance(data, dict) else None
                    print(f"{file}: {kind} {name}: {finding}")
    print(f"{objects} objects")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
