"""Counts the records of a batch: a minimal consumer."""


def process_records(event, context):
    print(len(event["Records"]))
    return {"batchItemFailures": []}
