"""Writes endpoint/schema_index.json.gz from the resource schemas that cfn-lint ships (MIT-0).

Run it in the environment of requirements.txt after the version of cfn-lint changes there. endpoint/schemas.py explains the
short keys.
"""

import gzip
import json
from pathlib import Path

import cfnlint


def main():
    schemas = Path(cfnlint.__file__).parent / "data" / "schemas"
    types = json.loads((schemas / "providers" / "us-east-1.json").read_text())
    index = {}
    for resource_type, name in sorted(types.items()):
        path = schemas / "resources" / f"{name}.json"
        if isinstance(name, str) and path.exists():
            index[resource_type] = _entry(json.loads(path.read_text()))
    text = json.dumps(index, separators=(",", ":"))
    out = Path(__file__).with_name("endpoint") / "schema_index.json.gz"
    out.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{len(index)} types")


def _entry(schema):
    def paths(keyword):
        return [path.replace("/properties/", "", 1) for path in schema.get(keyword, [])]

    return {
        "p": sorted(schema.get("properties", {})),
        "req": schema.get("required", []),
        "co": paths("createOnlyProperties"),
        "cco": paths("conditionalCreateOnlyProperties"),
        "ro": paths("readOnlyProperties"),
        "wo": paths("writeOnlyProperties"),
        "pid": paths("primaryIdentifier"),
        "ap": schema.get("additionalProperties", True),
    }


if __name__ == "__main__":
    main()
