import base64
import json


def process(event, context):
    """Reports the records that cannot be read, and only those are tried again."""
    failed = []
    for record in event["Records"]:
        try:
            json.loads(base64.b64decode(record["kinesis"]["data"]))
        except ValueError:
            failed.append({"itemIdentifier": record["kinesis"]["sequenceNumber"]})
    return {"batchItemFailures": failed}
