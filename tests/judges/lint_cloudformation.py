"""Runs cfn-lint on templates, with one process per processor. Reads file names from standard input.

Prints the findings, then `N templates`. The exit status is 1 if there are findings, errors or warnings.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor

from cfnlint.config import ConfigMixIn
from cfnlint.runner import Runner

REGION = "eu-west-1"

# Rules whose findings are wrong for Terrace's templates, each with the reason.
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
        findings = sorted(line for lines in pool.map(lint, parts) for line in lines)
    for line in findings:
        print(line)
    print(f"{len(files)} templates")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
