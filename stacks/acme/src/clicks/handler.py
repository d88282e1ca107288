"""Writes the clicks of a batch to the bucket, one line of JSON each."""

import base64
import gzip
import json
import os
from datetime import datetime, timezone

import boto3

s3 = boto3.client("s3")


def process(event, context):
    """Writes what comes before the first record that cannot be read, and reports that record.

    Lambda tries again from the record that is reported. What is after it is written then, and not twice. A batch that is tried again
    begins with the same record, so that its object replaces the one before.
    """
    lines, failed = readable(event["Records"])
    if lines:
        body = gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0)
        s3.put_object(Bucket=os.environ["OUTPUT_BUCKET"], Key=key(event["Records"][0]), Body=body)
    return {"batchItemFailures": [{"itemIdentifier": failed}] if failed else []}


def readable(records):
    """The lines of the records before the first that is no JSON, and the sequence number of that one."""
    lines = []
    for record in records:
        data = record["kinesis"]
        try:
            lines.append(json.dumps(json.loads(base64.b64decode(data["data"])), separators=(",", ":")))
        except ValueError:
            return lines, data["sequenceNumber"]
    return lines, None


def key(first):
    """Where a batch goes: by the day on which its first record came, and by that record."""
    arrived = datetime.fromtimestamp(first["kinesis"]["approximateArrivalTimestamp"], timezone.utc)
    shard = first["eventID"].split(":")[0]
    return f"clicks/day={arrived:%Y-%m-%d}/{shard}-{first['kinesis']['sequenceNumber']}.json.gz"
