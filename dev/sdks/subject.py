"""The weir that SDKs send to: one process on stores of its own, in a folder that is deleted at the end."""

import functools
import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import ports
import workspace
from console import Problem, last_lines, run_visibly, step
from process import Spec
from shapes import DRAIN_SECONDS, answers_ready
from stores import clickhouse
from stores.postgres import Postgres

DATABASE = "weir"
MAX_CONNECTIONS = 50
QUOTA = 1_000_000


def build():
    """weir: $WEIR_BIN, or the one that tests use, built now."""
    given = os.environ.get("WEIR_BIN")
    if given:
        return Path(given).absolute()
    if run_visibly(["cargo", "build", "-p", "weir"], cwd=workspace.ROOT) != 0:
        raise Problem("weir could not be built; cargo's message stands above")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or "target")
    return workspace.ROOT / target / "debug" / "weir"


class River:
    """Started by `start`, ended by the supervisor."""

    def __init__(self, supervisor, home, binary):
        self.supervisor, self.home, self.binary = supervisor, home, binary
        self.ingest, self.admin, self.ops, self.postgres, self.clickhouse = ports.choose(5)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "KAFKA_", "REDIS_"))},
            "WEIR_LOG": os.environ.get("WEIR_LOG", "info"),
            "WEIR_OPERATOR_TOKEN": "o" * 32,
            "WEIR_DATA_DIR": str(home / "data"),
            "WEIR_INGEST_ADDR": f"{ports.HOST}:{self.ingest}",
            "WEIR_ADMIN_ADDR": f"{ports.HOST}:{self.admin}",
            "WEIR_OPS_ADDR": f"{ports.HOST}:{self.ops}",
            "CLICKHOUSE_URL": f"http://{ports.HOST}:{self.clickhouse}",
            "CLICKHOUSE_DATABASE": DATABASE,
        }

    def start(self):
        log = self.home / "log"
        postgres = Postgres(self.home, log, self.postgres, MAX_CONNECTIONS)
        self.environment["DATABASE_URL"] = postgres.url(DATABASE)
        with step("starting postgres, clickhouse, weir"):
            self.supervisor.start(postgres.spec, clickhouse.spec(self.home, log, self.clickhouse))
            postgres.ensure_database(DATABASE)
            self.weir("migrate")
            spec = Spec(
                name="weir",
                argv=[self.binary, "standalone"],
                log=log / "weir.log",
                is_ready=functools.partial(answers_ready, self.ops),
                env=self.environment,
                is_weir=True,
                stop_seconds=DRAIN_SECONDS,
            )
            self.supervisor.start(spec)
        return self

    def weir(self, *arguments):
        """The output of a command."""
        done = subprocess.run([self.binary, *arguments], env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Problem(f"weir {' '.join(arguments)} failed", last_lines(done.stderr + done.stdout))
        return done.stdout

    def customer(self, name):
        """The key of a new tenant, once weir takes it."""
        self.weir("tenant", "create", name, "--quota", str(QUOTA))
        key = json.loads(self.weir("key", "create", name, "--json"))["key"]
        # A new key is known within a second.
        time.sleep(1)
        return key

    def usage(self, tenant):
        return json.loads(self.weir("usage", tenant, "--json"))

    def tenant_id(self, tenant):
        return next(each["id"] for each in json.loads(self.weir("tenant", "list", "--json")) if each["name"] == tenant)

    def numbers(self, sql):
        """The one row of a query on ClickHouse, as integers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://{ports.HOST}:{self.clickhouse}/?database={DATABASE}"
        with opener.open(url, data=f"{sql} FORMAT TSV".encode(), timeout=30) as reply:
            return [int(column) for column in reply.read().split()]
