import sys
from datetime import datetime

import boto3
from awsglue.context import GlueContext
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from pyspark.sql.functions import col, max as latest

CRITICAL = ["customer_id", "order_date", "amount"]

arguments = getResolvedOptions(sys.argv, ["JOB_NAME", "input-bucket", "input-path", "output-path", "metrics-namespace"])
spark = GlueContext(SparkContext()).spark_session
source = f"s3://{arguments['input_bucket']}/{arguments['input_path']}"
orders = spark.read.option("header", True).csv(source)
total = orders.count()
missing = {column: orders.filter(orders[column].isNull()).count() for column in CRITICAL}
newest = orders.select(latest(col("order_date").cast("timestamp"))).first()[0]

values = {
    "CompletenessScore": 100 - 100 * max(missing.values()) / total if total else 0,
    "DataFreshness": (datetime.utcnow() - newest).total_seconds() / 3600 if newest else 0,
}
boto3.client("cloudwatch").put_metric_data(
    Namespace=arguments["metrics_namespace"],
    MetricData=[{"MetricName": name, "Value": value} for name, value in values.items()],
)
if any(missing.values()):
    raise ValueError(f"rows without a value, by column: {missing}")
