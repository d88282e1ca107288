"""Measures how complete and how fresh the orders are. Fails if critical values are missing, which stops the pipeline.

Without orders, the run reports that it checked none, and fails.
"""

import sys
from datetime import datetime, timezone

CRITICAL = ["customer_id", "order_date", "amount"]

# Counts the orders and the missing values of each critical column, and finds the newest order.
COUNT = (
    "SELECT COUNT(*) AS total, "
    + ", ".join(
        f"SUM(CASE WHEN {column} IS NULL OR TRIM({column}) = '' THEN 1 ELSE 0 END) AS {column}" for column in CRITICAL
    )
    + ", MAX(order_date) AS newest FROM orders"
)


def metrics(dimensions, total, missing, newest, now):
    """Returns the scores; without orders, only their number. `newest` and `now` are datetimes in UTC."""
    values = {"RecordsChecked": total}
    if total:
        values["CompletenessScore"] = 100 - 100 * max(missing.values()) / total
    if newest:
        values["DataFreshness"] = (now - newest).total_seconds() / 3600
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return [{"MetricName": name, "Dimensions": named, "Value": value} for name, value in values.items()]


def verdict(source, total, missing):
    """Returns why the pipeline must stop, or None."""
    if not total:
        return f"there are no orders in {source}"
    if any(missing.values()):
        return f"orders without a value, by column: {missing}"
    return None


def utc(text):
    """Parses a time and converts it to UTC. Returns None for a string that is not a time."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)


def main():
    import boto3
    from awsglue.context import GlueContext
    from awsglue.utils import getResolvedOptions
    from pyspark.context import SparkContext

    arguments = getResolvedOptions(
        sys.argv,
        ["JOB_NAME", "input-bucket", "input-path", "output-path", "tenant", "pipeline", "metrics-namespace"],
    )
    spark = GlueContext(SparkContext()).spark_session
    source = f"s3://{arguments['input_bucket']}/{arguments['input_path']}"
    orders = spark.read.option("header", True).csv(source)
    total, missing, newest = 0, {}, None
    # A prefix without files has no columns.
    if orders.columns:
        orders.createOrReplaceTempView("orders")
        counted = spark.sql(COUNT).first()
        total, newest = counted.total, utc(counted.newest)
        missing = {column: counted[column] or 0 for column in CRITICAL}

    boto3.client("cloudwatch").put_metric_data(
        Namespace=arguments["metrics_namespace"],
        MetricData=metrics(
            {"Tenant": arguments["tenant"], "Pipeline": arguments["pipeline"]},
            total,
            missing,
            newest,
            datetime.now(timezone.utc),
        ),
    )
    if problem := verdict(source, total, missing):
        raise ValueError(problem)


if __name__ == "__main__":
    main()
