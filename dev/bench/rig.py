"""What a processor is measured on: Postgres, ClickHouse, Kafka if wanted, a log that is full, and nothing else."""

import functools
import os
import shutil

import demo
import ports
import workspace
from bench import program
from console import step
from process import Spec
from shapes import DRAIN_SECONDS, answers_ready
from stores import clickhouse, kafka
from stores.postgres import Postgres
from supervisor import Supervisor

MAX_CONNECTIONS = 50
# Has the tenants; each log has a copy of it, since a database belongs to one log.
TEMPLATE = "weir_bench"
TENANTS = 10
# As weir makes them.
PARTITIONS = {"local": 1, "kafka": 8}
# A part of ClickHouse's: what a server would not take, or would take in C++.
SHIM = "of it Python"


class Rig:
    def __init__(self, folder, weir, floors, kind):
        self.folder, self.weir, self.floors, self.kind = folder, weir, floors, kind
        self.supervisor = Supervisor(folder)
        self.partitions = PARTITIONS[kind]
        self.database = self.brokers = self.clickhouse_url = self.accounts = None
        self.environment = {}

    def start(self):
        postgres, clickhouse_port, broker, controller = ports.choose(4)
        log = self.folder / "log"
        self.database = Postgres(self.folder, log, postgres, MAX_CONNECTIONS)
        self.clickhouse_url = f"http://127.0.0.1:{clickhouse_port}"
        specs = [self.database.spec, clickhouse.spec(self.folder, log, clickhouse_port)]
        self.environment = {**os.environ, "CLICKHOUSE_URL": self.clickhouse_url}
        if self.kind == "kafka":
            self.environment["KAFKA_BROKERS"] = f"127.0.0.1:{broker}"
            specs.append(kafka.spec(self.folder, log, broker, controller))
        with step("starting " + ", ".join(spec.name for spec in specs)):
            self.supervisor.start(*specs)
        with step(f"making {TENANTS} tenants"):
            self.database.ensure_database(TEMPLATE)
            self.accounts = list(self.make_tenants())

    def make_tenants(self):
        environment = self.variables(TEMPLATE)
        demo.migrate(self.weir, environment)
        for number in range(TENANTS):
            name = f"tenant-{number}"
            tenant = demo.weir_json(self.weir, environment, "tenant", "create", name, "--plan", "unlimited")
            for project in demo.weir_json(self.weir, environment, "project", "list", name):
                yield f"{tenant['id']}:{project['id']}"

    def variables(self, name):
        """Where the databases, the log and the data of `name` are."""
        return {
            **self.environment,
            "DATABASE_URL": self.database.url(name),
            "CLICKHOUSE_DATABASE": name,
            "KAFKA_TOPIC": name,
            "WEIR_DATA_DIR": str(self.folder / "data" / name),
        }

    def make(self, name):
        """Databases without events, and no log or an empty topic."""
        self.database.query(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        demo.migrate(self.weir, self.variables(name))

    def drop(self, name):
        self.database.query(f'DROP DATABASE "{name}" WITH (FORCE)')
        self.query(f"DROP DATABASE IF EXISTS `{name}` SYNC")
        shutil.rmtree(self.folder / "data" / name, ignore_errors=True)

    def fill(self, name, events, batch, duplicates):
        """What ingest would have left in the log."""
        return self.run_floor(
            "fill",
            *self.place(name),
            *("--partitions", self.partitions, "--accounts", ",".join(self.accounts)),
            *("--events", events, "--batch", batch, "--duplicates", duplicates),
        )

    def place(self, name):
        if self.kind == "kafka":
            return ["--brokers", self.environment["KAFKA_BROKERS"], "--topic", name]
        return ["--dir", workspace.make_folder(self.folder / "data" / name) / "log"]

    def run_floor(self, *arguments):
        return program.run([self.floors, *arguments], self.environment)

    def processor(self, name, ops, **environment):
        """A `weir processor`: on the local disk too nobody else has the log."""
        variables = {**self.variables(name), "WEIR_OPS_ADDR": f"127.0.0.1:{ops}", **environment}
        return Spec(
            name="processor",
            argv=[self.weir, "processor"],
            log=self.folder / "log" / f"processor-{name}.log",
            is_ready=functools.partial(answers_ready, ops),
            env=variables,
            is_weir=True,
            stop_seconds=DRAIN_SECONDS,
        )

    def cpu_seconds(self):
        """Of each store so far."""
        return stores_cpu_seconds(self.supervisor.pids(), self.clickhouse_url)

    def query(self, sql):
        """For statements that answer nothing."""
        clickhouse.ask(self.clickhouse_url, sql)

    def stop(self):
        self.supervisor.stop()


def stores_cpu_seconds(pids, clickhouse_url):
    found = {"clickhouse": program.cpu_seconds(pids["clickhouse"])}
    if costs := clickhouse.costs_of_shim(clickhouse_url):
        found[SHIM] = costs["cpu_seconds"]
    found["postgres"] = program.family_cpu_seconds(pids["postgres"])
    found |= {name: program.cpu_seconds(pids[name]) for name in ("kafka", "redis") if name in pids}
    return found
