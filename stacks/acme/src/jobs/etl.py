"""Cleans orders and writes them to the curated zone, in a separate prefix for each source file.

A run can be repeated at any time. The result of a file replaces its earlier result, so neither a second run nor a run that failed
midway adds duplicates. A prefix is read with a job bookmark: a run reads the files that no earlier run has completed. A single file,
which an event names, is read without a bookmark, because the event means that the file is new.
"""

import hashlib
import sys
from time import monotonic

CRITICAL = ["customer_id", "order_date", "amount"]

# Selects orders without duplicates and without empty critical columns. CSV has no null: a missing value is empty.
CLEAN = "SELECT DISTINCT * FROM orders WHERE " + " AND ".join(f"TRIM({column}) <> ''" for column in CRITICAL)


def bookmark(path):
    """Returns the name of the bookmark of a prefix, or an empty string for a single file."""
    return f"orders:{path}" if path == "" or path.endswith("/") else ""


def folder(target, file):
    """Returns the prefix for the orders of one file. It is the same in every run."""
    return f"{target}source={hashlib.sha256(file.encode()).hexdigest()[:16]}/"


def metrics(dimensions, total, kept, seconds):
    """Returns the metrics of the run. Without orders there is no quality score."""
    values = {"RecordsProcessed": kept, "ProcessingLatency": seconds}
    if total:
        values["DataQualityScore"] = 100 * kept / total
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return [{"MetricName": name, "Dimensions": named, "Value": value} for name, value in values.items()]


def main():
    import boto3
    from awsglue.context import GlueContext
    from awsglue.job import Job
    from awsglue.utils import getResolvedOptions
    from pyspark.context import SparkContext
    from pyspark.sql.functions import col, current_timestamp, date_format, input_file_name

    started = monotonic()
    arguments = getResolvedOptions(
        sys.argv,
        [
            "JOB_NAME",
            "input-bucket",
            "input-path",
            "output-bucket",
            "output-path",
            "tenant",
            "pipeline",
            "metrics-namespace",
        ],
    )
    context = GlueContext(SparkContext())
    spark = context.spark_session
    job = Job(context)
    job.init(arguments["JOB_NAME"], arguments)
    source = f"s3://{arguments['input_bucket']}/{arguments['input_path']}"
    target = f"s3://{arguments['output_bucket']}/{arguments['output_path']}"

    read = context.create_dynamic_frame.from_options(
        connection_type="s3",
        # A group of files has no file name, so files are not grouped.
        connection_options={"paths": [source], "recurse": True, "groupFiles": "none"},
        format="csv",
        format_options={"withHeader": True},
        transformation_ctx=bookmark(arguments["input_path"]),
    ).toDF()
    total = kept = 0
    if read.columns:
        read = read.withColumn("file", input_file_name()).cache()
        read.createOrReplaceTempView("orders")
        orders = (
            spark.sql(CLEAN)
            .withColumn("amount", col("amount").cast("decimal(10,2)"))
            .withColumn("order_date", col("order_date").cast("date"))
            .dropna(subset=CRITICAL)
            .withColumn("year", date_format("order_date", "yyyy"))
            .withColumn("month", date_format("order_date", "MM"))
            .withColumn("day", date_format("order_date", "dd"))
            .withColumn("processed_timestamp", current_timestamp())
            .cache()
        )
        total, kept = read.count(), orders.count()
        files = [row.file for row in read.select("file").distinct().collect()]
        if "" in files:
            raise ValueError(f"the files below {source} have no names, so their earlier results cannot be replaced")
        # Write a result for every file that was read. An empty result replaces an earlier one.
        for file in files:
            of_file = orders.filter(col("file") == file).drop("file")
            of_file.write.mode("overwrite").partitionBy("year", "month", "day").parquet(folder(target, file))

    boto3.client("cloudwatch").put_metric_data(
        Namespace=arguments["metrics_namespace"],
        MetricData=metrics(
            {"Tenant": arguments["tenant"], "Pipeline": arguments["pipeline"]}, total, kept, monotonic() - started
        ),
    )
    # The bookmark advances only after everything is written.
    job.commit()


if __name__ == "__main__":
    main()
