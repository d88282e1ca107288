"""The jobs and functions of stacks/acme, run: in memory what needs Spark, against the AWS endpoint what needs only boto3."""

import base64
import gzip
import importlib.util
import json
import os
import unittest
from pathlib import Path

import boto3

import glue

SOURCES = Path(__file__).parents[2] / "stacks/acme/src"


def load(path):
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), SOURCES / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(path):
    return {
        "JOB_NAME": "sales-etl",
        "input-bucket": "raw",
        "input-path": path,
        "output-bucket": "curated",
        "output-path": "sales/",
        "tenant": "finance",
        "pipeline": "sales",
        "metrics-namespace": "DataPipeline",
    }


def order(customer, day="2026-11-20", amount="10.00"):
    return {"customer_id": customer, "order_date": day, "amount": amount}


class Etl(unittest.TestCase):
    def setUp(self):
        self.script = load("jobs/etl.py")
        self.world = glue.World()

    def run_on(self, path, **options):
        return self.world.run(self.script, arguments(path), **options)

    def test_a_second_run_adds_nothing(self):
        self.world.files["s3://raw/daily-batch/a.csv"] = [order("1"), order("2"), order("2"), order("")]
        first = self.run_on("daily-batch/")
        rows = self.world.rows()
        self.assertEqual([row[0] for row in rows], ["1", "2"])
        self.assertEqual(first["RecordsProcessed"]["Value"], 2)
        again = self.run_on("daily-batch/")
        self.assertEqual(self.world.rows(), rows)
        self.assertEqual(again["RecordsProcessed"]["Value"], 0)
        self.assertNotIn("DataQualityScore", again)

    def test_a_run_that_failed_before_it_committed_is_repeated_and_adds_nothing(self):
        self.world.files["s3://raw/daily-batch/a.csv"] = [order("1")]
        with self.assertRaises(RuntimeError):
            self.run_on("daily-batch/", fails_before_commit=True)
        self.run_on("daily-batch/")
        self.assertEqual([row[0] for row in self.world.rows()], ["1"])

    def test_only_files_that_no_run_has_finished_are_read(self):
        self.world.files["s3://raw/daily-batch/a.csv"] = [order("1")]
        self.run_on("daily-batch/")
        self.world.files["s3://raw/daily-batch/b.csv"] = [order("2"), order("3")]
        self.assertEqual(self.run_on("daily-batch/")["RecordsProcessed"]["Value"], 2)
        self.assertEqual([row[0] for row in self.world.rows()], ["1", "2", "3"])

    def test_a_single_file_is_read_whatever_the_bookmark_says_and_replaces_itself(self):
        self.world.files["s3://raw/incoming/a.csv"] = [order("1"), order("2")]
        self.run_on("incoming/a.csv")
        self.world.files["s3://raw/incoming/a.csv"] = [order("2", day="2026-11-21")]
        self.run_on("incoming/a.csv")
        self.assertEqual(self.world.rows(), [("2", "2026-11-21", "10.00")])

    def test_a_file_of_which_nothing_is_left_replaces_what_had_something(self):
        self.world.files["s3://raw/incoming/a.csv"] = [order("1")]
        self.run_on("incoming/a.csv")
        self.world.files["s3://raw/incoming/a.csv"] = [order("", amount="x")]
        self.run_on("incoming/a.csv")
        self.assertEqual(self.world.rows(), [])

    def test_no_files_write_nothing_and_score_nothing(self):
        metrics = self.run_on("daily-batch/")
        self.assertEqual(self.world.written, {})
        self.assertEqual(metrics["RecordsProcessed"]["Value"], 0)
        self.assertNotIn("DataQualityScore", metrics)

    def test_amounts_and_days_that_cannot_be_read_are_not_written_as_null(self):
        self.world.files["s3://raw/daily-batch/a.csv"] = [order("1", amount="ten"), order("2", day="soon"), order("3")]
        metrics = self.run_on("daily-batch/")
        self.assertEqual([row[0] for row in self.world.rows()], ["3"])
        self.assertAlmostEqual(metrics["DataQualityScore"]["Value"], 100 / 3)

    def test_metrics_say_of_which_tenant_and_pipeline_they_are(self):
        for metric in self.run_on("daily-batch/").values():
            dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            self.assertEqual(dimensions, {"Tenant": "finance", "Pipeline": "sales"})


