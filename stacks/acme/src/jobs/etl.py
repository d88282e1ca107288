import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from pyspark.sql.functions import current_timestamp, dayofmonth, month, year

arguments = getResolvedOptions(sys.argv, ["JOB_NAME", "input-path", "output-path"])
context = GlueContext(SparkContext())
job = Job(context)
job.init(arguments["JOB_NAME"], arguments)
orders = context.spark_session.read.option("header", True).csv(arguments["input_path"]).dropDuplicates()
orders = (
    orders.withColumn("year", year("order_date"))
    .withColumn("month", month("order_date"))
    .withColumn("day", dayofmonth("order_date"))
    .withColumn("processed_timestamp", current_timestamp())
)
orders.write.mode("append").partitionBy("year", "month", "day").parquet(arguments["output_path"])
job.commit()
