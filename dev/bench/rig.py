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

import looks
import ports
import shapes
import stores
import tools
import weir
import workspace
from console import Problem, output_of, say
from processes import Spec, Supervisor
from subject import clean_environment, own_folder

CONNECTIONS_MAX = 50
# What the others are copies of.
TEMPLATE = "weir_bench"
BUILD = ["cargo", "build", "--release", "--message-format", "json-render-diagnostics"]
BUILD += ["-p", "weir", "-p", "benches", "--bin", "weir", "--bench"]


@contextlib.contextmanager
def built(name, floors, has_kafka, kafka_properties=""):
    """A rig with weir and the floors of that bench, in a folder of its own, up until the end."""
    weir.check_tools(is_cluster=False)
    if has_kafka:
        tools.check_kafka()
    with own_folder(name, *build(floors)) as found:
        rig = Rig(*found)
        try:
            rig.start(has_kafka, kafka_properties)
            yield rig
        finally:
            rig.supervisor.stop()


def build(floors):
    """weir ($WEIR_BIN, if that is given) and the floors."""
    say("- building weir and the floors; the first time takes some minutes")
    # cargo's own messages go to the terminal.
    result = subprocess.run([*BUILD, floors], cwd=workspace.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if result.returncode != 0:
        raise Problem("weir could not be built; cargo's message stands above")
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    found = {each["target"]["name"]: Path(each["executable"]) for each in messages if each.get("executable")}
    given = os.environ.get("WEIR_BIN")
    return Path(given).absolute() if given else found["weir"], found[floors]


class Rig:
    def __init__(self, folder, binary, floors):
        self.folder, self.binary, self.floors = folder, binary, floors
        self.supervisor, self.environment = Supervisor(folder), clean_environment()
        self.postgres = None

    def start(self, has_kafka, kafka_properties):
        names = ["postgres", "clickhouse", *(["kafka", "kafka_controller"] if has_kafka else [])]
        listening = dict(zip(names, ports.choose(len(names)), strict=True))
        addresses, self.postgres = stores.start(
            self.supervisor, listening, connections_max=CONNECTIONS_MAX, kafka_properties=kafka_properties
        )
        self.environment.update(addresses)
        self.postgres.ensure_database(TEMPLATE)
        self.weir(TEMPLATE, "migrate")

    def variables(self, name):
        folder = workspace.make_folder(self.folder / "data" / name)
        own = {"DATABASE_URL": self.postgres.url(name), "CLICKHOUSE_DATABASE": name, "KAFKA_TOPIC": name}
        return {**self.environment, **own, "WEIR_DATA_DIR": str(folder)}

    def make(self, name):
        """Databases with the tenants of the template and without events, and no log or an empty topic."""
        self.postgres.query(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        self.weir(name, "migrate")

    def drop(self, name):
        self.postgres.query(f'DROP DATABASE "{name}" WITH (FORCE)')
        self.clickhouse(f"DROP DATABASE IF EXISTS `{name}` SYNC")
        shutil.rmtree(self.folder / "data" / name, ignore_errors=True)

    def weir(self, name, *arguments):
        return weir.run(self.binary, self.variables(name), *arguments)

    def ask(self, name, *arguments):
        return weir.ask_now(self.binary, self.variables(name), *arguments)

    def clickhouse(self, sql):
        ports.fetch(self.environment["CLICKHOUSE_URL"], sql.encode(), seconds=600)

    def serve(self, role, name, **more):
        """Starts a process of weir; its name, and its ports by what they serve."""
        serves = ["ops", "ingest"] if role == "ingest" else ["ops"]
        listening = dict(zip(serves, ports.choose(len(serves)), strict=True))
        label = f"{role}-{name}"
        environment = {**self.variables(name), **more}
        self.supervisor.start(shapes.weir(self.binary, role, label, self.folder, listening, environment))
        return label, listening

    def serve_floor(self, batch):
        """Starts a server that only reads bodies; its name and port."""
        (port,), name = ports.choose(1), f"floor-{batch}"
        argv = [self.floors, "serve", "--listen", f"127.0.0.1:{port}", "--batch", batch]
        log, is_ready = self.folder / "log" / "floors.log", functools.partial(ports.accepts, port)
        self.supervisor.start(Spec(name, argv, log, is_ready, is_weir=True))
        return name, port

    def floor(self, *arguments):
        """The JSON that a floor prints at its end."""
        text = output_of([self.floors, *arguments], f"the floor {arguments[0]} failed", env=self.environment)
        return json.loads(text or "null")

    def pid(self, name):
        return self.supervisor.pids()[name]

    def store_costs(self):
        return store_costs(self.supervisor.pids())


def store_costs(pids):
    """CPU-seconds of each store so far."""
    found = {name: looks.cpu_seconds(pids[name]) for name in ("clickhouse", "kafka", "redis") if name in pids}
    return found | {"postgres": looks.family_cpu_seconds(pids["postgres"])}
