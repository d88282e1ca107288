import sys
from time import monotonic

import boto3
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from pyspark.sql.functions import col, current_timestamp, date_format

CRITICAL = ["customer_id", "order_date", "amount"]

started = monotonic()
arguments = getResolvedOptions(
    sys.argv, ["JOB_NAME", "input-bucket", "input-path", "output-bucket", "output-path", "metrics-namespace"]
)
context = GlueContext(SparkContext())
job = Job(context)
job.init(arguments["JOB_NAME"], arguments)
source = f"s3://{arguments['input_bucket']}/{arguments['input_path']}"
target = f"s3://{arguments['output_bucket']}/{arguments['output_path']}"

read = context.spark_session.read.option("header", True).csv(source)
orders = read.dropDuplicates().dropna(subset=CRITICAL)
total, kept = read.count(), orders.count()
orders = (
    orders.withColumn("amount", col("amount").cast("decimal(10,2)"))
    .withColumn("order_date", col("order_date").cast("date"))
    .withColumn("year", date_format("order_date", "yyyy"))
    .withColumn("month", date_format("order_date", "MM"))
    .withColumn("day", date_format("order_date", "dd"))
    .withColumn("processed_timestamp", current_timestamp())
)
orders.write.mode("append").partitionBy("year", "month", "day").parquet(target)

values = {
    "RecordsProcessed": kept,
    "ProcessingLatency": monotonic() - started,
    "DataQualityScore": 100 * kept / total if total else 0,
}
boto3.client("cloudwatch").put_metric_data(
    Namespace=arguments["metrics_namespace"],
    MetricData=[
        {"MetricName": name, "Dimensions": [{"Name": "Pipeline", "Value": "sales"}], "Value": value}
        for name, value in values.items()
    ],
)
job.commit()
