"""Counts what comes in: the least a consumer can do."""


def process_records(event, context):
    print(len(event["Records"]))
    return {"batchItemFailures": []}
