"""Writes the clicks of a batch to the bucket, one line of JSON each."""

import base64
import gzip
import json
import os
from datetime import datetime, timezone

import boto3

s3 = boto3.client("s3")


def process(event, context):
    """Writes the records before the first invalid record, and reports that record.

    Lambda retries from the reported record, so later records are written in the retry and only once. A retried batch begins with the
    same record, so its object replaces the earlier one.
    """
    lines, failed = readable(event["Records"])
    if lines:
        body = gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0)
        s3.put_object(Bucket=os.environ["OUTPUT_BUCKET"], Key=key(event["Records"][0]), Body=body)
    return {"batchItemFailures": [{"itemIdentifier": failed}] if failed else []}


def readable(records):
    """Returns the records before the first one that is not JSON, as lines, and the sequence number of that one."""
    lines = []
    for record in records:
        data = record["kinesis"]
        try:
            lines.append(json.dumps(json.loads(base64.b64decode(data["data"])), separators=(",", ":")))
        except ValueError:
            return lines, data["sequenceNumber"]
    return lines, None


def key(first):
    """Returns the object key of a batch: the day on which its first record arrived, and the ID of that record."""
    arrived = datetime.fromtimestamp(first["kinesis"]["approximateArrivalTimestamp"], timezone.utc)
    shard = first["eventID"].split(":")[0]
    return f"clicks/day={arrived:%Y-%m-%d}/{shard}-{first['kinesis']['sequenceNumber']}.json.gz"
