"""Cleans orders and writes them to the curated zone, in a folder of its own for each file that they came from.

A run may be repeated at any time. What comes of a file replaces what came of it before, so that a second run adds nothing, and neither
does one that failed half way. A folder of files is read with a job bookmark: a run takes the files that no run has finished yet. A
single file, which an event names, is read as it is: the event says that it is new.
"""

import hashlib
import sys
from time import monotonic

CRITICAL = ["customer_id", "order_date", "amount"]

# Without duplicates, and without orders that lack something critical. CSV has no null: what is missing is empty.
CLEAN = "SELECT DISTINCT * FROM orders WHERE " + " AND ".join(f"TRIM({column}) <> ''" for column in CRITICAL)


def bookmark(path):
    """The name under which the bookmark of a folder is kept; none for a single file."""
    return f"orders:{path}" if path == "" or path.endswith("/") else ""


def folder(target, file):
    """Where the orders of one file go: the same place each time."""
    return f"{target}source={hashlib.sha256(file.encode()).hexdigest()[:16]}/"


def metrics(dimensions, total, kept, seconds):
    """What the run has done. There is no score of nothing."""
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
        # Files are not read in groups, which would have no name.
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
            raise ValueError(f"the files below {source} have no names: what came of them could not be replaced")
        # Of every file that was read: what has no order left replaces what had some.
        for file in files:
            of_file = orders.filter(col("file") == file).drop("file")
            of_file.write.mode("overwrite").partitionBy("year", "month", "day").parquet(folder(target, file))

    boto3.client("cloudwatch").put_metric_data(
        Namespace=arguments["metrics_namespace"],
        MetricData=metrics(
            {"Tenant": arguments["tenant"], "Pipeline": arguments["pipeline"]}, total, kept, monotonic() - started
        ),
    )
    # The bookmark moves only now.
    job.commit()


if __name__ == "__main__":
    main()
