"""Tells how complete and how fresh the orders are, and stops the pipeline where something critical is missing.

No orders are neither complete nor fresh: the run says that it has checked none, and fails.
"""

import sys
from datetime import datetime, timezone

CRITICAL = ["customer_id", "order_date", "amount"]

# How many orders there are, how many lack each critical column, and when the newest was made.
COUNT = (
    "SELECT COUNT(*) AS total, "
    + ", ".join(
        f"SUM(CASE WHEN {column} IS NULL OR TRIM({column}) = '' THEN 1 ELSE 0 END) AS {column}" for column in CRITICAL
    )
    + ", MAX(order_date) AS newest FROM orders"
)


def metrics(dimensions, total, missing, newest, now):
    """The scores of what was checked; where nothing was, only that. `newest` and `now` are datetimes in UTC."""
    values = {"RecordsChecked": total}
    if total:
        values["CompletenessScore"] = 100 - 100 * max(missing.values()) / total
    if newest:
        values["DataFreshness"] = (now - newest).total_seconds() / 3600
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return [{"MetricName": name, "Dimensions": named, "Value": value} for name, value in values.items()]


def verdict(source, total, missing):
    """Why the pipeline may not go on; nothing where it may."""
    if not total:
        return f"there are no orders in {source}"
    if any(missing.values()):
        return f"orders without a value, by column: {missing}"
    return None


def utc(text):
    """The time that a text says, in UTC; nothing where it says none."""
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
    # A folder without files has no columns either.
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
