"""The river under test: started as a user starts it, in a folder and on ports of its own, asked, and killed.

Only processes that descend from the one started here are ever killed.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import looks
import ports
import weir
import workspace
from console import Problem, last_lines, say, step
from looks import start_time
from processes import SIGNALS, end_leftovers, listed, send, spawn
from shapes import Shape
from stores import clickhouse, postgres
from workspace import read_if_any

UP_SECONDS = 180
GONE_SECONDS = 20
STOP_SECONDS = 120
# The stores must be those in the folder, whatever the developer's shell says.
NOT_INHERITED = ("DATABASE_URL", "CLICKHOUSE_", "KAFKA_", "REDIS_URL", "WEIR_", "TOKIO_")
# One connection of Postgres to weir: Postgres then ends all others as well and recovers.
POSTGRES_SESSION = "a Postgres session"
CAP_THAT_IS_NEVER_REACHED = 1_000_000_000_000


class River:
    """`settings` are weir's, and those of `Shape`."""

    def __init__(self, folder, is_cluster, port, binary, **settings):
        settings = {name: str(value) for name, value in settings.items()}
        self.folder, self.binary = folder, binary
        self.shape = Shape(is_cluster, port, settings)
        self.log = folder / "log" / "river.log"
        # The address is for `weir load`.
        own = {"WEIR_RUN_DIR": str(folder), "WEIR_BIN": str(binary), "WEIR_URL": self.shape.urls()}
        self.environment = {**clean_environment(), **own, **settings}
        self.supervisor = self.env_before = None

    # Up and down

    def start(self):
        self.env_before = read_if_any(self.folder / "env")
        argv = [sys.executable, workspace.DEV / "river.py", self.shape.command, "--port", self.shape.base]
        with open(self.log, "ab") as log, SIGNALS.held():
            self.supervisor = spawn(argv, log, env=self.environment)

    def up(self):
        with step("starting a river"):
            self.start()
            self.wait_until_up()
        return self

    def wait_until_up(self, killed=()):
        """Until all are ready, none of them one of the processes that were `killed`."""
        deadline = time.monotonic() + UP_SECONDS
        while not self.is_up(killed):
            gave_up = self.supervisor.poll() is not None
            if gave_up or time.monotonic() > deadline:
                why = "gave up" if gave_up else f"is not up again after {UP_SECONDS} s"
                raise Problem(f"the river {why}", last_lines(self.log.read_text(errors="replace")))
            time.sleep(0.1)

    def is_up(self, killed):
        if read_if_any(self.folder / "env") in (None, self.env_before):
            return False
        alive = {name for name, pid in self.pids().items() if start_time(pid) is not None and pid not in killed}
        is_complete = alive.issuperset([*self.shape.names, *self.shape.stores])
        ready = (looks.answers(port, "readyz") for port in self.shape.of_each("ops"))
        return is_complete and all(ready) and clickhouse.answers_ping(self.shape.store_port("clickhouse"))

    def stop(self):
        """As `make stop` does; what does not end in time is killed."""
        if self.supervisor is None or self.supervisor.poll() is not None:
            return
        send(self.supervisor.pid, signal.SIGTERM)
        try:
            self.supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill(["supervisor", *self.pids()])
            say("! the river did not stop in time and was killed")

    # Processes

    def pids(self):
        """By name, as the supervisor has written them down."""
        return {name: pid for _, name, pid, _, _ in listed(self.folder)}

    def families(self, names):
        """The processes of these names, each with all its descendants; of the supervisor it alone."""
        roots = {pid for name, pid in self.pids().items() if name in names}
        found = roots.union(*map(looks.descendants, roots))
        return found | ({self.supervisor.pid} if "supervisor" in names else set())

    def kill(self, names):
        """kill -9 of these processes with all their descendants, in one moment. Returns the pids."""
        pids, family = self.pids(), looks.descendants(self.supervisor.pid)
        roots = [pids[name] for name in names if pids.get(name) in family]
        if POSTGRES_SESSION in names:
            roots += sorted(pid for pid in looks.descendants(pids["postgres"]) if is_session(pid))[:1]
        if "supervisor" in names:
            roots.insert(0, self.supervisor.pid)
        # Stopped first, so that nobody gives birth while we count.
        for pid in roots:
            send(pid, signal.SIGSTOP)
        victims = {pid: start_time(pid) for root in roots for pid in {root, *looks.descendants(root)}}
        for pid in victims:
            send(pid, signal.SIGKILL)
        self.wait_until_gone(victims)
        return set(victims)

    def terminate(self, name):
        """SIGTERM, until it is gone; the seconds that took."""
        pid, begun = self.pids()[name], time.monotonic()
        victims = {pid: start_time(pid)}
        send(pid, signal.SIGTERM)
        self.wait_until_gone(victims)
        return time.monotonic() - begun

    def wait_until_gone(self, victims):
        deadline = time.monotonic() + GONE_SECONDS
        while left := [pid for pid, begun in victims.items() if begun is not None and start_time(pid) == begun]:
            if time.monotonic() > deadline:
                raise Problem(f"processes {left} do not end")
            time.sleep(0.01)
            # Reaps it, if it is one of them.
            self.supervisor.poll()

    # Questions

    def env(self):
        return workspace.read_env(self.folder / "env")

    def weir(self, *arguments, **options):
        """What a command of weir printed as JSON; None if it could not say, and why."""
        return weir.ask(self.binary, {**self.environment, **self.env()}, *arguments, **options)

    def weir_now(self, *arguments):
        return weir.ask_now(self.binary, {**self.environment, **self.env()}, *arguments)

    def tenant(self, name, *limits):
        """The key of a new tenant without limits except these."""
        self.weir_now("tenant", "create", name, "--plan", "unlimited", *limits)
        return self.weir_now("key", "create", name)["key"]

    def capped_and_uncapped(self):
        """The keys of two tenants; of one each event is charged to a cap."""
        return {
            "uncapped": self.tenant("uncapped"),
            "capped": self.tenant("capped", "--quota", CAP_THAT_IS_NEVER_REACHED),
        }

    def metrics(self):
        """Of all roles; those who commit come first: what they have was accepted before."""
        roles = sorted(self.shape.roles, key=lambda role: role[1] == "ingest")
        return {name: looks.metrics(listening["ops"]) for name, _, listening in roles}

    def sql(self, query):
        return postgres.query(self.env()["DATABASE_URL"], query, timeout=weir.COMMAND_SECONDS)

    def clickhouse(self, query):
        env = self.env()
        url = f"{env['CLICKHOUSE_URL']}/?database={env['CLICKHOUSE_DATABASE']}"
        text = ports.fetch(url, query.encode(), weir.COMMAND_SECONDS).decode()
        return [line.split("\t") for line in text.splitlines()]


