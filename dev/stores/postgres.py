"""PostgreSQL 18 from a Python package, with every durability setting left as PostgreSQL ships it.

It listens on 127.0.0.1 only and has no socket file, so it cannot meet another PostgreSQL of this machine.
It refuses to run as root: started by root it runs as another user (see postgres_place.py).
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from console import run_quietly, step
from process import Spec, start_time
from stores import postgres_place

SUPERUSER = "postgres"


class Postgres:
    def __init__(self, home, log, port, max_connections):
        self.port = port
        self.account = postgres_place.account()
        self.folder, self.bin = postgres_place.find(home / "postgres", self.account)
        self.data = self.folder / "data"
        if not self.data.exists():
            with step("Postgres: creating its data folder"):
                self.create()
        self.end_orphan()
        self.spec = Spec(
            name="postgres",
            argv=[
                self.bin / "postgres",
                *("-D", self.data, "-p", port),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", f"max_connections={max_connections}", "-c", "timezone=UTC", "-c", "log_timezone=UTC"),
            ],
            log=log / "postgres.log",
            is_ready=self.is_ready,
            # Its locale must not depend on whose terminal it was started from.
            env={"LC_ALL": "C"},
            run_as=self.account,
            # "Fast": ends its clients' sessions and writes a checkpoint.
            stop_signal=signal.SIGINT,
        )

    def url(self, database):
        return f"postgres://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def create(self):
        # Under another name until it is complete: an interrupted creation is never taken for a database.
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self.run(
            [
                self.bin / "initdb",
                *("-D", unfinished, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-instructions"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ],
            f"Postgres cannot create its data folder {unfinished}",
        )
        unfinished.rename(self.data)

    def end_orphan(self):
        """After a crash: ends a postmaster that outlived us, and removes its pid file if nothing of it runs.

        Postgres itself refuses to start when the number in its pid file belongs to any process of its user.
        """
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text().split("\n", 1)[0] or 0)
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            command = []
        if os.fsencode(self.data) in command and start_time(pid) is not None:
            with step("Postgres: ending the one that an earlier run left behind"):
                self.run(
                    [self.bin / "pg_ctl", "stop", "-D", self.data, "-m", "fast", "-t", "60"],
                    f"the Postgres of an earlier run (process {pid}) does not end: end it with kill {pid}",
                )
        pid_file.unlink(missing_ok=True)

    def is_ready(self):
        argv = [self.bin / "pg_isready", "-q", "-d", self.url("postgres")]
        return subprocess.run(argv, stdin=subprocess.DEVNULL).returncode == 0

    def ensure_database(self, name):
        if self.query(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == "":
            self.query(f'CREATE DATABASE "{name}"')

    def query(self, sql):
        argv = [self.bin / "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url("postgres")]
        return self.run(argv, f"Postgres refused: {sql}").strip()

    def run(self, argv, failure):
        user, group = self.account or (None, None)
        groups = None if user is None else []
        environment = {**os.environ, "LC_ALL": "C"}
        argv = [str(part) for part in argv]
        return run_quietly(argv, failure, cwd="/", user=user, group=group, extra_groups=groups, env=environment)
