"""As much of Glue and Spark as the jobs of stacks/acme use, in memory: files are lists of rows, SQL is SQLite's.

What it keeps of the real ones is what the jobs rely on: a bookmark moves only when the job commits, and an overwrite replaces a folder.
"""

import sqlite3
import sys
import types
from datetime import date
from decimal import Decimal, InvalidOperation


class World:
    """Buckets, bookmarks and metrics, from one run to the next."""

    def __init__(self):
        self.files = {}  # URL -> rows
        self.written = {}  # folder -> rows
        self.finished = {}  # name of a bookmark -> URLs
        self.metrics = []

    def run(self, script, arguments, fails_before_commit=False):
        """Runs a script's `main` as Glue would. Returns what it put as metrics."""
        self.metrics = []
        modules = modules_of(self, arguments, fails_before_commit)
        known = {name: sys.modules.get(name) for name in modules}
        sys.modules.update(modules)
        try:
            script.main()
        finally:
            for name, module in known.items():
                sys.modules.pop(name)
                if module is not None:
                    sys.modules[name] = module
        return {metric["MetricName"]: metric for metric in self.metrics}

    def rows(self):
        """Everything in the target, without the time of processing."""
        rows = [dict(row) for folder in self.written.values() for row in folder]
        return sorted((row.get("customer_id"), str(row.get("order_date")), str(row.get("amount"))) for row in rows)


class Frame:
    def __init__(self, world, rows, columns=None):
        self.world, self.data = world, rows
        self.columns = columns if columns is not None else (list(rows[0]) if rows else [])

    def toDF(self):
        return self

    def cache(self):
        return self

    def withColumn(self, name, function):
        return Frame(self.world, [{**row, name: function(row)} for row in self.data], [*self.columns, name])

    def createOrReplaceTempView(self, name):
        database = self.world.database = sqlite3.connect(":memory:")
        database.row_factory = sqlite3.Row
        shown = [column for column in self.columns if column != "file"] + ["file"] * ("file" in self.columns)
        database.execute(f"CREATE TABLE {name} ({', '.join(shown)})")
        marks = ", ".join("?" * len(shown))
        values = [[row.get(column) for column in shown] for row in self.data]
        database.executemany(f"INSERT INTO {name} VALUES ({marks})", values)

    def dropna(self, subset):
        return Frame(self.world, [row for row in self.data if all(row[c] is not None for c in subset)], self.columns)

    def count(self):
        return len(self.data)

    def first(self):
        row = self.data[0]
        return type("Row", (dict,), {"__getattr__": dict.__getitem__})(row)

    def select(self, column):
        return Frame(self.world, [{column: row[column]} for row in self.data], [column])

    def distinct(self):
        seen = {tuple(row.values()): row for row in self.data}
        return Frame(self.world, list(seen.values()), self.columns)

    def collect(self):
        return [types.SimpleNamespace(**row) for row in self.data]

    def filter(self, holds):
        return Frame(self.world, [row for row in self.data if holds(row)], self.columns)

    def drop(self, name):
        return Frame(self.world, [{k: v for k, v in row.items() if k != name} for row in self.data], self.columns)

    @property
    def write(self):
        return self

    def mode(self, mode):
        assert mode == "overwrite", "what is appended is there twice after a second run"
        return self

    def partitionBy(self, *columns):
        assert all(column in self.columns for column in columns)
        return self

    def parquet(self, folder):
        self.world.written[folder] = self.data


class Column:
    def __init__(self, value):
        self.value = value

    def __call__(self, row):
        return self.value(row)

    def __eq__(self, other):
        return Column(lambda row: self.value(row) == other)

    def cast(self, kind):
        return Column(lambda row: cast(self.value(row), kind))


def cast(value, kind):
    """What cannot be read becomes null, as in Spark without ANSI mode."""
    try:
        return date.fromisoformat(value[:10]) if kind == "date" else Decimal(value).quantize(Decimal("0.01"))
    except (ValueError, InvalidOperation, TypeError):
        return None


def modules_of(world, arguments, fails_before_commit):
    class Job:
        def __init__(self, context):
            world.pending = {}

        def init(self, name, arguments):
            pass

        def commit(self):
            if fails_before_commit:
                raise RuntimeError("the run ends here")
            for name, urls in world.pending.items():
                world.finished.setdefault(name, set()).update(urls)

    def read(paths, name=""):
        done = world.finished.get(name, set()) if name else set()
        urls = [url for url in sorted(world.files) if url.startswith(paths) and url not in done]
        if name:
            world.pending[name] = urls
        rows = [{**row, "_file": url} for url in urls for row in world.files[url]]
        columns = [column for column in (rows[0] if rows else {}) if column != "_file"]
        return Frame(world, rows, columns)

    class Context:
        def __init__(self, spark):
            self.spark_session = self
            self.create_dynamic_frame = self

        def from_options(self, connection_type, connection_options, format, format_options, transformation_ctx):
            assert connection_options["groupFiles"] == "none", "files that are read in groups have no name"
            return read(connection_options["paths"][0], transformation_ctx)

        def sql(self, query):
            found = world.database.execute(query).fetchall()
            return Frame(world, [dict(row) for row in found])

        @property
        def read(self):
            return self

        def option(self, key, value):
            return self

        def csv(self, source):
            return read(source)

    class Watch:
        def put_metric_data(self, Namespace, MetricData):
            world.metrics.extend(MetricData)

    def module(name, **names):
        made = types.ModuleType(name)
        made.__dict__.update(names)
        return made

    given = {key.replace("-", "_"): value for key, value in arguments.items()}

    def resolved(argv, names):
        missing = [name for name in names if name.replace("-", "_") not in given]
        assert not missing, f"arguments that the script asks for and nobody gives: {missing}"
        return given

    patterns = {"yyyy": "%Y", "MM": "%m", "dd": "%d"}
    return {
        "boto3": module("boto3", client=lambda service: Watch()),
        "awsglue": module("awsglue"),
        "awsglue.context": module("awsglue.context", GlueContext=Context),
        "awsglue.job": module("awsglue.job", Job=Job),
        "awsglue.utils": module("awsglue.utils", getResolvedOptions=resolved),
        "pyspark": module("pyspark"),
        "pyspark.context": module("pyspark.context", SparkContext=object),
        "pyspark.sql": module("pyspark.sql"),
        "pyspark.sql.functions": module(
            "pyspark.sql.functions",
            col=lambda name: Column(lambda row: row[name]),
            current_timestamp=lambda: Column(lambda row: "now"),
            date_format=lambda name, pattern: Column(lambda row: row[name].strftime(patterns[pattern])),
            input_file_name=lambda: Column(lambda row: row["_file"]),
        ),
    }
