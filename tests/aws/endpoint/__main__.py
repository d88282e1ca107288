"""Serves on 127.0.0.1 until a signal arrives: `python -m endpoint --port 4566 --state DIRECTORY`.

AUTH=true also checks signatures, IAM policies and capabilities. ENDPOINT_DELAY=0.4 delays each operation on a resource by
that many seconds. ENDPOINT_WITHOUT=events,... omits patches.
"""

import argparse
import os
import sys
import threading
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(prog="endpoint", description="an AWS endpoint for tests")
    parser.add_argument("--port", type=int, default=4566)
    parser.add_argument("--state", type=Path, default=Path("state"), help="a directory for temporary files")
    parser.add_argument(
        "--until-input-ends",
        action="store_true",
        help="stop when standard input closes, which happens when the parent process ends",
    )
    options = parser.parse_args()
    if options.until_input_ends:
        threading.Thread(target=_end_with_input, daemon=True).start()
    _configure(options)
    # These imports follow _configure, because ministack reads its settings on import. Their order matters, because the
    # patches of a later module wrap those of an earlier one.
    from . import schemas, generic, s3, kinesis, templates, change_sets, events, stack_policies, faults, rights  # noqa: F401
    from . import http, patching

    patching.apply_all()
    http.serve()


def _configure(options):
    options.state.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(options.port),
        IOT_MTLS_ENABLED="0",
        MINISTACK_ACCOUNT_ID="123456789012",
        TMPDIR=str(options.state.absolute()),
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
    )
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    os.environ.setdefault("AUTH", "false")
    sys.argv[1:] = []  # ministack parses its own options


def _end_with_input():
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
