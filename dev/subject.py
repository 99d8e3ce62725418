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
import workspace
from console import Problem, last_lines, say, step
from process import start_time
from shapes import Shape, answers_ready
from stores import clickhouse, postgres_place
from supervisor import SIGNALS, end_leftovers

UP_SECONDS = 180
GONE_SECONDS = 20
STOP_SECONDS = 120
COMMAND_SECONDS = 120
# The stores must be those in the folder, whatever the developer's shell says.
NOT_INHERITED = ("DATABASE_URL", "CLICKHOUSE_", "KAFKA_", "REDIS_URL", "WEIR_", "TOKIO_")
# One connection of Postgres to weir: Postgres then ends all others as well and recovers.
POSTGRES_SESSION = "a Postgres session"
CAP_THAT_IS_NEVER_REACHED = 1_000_000_000_000


class River:
    def __init__(self, folder, shape, binary, **settings):
        self.folder, self.shape, self.binary = folder, shape, binary
        self.weir_names = [name for name, _, _ in shape.roles()]
        self.store_names = ["postgres", "clickhouse"] + (["kafka", "redis"] if shape.is_cluster else [])
        self.log = folder / "log" / "river.log"
        self.environment = {
            **clean_environment(),
            "WEIR_RUN_DIR": str(folder),
            "WEIR_BIN": str(binary),
            # For `weir load`.
            "WEIR_URL": shape.urls(),
            **{name: str(value) for name, value in settings.items()},
        }
        self.supervisor = None
        self.env_before = None

    # Up and down

    def start(self):
        self.env_before = self.env_text()
        command = "cluster" if self.shape.is_cluster else "run"
        argv = [sys.executable, workspace.DEV / "river.py", command, "--port", str(self.shape.base)]
        with open(self.log, "ab") as log, SIGNALS.held():
            self.supervisor = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )

    def up(self):
        with step("starting a river"):
            self.start()
            self.wait_until_up()
        return self

    def wait_until_up(self, killed=()):
        """Until all are ready, none of them one of the processes that were `killed`."""
        deadline = time.monotonic() + UP_SECONDS
        while not self.is_up(killed):
            if self.supervisor.poll() is not None:
                raise Problem("the river gave up", last_lines(self.log.read_text(errors="replace")))
            if time.monotonic() > deadline:
                tail = last_lines(self.log.read_text(errors="replace"))
                raise Problem(f"the river is not up again after {UP_SECONDS} s", tail)
            time.sleep(0.1)

    def is_up(self, killed):
        if self.env_text() in (None, self.env_before):
            return False
        alive = {pid for pid in self.pids().values() if start_time(pid) is not None}
        wanted = len(self.weir_names) + len(self.store_names)
        ready = (answers_ready(listening["ops"]) for _, _, listening in self.shape.roles())
        return len(alive - set(killed)) == wanted and all(ready) and clickhouse.answers_ping(self.shape.clickhouse)

    def stop(self):
        """As `make stop` does; what does not end in time is killed."""
        if self.supervisor is None or self.supervisor.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.supervisor.send_signal(signal.SIGTERM)
        try:
            self.supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill(["supervisor", *self.pids()])
            say("! the river did not stop in time and was killed")

    # kill -9

    def kill(self, names):
        """kill -9 of these processes with all their descendants, in one moment. Returns the pids."""
        pids = self.pids()
        family = looks.descendants(self.supervisor.pid)
        if "supervisor" in names:
            roots = [self.supervisor.pid]
        else:
            roots = [pids[name] for name in names if name in pids and pids[name] in family]
        if POSTGRES_SESSION in names:
            roots += sorted(pid for pid in looks.descendants(pids["postgres"]) if is_session(pid))[:1]
        # Stopped first, so that nobody gives birth while we count.
        for pid in [*roots, *(pids[name] for name in names if pids.get(name) in family)]:
            send(pid, signal.SIGSTOP)
        victims = {pid: start_time(pid) for root in roots for pid in {root, *looks.descendants(root)}}
        for pid in victims:
            send(pid, signal.SIGKILL)
        self.supervisor.poll()
        deadline = time.monotonic() + GONE_SECONDS
        while left := [pid for pid, begun in victims.items() if begun is not None and start_time(pid) == begun]:
            if time.monotonic() > deadline:
                raise Problem(f"processes {left} do not die")
            time.sleep(0.01)
            self.supervisor.poll()
        return set(victims)

    def pids(self):
        """By name, as the supervisor has written them down."""
        with contextlib.suppress(FileNotFoundError):
            rows = [line.split() for line in (self.folder / "processes").read_text().splitlines()]
            return {name: int(pid) for _, name, pid, _, _ in rows}
        return {}

    # Questions

    def env_text(self):
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "env").read_text()
        return None

    def env(self):
        return workspace.read_env(self.folder / "env")

    def weir(self, *arguments, seconds=COMMAND_SECONDS):
        """What a command of weir printed as JSON; None if it could not say, and why."""
        try:
            result = subprocess.run(
                [self.binary, *map(str, arguments), "--json"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env={**self.environment, **self.env()},
                timeout=seconds,
            )
            return json.loads(result.stdout), ""
        except ValueError:
            return None, f"weir {arguments[0]}: exit code {result.returncode}: {last_lines(result.stderr, 3)}"
        except subprocess.TimeoutExpired:
            return None, f"weir {arguments[0]}: no answer within {seconds} s"

    def weir_now(self, *arguments):
        answer, why = self.weir(*arguments)
        if answer is None:
            raise Problem(why)
        return answer

    def tenant(self, name, *limits):
        """The key of a new tenant without limits but these."""
        self.weir_now("tenant", "create", name, "--plan", "unlimited", *limits)
        return self.weir_now("key", "create", name)["key"]

    def capped_and_uncapped(self):
        """The keys of two tenants; of one each event is charged to a cap."""
        limits = {"uncapped": (), "capped": ("--quota", CAP_THAT_IS_NEVER_REACHED)}
        return {name: self.tenant(name, *limit) for name, limit in limits.items()}

    def metrics(self):
        """Of all roles; those who commit come first: what they have was accepted before."""
        roles = sorted(self.shape.roles(), key=lambda role: role[1] == "ingest")
        return {name: looks.metrics(listening["ops"]) for name, _, listening in roles}

    def sql(self, query):
        result = subprocess.run(
            [postgres_place.psql(), "-X", "-A", "-t", "-F", "\t", "-c", query, self.env()["DATABASE_URL"]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        if result.returncode != 0:
            raise Problem(f"Postgres refused: {query}", last_lines(result.stderr))
        return [line.split("\t") for line in result.stdout.splitlines()]

    def clickhouse(self, query):
        env = self.env()
        url = f"{env['CLICKHOUSE_URL']}/?database={env['CLICKHOUSE_DATABASE']}"
        text = ports.fetch(url, query.encode(), COMMAND_SECONDS).decode()
        return [line.split("\t") for line in text.splitlines()]


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}


def send(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def is_session(pid):
    """Postgres names its processes after what they do: `postgres: <user> <database> <address> <state>`."""
    with contextlib.suppress(OSError):
        return b"postgres: postgres weir" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@contextlib.contextmanager
def own_folder(folder, *programs):
    """Nobody else works there, and nothing of an earlier run is left. It has copies of the programs, so that a build in
    between does not change what is looked at. Deleted at the end, unless what was done in it failed."""
    workspace.make_folder(folder.parent)
    with workspace.locked(folder.with_suffix(".lock"), f"somebody works in {workspace.shown(folder)} already"):
        remove(folder)
        workspace.make_folder(folder / "log")
        try:
            yield [shutil.copy2(program, folder / program.name) for program in programs]
        except Problem:
            say(f"- all of it stays in {workspace.shown(folder)}")
            raise
        except BaseException:
            remove(folder)
            raise
        remove(folder)


@contextlib.contextmanager
def running_river(is_cluster, port, binary, name):
    """One in a folder of its own, up until the end."""
    shape, folder = Shape.of_its_own(is_cluster, port), workspace.ROOT / ".run" / name
    with own_folder(folder, binary) as [copy]:
        ports.check_free(shape.ports())
        river = River(folder, shape, copy)
        try:
            yield river.up()
        finally:
            river.stop()


def remove(folder):
    end_leftovers(folder)
    with contextlib.suppress(FileNotFoundError):
        postgres_place.remove(folder / "postgres")
    shutil.rmtree(folder, ignore_errors=True)