class Load:
    """One `weir load` at the side of a river or rig: its report, its complaints and its journal in files. `key` is the
    key, or a file of keys."""

    def __init__(self, subject, label, key, *options, journal=False, **environment):
        self.label = label
        self.output = workspace.make_folder(subject.folder / "loads") / f"{label}.json"
        self.log, self.journal = self.output.with_suffix(".log"), self.output.with_suffix(".journal")
        options += ("--journal", self.journal) if journal else ()
        options += ("--keys-file", key) if isinstance(key, Path) else ()
        # The key stands in the environment: others may read our arguments.
        environment = {**subject.environment, "WEIR_KEY": "" if isinstance(key, Path) else key, **environment}
        with open(self.output, "wb") as out, open(self.log, "wb") as log, SIGNALS.held():
            self.process = spawn([subject.binary, "load", "--json", *options], out, log, env=environment)

    def is_over(self):
        return self.process.poll() is not None

    def report(self, seconds=600):
        """What it says itself, once it is over. Its exit code says whether anything was accepted: at its cap a tenant
        may be refused throughout."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Problem(f"the load {self.label} does not end within {seconds} s") from None
        text = self.output.read_text()
        if not text:
            raise Problem(f"the load {self.label} ended without a report", last_lines(self.log.read_text()))
        return json.loads(text)

    def end(self):
        if not self.is_over():
            self.process.kill()
            self.process.wait()


def load_shape(batch, connections, rate=None, gzip=False):
    """The options for requests of so many events, over so many connections, at so many events a second."""
    options = ["--batch", batch, "--connections", connections]
    return [*options, *(["--rate", rate] if rate else []), *(["--gzip"] if gzip else [])]


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}


def is_session(pid):
    """Postgres names its processes after what they do: `postgres: <user> <database> <address> <state>`."""
    with contextlib.suppress(OSError):
        return b"postgres: postgres weir" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@contextlib.contextmanager
def own_folder(name, *programs):
    """Nobody else works there, and nothing of an earlier run is left. It has copies of the programs, so that a build in
    between does not change what is looked at. Deleted at the end, unless what was done in it failed."""
    folder = workspace.ROOT / ".run" / name
    with workspace.locked(folder.with_suffix(".lock"), f"somebody works in {workspace.shown(folder)} already"):
        remove(folder)
        workspace.make_folder(folder / "log")
        try:
            yield [folder, *(shutil.copy2(program, folder / program.name) for program in programs)]
        except Problem:
            say(f"- all of it stays in {workspace.shown(folder)}")
            raise
        except BaseException:
            remove(folder)
            raise
        remove(folder)


@contextlib.contextmanager
def running_river(is_cluster, port, binary, name, **settings):
    """One in a folder of its own, up until the end; with these settings."""
    with own_folder(name, binary) as [folder, copy]:
        river = River(folder, is_cluster, port, copy, **settings)
        ports.check_free(river.shape.ports())
        try:
            yield river.up()
        finally:
            river.stop()


def remove(folder):
    end_leftovers(folder)
    shutil.rmtree(folder, ignore_errors=True)
