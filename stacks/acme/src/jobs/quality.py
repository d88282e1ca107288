import sys

from awsglue.context import GlueContext
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

CRITICAL = ["customer_id", "order_date", "amount"]

arguments = getResolvedOptions(sys.argv, ["JOB_NAME", "input-path", "output-path"])
spark = GlueContext(SparkContext()).spark_session
orders = spark.read.option("header", True).csv(arguments["input_path"])
missing = {column: orders.filter(orders[column].isNull()).count() for column in CRITICAL}
if any(missing.values()):
    raise ValueError(f"rows without a value, by column: {missing}")
