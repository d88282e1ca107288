"""The facts about each of AWS's types in the resource schemas, and replacement according to them.

An entry of SCHEMAS has: p properties, req required, co create-only, cco conditionally create-only, ro read-only, wo
write-only, pid primary identifier, ap whether other properties are allowed. make_schema_index.py derives them.
"""

import gzip
import json
from pathlib import Path

from ministack.services.cloudformation import provisioners

from .patching import patch

with gzip.open(Path(__file__).with_name("schema_index.json.gz")) as file:
    SCHEMAS = json.load(file)


@patch
def replacement():
    """A change of a create-only property replaces the resource. A nested create-only property may replace it."""
    for resource_type, schema in SCHEMAS.items():
        always = tuple(path for path in schema["co"] if "/" not in path)
        provisioners._REPLACING_PROPERTIES.setdefault(resource_type, always)
        nested = {path.split("/")[0] for path in schema["co"] if "/" in path}
        sometimes = tuple({path.split("/")[0] for path in schema["cco"]} | nested)
        if sometimes:
            provisioners._CONDITIONALLY_REPLACING_PROPERTIES.setdefault(resource_type, sometimes)
