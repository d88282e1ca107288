"""Reads YAML with PyYAML, which implements YAML 1.1, and reports values that differ from the expected ones.

Standard input has one JSON object per line: {"name": ..., "yaml": TEXT, "want": [JSON TEXT of each document]}.
Prints a line for each difference, then `N read`. The exit status is 1 if there are differences.
"""

import json
import sys

import yaml


def same(got, want):
    """Compares values. Distinguishes true from 1 but, like JSON, not 1 from 1.0."""
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
    return None if same(got, want) else f"read {got!r}, expected {want!r}"


def main():
    read = different = 0
    for line in sys.stdin:
        case = json.loads(line)
        # Two parsers read each text: libyaml, from which the parsers of Go and Ruby derive, and PyYAML's own reference
        # parser. The latter is so slow that it reads only every third text.
        for loader in (yaml.CSafeLoader, yaml.SafeLoader)[: 2 if read % 3 == 0 else 1]:
            problem = difference(case["yaml"], case["want"], loader)
            if problem:
                different += 1
                if different <= 20:
                    print(f"{case['name']}: {loader.__name__}: {problem}"[:600])
                break
        read += 1
    print(f"{read} read")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
