"""Reads YAML as kubectl's and Ansible's generation of tools does (PyYAML, YAML 1.1), and says where it is not what was meant.

Standard input has one JSON object a line: {"name": ..., "yaml": TEXT, "want": [JSON TEXT of each document]}.
Prints a line for each difference, then `N read`. Exit status 1 when there was a difference.
"""

import json
import sys

import yaml


def same(got, want):
    """Equality that keeps true and 1 apart, and 1 and 1.0 as JSON does: together."""
    if isinstance(got, bool) or isinstance(want, bool):
        return got is want
    if isinstance(got, dict) and isinstance(want, dict):
        return list(got) == list(want) and all(same(got[key], want[key]) for key in want)
    if isinstance(got, list) and isinstance(want, list):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(got, (int, float)) and isinstance(want, (int, float)):
        return got == want
    return type(got) is type(want) and got == want


def difference(text, want, loader):
    try:
        got = list(yaml.load_all(text, loader))
    except (yaml.YAMLError, ValueError) as error:
        return f"cannot be read: {error}"
    want = [json.loads(document) for document in want]
    return None if same(got, want) else f"read as {got!r}, meant {want!r}"


def main():
    read = different = 0
    for line in sys.stdin:
        case = json.loads(line)
        # Two parsers: libyaml, which Go's and Ruby's readers descend from, and the one in Python, which is the reference.
        # That one is so slow that it gets every third text.
        for loader in (yaml.CSafeLoader, yaml.SafeLoader)[: 2 if read % 3 == 0 else 1]:
            found = difference(case["yaml"], case["want"], loader)
            if found:
                different += 1
                if different <= 20:
                    print(f"{case['name']}: {loader.__name__}: {found}"[:600])
                break
        read += 1
    print(f"{read} read")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
