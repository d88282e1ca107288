"""AWS's own client, for tests that read back what was deployed: a line of JSON asks, a line of JSON answers.

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


def client(question):
    secret, token = question.get("secret", "test"), question.get("token")
    key = (*(question[name] for name in ("endpoint", "account", "region", "service")), secret, token)
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
    """What JSON has no word for: bytes and streams as text (base64 where they are none), times as ISO 8601."""
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
        question = json.loads(line)
        try:
            answer = getattr(client(question), question["operation"])(**question["parameters"])
            answer.pop("ResponseMetadata", None)
            reply = {"answer": answer}
        except ClientError as error:
            reply = {"error": f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"}
        except (BotoCoreError, AttributeError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply, default=plain), flush=True)


if __name__ == "__main__":
    main()
