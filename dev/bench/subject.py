"""What is measured: `weir ingest` on a real Kafka broker, and beside it servers that only read bodies."""

import functools
import os

import demo
import ports
import workspace
from console import step
from process import Spec, stop_children
from shapes import DRAIN_SECONDS, answers_ready
from stores import clickhouse, kafka
from stores.postgres import Postgres
from supervisor import Supervisor

MAX_CONNECTIONS = 50
DATABASE = "weir_bench"
# More than any run sends.
CAP = 1_000_000_000_000
TENANTS = {"uncapped": [], "capped": ["--quota", str(CAP)]}


class Subject:
    def __init__(self, folder, weir, floors):
        self.folder, self.weir, self.floors = folder, weir, floors
        self.supervisor = Supervisor(folder)
        self.keys = {}
        self.floor_ports = {}
        self.ingest_port = self.database = self.brokers = self.environment = None

    def start(self, batches):
        self.start_stores()
        self.ingest_port, ops, *floors = ports.choose(2 + len(batches))
        self.environment.update(self.addresses(self.ingest_port, ops))
        for name, limits in TENANTS.items():
            demo.weir_json(self.weir, self.environment, "tenant", "create", name, "--plan", "unlimited", *limits)
            self.keys[name] = demo.weir_json(self.weir, self.environment, "key", "create", name)["key"]
        self.floor_ports = dict(zip(batches, floors, strict=True))
        with step("starting weir ingest and the floors"):
            self.supervisor.start(self.ingest(ops), *self.servers())

    def start_stores(self):
        """Postgres and Kafka, with weir's tables and topic."""
        postgres, clickhouse_port, broker, controller = ports.choose(4)
        log = self.folder / "log"
        self.database = Postgres(self.folder, log, postgres, MAX_CONNECTIONS)
        self.brokers = f"127.0.0.1:{broker}"
        with step("starting postgres, kafka"):
            self.supervisor.start(self.database.spec, kafka.spec(self.folder, log, broker, controller, kafka.FORGETFUL))
        self.database.ensure_database(DATABASE)
        self.environment = {
            **os.environ,
            "DATABASE_URL": self.database.url(DATABASE),
            "CLICKHOUSE_URL": f"http://127.0.0.1:{clickhouse_port}",
            "KAFKA_BROKERS": self.brokers,
            "WEIR_DATA_DIR": str(workspace.make_folder(self.folder / "data")),
        }
        self.migrate(clickhouse.spec(self.folder, log, clickhouse_port))

    @staticmethod
    def addresses(ingest, ops):
        return {"WEIR_INGEST_ADDR": f"127.0.0.1:{ingest}", "WEIR_OPS_ADDR": f"127.0.0.1:{ops}"}

    def migrate(self, clickhouse_spec):
        """ClickHouse is there only for as long as its tables are made: ingest never asks it, and it would take CPU."""
        beside = Supervisor(workspace.make_folder(self.folder / "migrating"))
        try:
            with step("migrating the databases"):
                beside.start(clickhouse_spec)
                demo.migrate(self.weir, self.environment)
        finally:
            # Not `beside.stop()`: that is for the very end, and ignores Ctrl-C from then on.
            stop_children([watched.child for watched in beside.watched])
            beside.processes_file.unlink(missing_ok=True)

    def ingest(self, ops, name="ingest", **environment):
        return Spec(
            name=name,
            argv=[self.weir, "ingest"],
            log=self.folder / "log" / f"{name}.log",
            is_ready=functools.partial(answers_ready, ops),
            env={**self.environment, **environment},
            is_weir=True,
            stop_seconds=DRAIN_SECONDS,
        )

    def servers(self):
        for batch, port in self.floor_ports.items():
            yield Spec(
                name=self.floor_name(batch),
                argv=[self.floors, "serve", "--listen", f"127.0.0.1:{port}", "--batch", batch],
                log=self.folder / "log" / "floors.log",
                is_ready=functools.partial(ports.accepts, port),
                is_weir=True,
            )

    def floor_name(self, batch):
        return f"floor-{batch}"

    def pid(self, name):
        return self.supervisor.pids()[name]

    def stop(self):
        self.supervisor.stop()