class Quality(unittest.TestCase):
    def setUp(self):
        self.script = load("jobs/quality.py")
        self.world = glue.World()

    def run_on(self, path):
        return self.world.run(self.script, arguments(path))

    def test_no_orders_are_neither_fresh_nor_complete_and_stop_the_pipeline(self):
        with self.assertRaisesRegex(ValueError, "there are no orders in s3://raw/daily-batch/"):
            self.run_on("daily-batch/")
        self.assertEqual([metric["MetricName"] for metric in self.world.metrics], ["RecordsChecked"])

    def test_what_is_missing_is_counted_and_stops_the_pipeline(self):
        self.world.files["s3://raw/daily-batch/a.csv"] = [order("1"), order(""), order("  "), order(None)]
        with self.assertRaisesRegex(ValueError, "'customer_id': 3"):
            self.run_on("daily-batch/")
        scores = {metric["MetricName"]: metric["Value"] for metric in self.world.metrics}
        self.assertEqual(scores["CompletenessScore"], 25)

    def test_complete_orders_pass_and_have_an_age(self):
        self.world.files["s3://raw/daily-batch/a.csv"] = [order("1", day="2020-01-01"), order("2", day="2020-01-02")]
        metrics = self.run_on("daily-batch/")
        self.assertEqual(metrics["CompletenessScore"]["Value"], 100)
        self.assertGreater(metrics["DataFreshness"]["Value"], 24 * 365 * 6)
        dimensions = {one["Name"]: one["Value"] for one in metrics["DataFreshness"]["Dimensions"]}
        self.assertEqual(dimensions, {"Tenant": "finance", "Pipeline": "sales"})


class Clicks(unittest.TestCase):
    def setUp(self):
        self.bucket = os.environ["OUTPUT_BUCKET"] = "acme-clicks-test"
        self.s3 = boto3.client("s3")
        self.s3.create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_REGION"]}
        )
        self.script = load("clicks/handler.py")

    def tearDown(self):
        for key in self.keys():
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        self.s3.delete_bucket(Bucket=self.bucket)

    def keys(self):
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def lines(self):
        bodies = [self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in self.keys()]
        return [json.loads(line) for body in bodies for line in gzip.decompress(body).decode().splitlines()]

    @staticmethod
    def event(*records):
        def record(number, data):
            return {
                "eventID": f"shardId-000000000000:{number}",
                "kinesis": {
                    "sequenceNumber": str(number),
                    "approximateArrivalTimestamp": 1_795_000_000 + number,
                    "data": base64.b64encode(data).decode(),
                },
            }

        return {"Records": [record(number, data) for number, data in records]}

    def test_what_comes_in_is_written(self):
        answer = self.script.process(self.event((1, b'{"page": "/"}'), (2, b'{"page": "/a"}')), None)
        self.assertEqual(answer, {"batchItemFailures": []})
        self.assertEqual(self.lines(), [{"page": "/"}, {"page": "/a"}])

    def test_a_batch_that_comes_again_is_there_once(self):
        event = self.event((1, b'{"page": "/"}'), (2, b'{"page": "/a"}'))
        self.script.process(event, None)
        self.script.process(event, None)
        self.assertEqual(len(self.keys()), 1)
        self.assertEqual(len(self.lines()), 2)

    def test_a_record_that_cannot_be_read_is_reported_and_what_follows_is_written_once(self):
        records = [(1, b'{"n": 1}'), (2, b"no JSON"), (3, b'{"n": 3}')]
        answer = self.script.process(self.event(*records), None)
        self.assertEqual(answer, {"batchItemFailures": [{"itemIdentifier": "2"}]})
        self.assertEqual(self.lines(), [{"n": 1}])
        # Lambda begins again with the record that was reported, gives it up, and goes on.
        self.assertEqual(self.script.process(self.event(*records[1:]), None)["batchItemFailures"], [{"itemIdentifier": "2"}])
        self.script.process(self.event(*records[2:]), None)
        self.assertEqual(self.lines(), [{"n": 1}, {"n": 3}])


if __name__ == "__main__":
    unittest.main()
