"""cfn-lint over templates, in as many processes as there are processors. Files' names come on standard input.

Prints what is wrong, then `N templates`. Exit status 1 when something was: errors and warnings alike.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor

from cfnlint.config import ConfigMixIn
from cfnlint.runner import Runner

REGION = "eu-west-1"

# Rules that are wrong about our templates, each with the reason.
IGNORED = {}


def lint(files):
    options = ["--regions", REGION]
    if IGNORED:
        options += ["--ignore-checks", *IGNORED]
    runner = Runner(ConfigMixIn([*options, "--template", *files]))
    return [
        f"{match.filename}:{match.linenumber}: {match.rule.id}: {match.message}"
        for match in runner.run()
        if match.rule.severity != "informational"
    ]


def main():
    files = sys.stdin.read().splitlines()
    processes = os.cpu_count() or 1
    parts = [files[start::processes] for start in range(min(processes, len(files)))]
    with ProcessPoolExecutor(processes) as pool:
        found = sorted(line for lines in pool.map(lint, parts) for line in lines)
    for line in found:
        print(line)
    print(f"{len(files)} templates")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
