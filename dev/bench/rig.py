"""What the benches of single roles are measured on: Postgres, ClickHouse, Kafka if wanted, and weir's roles by name.

A log belongs to one database, so whatever has a name here has databases, a log and a folder of its own.
"""

import contextlib
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

import demo
import looks
import ports
import running
import workspace
from console import Problem, last_lines, say, step
from process import Spec
from shapes import DRAIN_SECONDS, answers_ready
from stores import clickhouse, kafka
from stores.postgres import Postgres
from subject import clean_environment, own_folder
from supervisor import Supervisor

MAX_CONNECTIONS = 50
# What the others are copies of.
TEMPLATE = "weir_bench"
BUILD = ["cargo", "build", "--release", "--message-format", "json-render-diagnostics"]
PACKAGES = ["-p", "weir", "-p", "benches", "--bin", "weir", "--bench"]


@contextlib.contextmanager
def built(name, floors, has_kafka, more_properties=""):
    """A rig with weir and the floors of that bench, in a folder of its own, up until the end."""
    running.check_tools(has_kafka, False)
    programs = build(floors)
    with own_folder(workspace.ROOT / ".run" / name, *programs) as copies:
        rig = Rig(workspace.ROOT / ".run" / name, *copies)
        try:
            rig.start(has_kafka, more_properties)
            yield rig
        finally:
            rig.supervisor.stop()


def build(floors):
    """weir ($WEIR_BIN, if that is given) and the floors."""
    say("- building weir and the floors; the first time takes some minutes")
    argv = [*BUILD, *PACKAGES, floors]
    result = subprocess.run(argv, cwd=workspace.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        raise Problem("weir could not be built; cargo's message stands above")
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    found = {each["target"]["name"]: Path(each["executable"]) for each in messages if each.get("executable")}
    given = os.environ.get("WEIR_BIN")
    return Path(given).absolute() if given else found["weir"], found[floors]


class Rig:
    def __init__(self, folder, weir, floors):
        self.folder, self.binary, self.floors = folder, weir, floors
        self.supervisor = Supervisor(folder)
        self.database = self.clickhouse_url = self.brokers = None
        self.environment = clean_environment()

    def start(self, has_kafka, more_properties):
        postgres, clickhouse_port, broker, controller = ports.choose(4)
        log = self.folder / "log"
        self.database = Postgres(self.folder, log, postgres, MAX_CONNECTIONS)
        self.clickhouse_url = f"http://127.0.0.1:{clickhouse_port}"
        self.environment["CLICKHOUSE_URL"] = self.clickhouse_url
        specs = [self.database.spec, clickhouse.spec(self.folder, log, clickhouse_port)]
        if has_kafka:
            self.brokers = self.environment["KAFKA_BROKERS"] = f"127.0.0.1:{broker}"
            specs.append(kafka.spec(self.folder, log, broker, controller, more_properties))
        with step("starting " + ", ".join(spec.name for spec in specs)):
            self.supervisor.start(*specs)
            self.database.ensure_database(TEMPLATE)
            demo.migrate(self.binary, self.variables(TEMPLATE))

    def variables(self, name):
        return {
            **self.environment,
            "DATABASE_URL": self.database.url(name),
            "CLICKHOUSE_DATABASE": name,
            "KAFKA_TOPIC": name,
            "WEIR_DATA_DIR": str(workspace.make_folder(self.folder / "data" / name)),
        }

    def make(self, name):
        """Databases with the tenants of the template and without events, and no log or an empty topic."""
        self.database.query(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        demo.migrate(self.binary, self.variables(name))

    def drop(self, name):
        self.database.query(f'DROP DATABASE "{name}" WITH (FORCE)')
        self.clickhouse(f"DROP DATABASE IF EXISTS `{name}` SYNC")
        shutil.rmtree(self.folder / "data" / name, ignore_errors=True)

    def weir(self, name, *arguments):
        return demo.weir_json(self.binary, self.variables(name), *arguments)

    def clickhouse(self, sql):
        ports.fetch(self.clickhouse_url, sql.encode(), seconds=600)

    def end_clickhouse(self):
        """For benches of ingest, which never asks it: it was there for its tables to be made, and would take CPU."""
        self.supervisor.end("clickhouse")

    def role(self, role, name, **variables):
        """(process of weir, its port for metrics)."""
        (ops,) = ports.choose(1)
        spec = Spec(
            name=f"{role}-{name}",
            argv=[self.binary, role],
            log=self.folder / "log" / f"{role}-{name}.log",
            is_ready=functools.partial(answers_ready, ops),
            env={**self.variables(name), "WEIR_OPS_ADDR": f"127.0.0.1:{ops}", **variables},
            is_weir=True,
            stop_seconds=DRAIN_SECONDS,
        )
        return spec, ops

    def floor_server(self, batch, port):
        """A server that only reads bodies."""
        return Spec(
            name=f"floor-{batch}",
            argv=[self.floors, "serve", "--listen", f"127.0.0.1:{port}", "--batch", batch],
            log=self.folder / "log" / "floors.log",
            is_ready=functools.partial(ports.accepts, port),
            is_weir=True,
        )

    def floor(self, *arguments):
        """The JSON that a floor prints at its end."""
        argv = [str(part) for part in (self.floors, *arguments)]
        result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.environment)
        if result.returncode != 0:
            raise Problem(f"the floor {arguments[0]} failed", last_lines(result.stderr or result.stdout))
        return json.loads(result.stdout or "null")

    def pid(self, name):
        return self.supervisor.pids()[name]

    def store_costs(self):
        return store_costs(self.supervisor.pids(), self.clickhouse_url)


def store_costs(pids, clickhouse_url):
    """CPU-seconds of each store so far. What has a space in its name is a part of the one before it: what a server of
    ClickHouse would not take, or would take in C++."""
    found = {"clickhouse": looks.cpu_seconds(pids["clickhouse"])}
    if costs := clickhouse.costs_of_shim(clickhouse_url):
        found["of it Python"] = costs["cpu_seconds"]
    found["postgres"] = looks.family_cpu_seconds(pids["postgres"])
    return found | {name: looks.cpu_seconds(pids[name]) for name in ("kafka", "redis") if name in pids}
