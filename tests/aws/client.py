"""Calls AWS's own client, so that tests can read deployed resources. A request and its answer are one line of JSON each.

    {"endpoint": URL, "account": ACCESS KEY, "region": NAME, "service": "s3", "operation": "get_bucket_tagging", "parameters": {...}}
    {"answer": {...}} or {"error": "NoSuchTagSet: The TagSet does not exist"}
"""

import base64
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

clients = {}


def client(request):
    secret, token = request.get("secret", "test"), request.get("token")
    key = (*(request[name] for name in ("endpoint", "account", "region", "service")), secret, token)
    if key not in clients:
        endpoint, account, region, service, *_ = key
        clients[key] = boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )
    return clients[key]


def plain(value):
    """Converts values that JSON cannot represent: bytes and streams to text (or base64 if they are not text), times to ISO 8601."""
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def main():
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(client(request), request["operation"])(**request["parameters"])
            answer.pop("ResponseMetadata", None)
            reply = {"answer": answer}
        except ClientError as error:
            reply = {"error": f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"}
        except (BotoCoreError, AttributeError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply, default=plain), flush=True)


if __name__ == "__main__":
    main()
