"""The two shapes of weir on this machine: which ports, which stores, which processes.

Each shape has databases of its own, because positions in the ledger belong to one log.
A store whose address stands in the environment is used as it is: it is neither started nor stopped here.
"""

import functools
import os

import looks
import workspace
from console import Problem
from processes import Spec

# Of a shape, in a row from the first of them on.
PORTS = 21
# The variable that names each store, the place of its port, and that of the proxy before it in `make faults`.
STORES = {
    "postgres": ("DATABASE_URL", 3, 16),
    "clickhouse": ("CLICKHOUSE_URL", 4, 17),
    "kafka": ("KAFKA_BROKERS", 9, 18),
    "redis": ("REDIS_URL", 7, 19),
}
KAFKA_CONTROLLER = 6
MAIL = 20
# weir's processes: name, subcommand, and the places of their ports by what they serve.
STANDALONE = (("weir", "standalone", {"ingest": 0, "admin": 1, "operator": 5, "ops": 2}),)
CLUSTER = (
    ("ingest-1", "ingest", {"ingest": 0, "ops": 10}),
    ("ingest-2", "ingest", {"ingest": 8, "ops": 11}),
    ("processor-1", "processor", {"ops": 12}),
    ("processor-2", "processor", {"ops": 13}),
    ("billing", "billing", {"ops": 14}),
    ("admin", "admin", {"admin": 1, "operator": 5, "ops": 15}),
)
# A weir process drains for up to 20 s.
DRAIN_SECONDS = 25


class Shape:
    """`base` is the port that all others are counted from; `environment` may name stores, and ask for proxies."""

    def __init__(self, is_cluster, base, environment=os.environ):
        self.is_cluster, self.base = is_cluster, base
        self.command = "cluster" if is_cluster else "run"
        self.stores = [name for name in STORES if is_cluster or name in ("postgres", "clickhouse")]
        self.given = {name: environment[name] for name, _, _ in STORES.values() if environment.get(name)}
        self.has_proxies = bool(environment.get("WEIR_RUN_PROXIES"))
        self.roles = [
            (name, subcommand, {what: base + place for what, place in places.items()})
            for name, subcommand, places in (CLUSTER if is_cluster else STANDALONE)
        ]
        self.names = [name for name, _, _ in self.roles]
        # Of the first process that serves it.
        self.ingest, self.ops = self.of_each("ingest")[0], self.of_each("ops")[0]

    def of_each(self, what):
        return [listening[what] for _, _, listening in self.roles if what in listening]

    def store_port(self, name):
        return self.base + STORES[name][1]

    def started(self):
        """The ports of the stores that are started."""
        found = {name: self.store_port(name) for name in self.stores if STORES[name][0] not in self.given}
        return found | ({"kafka_controller": self.base + KAFKA_CONTROLLER} if "kafka" in found else {})

    def proxies(self):
        """(port of the proxy, port of the store) by store; empty if there are none."""
        names = self.stores if self.has_proxies else ()
        return {name: (self.base + STORES[name][2], self.store_port(name)) for name in names}

    def through_proxies(self, values):
        """The addresses of the stores as weir's processes are to have them."""
        pairs = {STORES[name][0]: pair for name, pair in self.proxies().items()}
        return {name: values[name].replace(f":{store}", f":{proxy}") for name, (proxy, store) in pairs.items()}

    @property
    def database(self):
        if self.is_cluster:
            return "weir_cluster"
        return "weir_kafka" if "KAFKA_BROKERS" in self.given else "weir"

    def ports(self):
        """All ports that will be listened on, with what they are for."""
        wanted = {port: f"{name} {what}" for name, _, listening in self.roles for what, port in listening.items()}
        wanted[self.mail_port] = "Mails"
        return wanted | {port: name.replace("_", "'s ").capitalize() for name, port in self.started().items()}

    @property
    def mail_port(self):
        """Of the server that catches mails."""
        return self.base + MAIL

    def urls(self):
        """What customers send events to; several with commas between."""
        return ",".join(f"http://127.0.0.1:{port}" for port in self.of_each("ingest"))

    def admin_urls(self):
        """Where tenants, operators and the console's users are served, by the variables that name it."""
        admin, operator = (f"http://127.0.0.1:{self.of_each(what)[0]}" for what in ("admin", "operator"))
        return {"WEIR_ADMIN_URL": admin, "WEIR_OPERATOR_URL": operator, "WEIR_CONSOLE_URL": admin}

    def data_folder(self, name):
        return workspace.RUN / "data" / (f"cluster/{name}" if self.is_cluster else "standalone")

    def specs(self, binary, environment):
        for name, subcommand, listening in self.roles:
            folder = workspace.make_folder(self.data_folder(name))
            yield weir(binary, subcommand, name, workspace.RUN, listening, {**environment, "WEIR_DATA_DIR": folder})


def weir(binary, subcommand, name, home, listening, environment):
    """A process of weir, with its ports by what they serve."""
    addresses = {f"WEIR_{what.upper()}_ADDR": f"127.0.0.1:{port}" for what, port in listening.items()}
    return Spec(
        name=name,
        argv=[binary, subcommand],
        log=home / "log" / f"{name}.log",
        is_ready=functools.partial(looks.answers, listening["ops"], "readyz"),
        env={**environment, **addresses},
        is_weir=True,
        stop_seconds=DRAIN_SECONDS,
    )


def parse_port(text):
    highest = 65536 - PORTS
    if not (text.isdecimal() and 1024 <= int(text) <= highest):
        raise Problem(f"PORT={text} does not do: choose a number between 1024 and {highest}")
    return int(text)
