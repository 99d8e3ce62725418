"""The two shapes of weir on this machine: which ports, which stores, which processes.

Each shape has databases of its own, because positions in the ledger belong to one log.
A store whose address stands in the environment is used as it is: it is neither started nor stopped here.
"""

import dataclasses
import functools
import http.client
import os

import ports
import workspace
from console import Problem
from process import Spec

# In a row, from the first of its ports on.
PORTS = 20
# Of the proxy before each store, where `make faults` has put them.
PROXIES = {"DATABASE_URL": 16, "CLICKHOUSE_URL": 17, "KAFKA_BROKERS": 18, "REDIS_URL": 19}
# A weir process drains for up to 20 s.
DRAIN_SECONDS = 25


@dataclasses.dataclass
class Shape:
    """`base` is the port that all others are counted from."""

    is_cluster: bool
    base: int

    def __post_init__(self):
        self.ingest, self.admin, self.ops = self.base, self.base + 1, self.base + 2
        self.postgres, self.clickhouse = self.base + 3, self.base + 4
        self.kafka, self.kafka_controller, self.redis = self.base + 5, self.base + 6, self.base + 7
        self.starts_postgres = not os.environ.get("DATABASE_URL")
        self.starts_clickhouse = not os.environ.get("CLICKHOUSE_URL")
        self.starts_kafka = self.is_cluster and not os.environ.get("KAFKA_BROKERS")
        self.has_proxies = bool(os.environ.get("WEIR_RUN_PROXIES"))
        self.starts_redis = self.is_cluster and not os.environ.get("REDIS_URL")

    @classmethod
    def of_its_own(cls, is_cluster, base, has_proxies=False):
        """One that starts every store itself, whatever the environment names."""
        shape = cls(is_cluster, base)
        shape.has_proxies = has_proxies
        shape.starts_postgres = shape.starts_clickhouse = True
        shape.starts_kafka = shape.starts_redis = shape.is_cluster
        return shape

    def proxies(self):
        """(port of the proxy, port of the store) by the variable that names the store; empty if there are none."""
        stores = (self.postgres, self.clickhouse, self.kafka, self.redis)
        pairs = {name: (self.base + PROXIES[name], store) for name, store in zip(PROXIES, stores, strict=True)}
        return pairs if self.has_proxies else {}

    def through_proxies(self, values):
        """The addresses of the stores as weir's processes are to have them."""
        pairs = self.proxies()
        return {
            name: values[name].replace(f":{store}", f":{proxy}")
            for name, (proxy, store) in pairs.items()
            if name in values
        }

    @property
    def database(self):
        if self.is_cluster:
            return "weir_cluster"
        return "weir_kafka" if os.environ.get("KAFKA_BROKERS") else "weir"

    def ports(self):
        """All ports that will be listened on, with what they are for."""
        wanted = {port: f"{name} {what}" for name, _, listening in self.roles() for what, port in listening.items()}
        for is_started, port, what in (
            (self.starts_postgres, self.postgres, "Postgres"),
            (self.starts_clickhouse, self.clickhouse, "ClickHouse"),
            (self.starts_kafka, self.kafka, "Kafka"),
            (self.starts_kafka, self.kafka_controller, "Kafka's controller"),
            (self.starts_redis, self.redis, "Redis"),
        ):
            if is_started:
                wanted[port] = what
        return wanted

    def roles(self):
        """(name, subcommand, ports by what they serve) of each weir process."""
        if not self.is_cluster:
            return [("weir", "standalone", dict(ingest=self.ingest, admin=self.admin, ops=self.ops))]
        ops = self.base + 10
        return [
            ("ingest-1", "ingest", dict(ingest=self.ingest, ops=ops)),
            ("ingest-2", "ingest", dict(ingest=self.base + 8, ops=ops + 1)),
            ("processor-1", "processor", dict(ops=ops + 2)),
            ("processor-2", "processor", dict(ops=ops + 3)),
            ("billing", "billing", dict(ops=ops + 4)),
            ("admin", "admin", dict(admin=self.admin, ops=ops + 5)),
        ]

    def data_folder(self, name):
        return workspace.RUN / "data" / (f"cluster/{name}" if self.is_cluster else "standalone")

    def urls(self):
        """What customers send events to; several with commas between."""
        ports = [listening["ingest"] for _, _, listening in self.roles() if "ingest" in listening]
        return ",".join(f"http://127.0.0.1:{port}" for port in ports)

    def specs(self, binary, environment):
        for name, subcommand, listening in self.roles():
            env = {f"WEIR_{what.upper()}_ADDR": f"127.0.0.1:{port}" for what, port in listening.items()}
            yield Spec(
                name=name,
                argv=[binary, subcommand],
                log=workspace.RUN / "log" / f"{name}.log",
                is_ready=functools.partial(answers_ready, listening["ops"]),
                env={**environment, **env, "WEIR_DATA_DIR": workspace.make_folder(self.data_folder(name))},
                is_weir=True,
                stop_seconds=DRAIN_SECONDS,
            )


def parse_port(text):
    highest = 65536 - PORTS
    if not (text.isdecimal() and 1024 <= int(text) <= highest):
        raise Problem(f"PORT={text} does not do: choose a number between 1024 and {highest}")
    return int(text)


def answers_ready(port):
    try:
        ports.fetch(f"http://{ports.HOST}:{port}/readyz", seconds=2)
        return True
    except (OSError, http.client.HTTPException):
        return False
