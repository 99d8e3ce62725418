"""Stores for tests: fresh, on free ports, in a folder that is deleted at the end, however it ends.

Postgres and ClickHouse are required. Kafka and Redis are installed where that is possible (root on Debian) and else
left out with a loud line: their variables are then empty. With CI=true nothing is left out: what is missing is an error.
"""

import contextlib
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import fuzzing
import packages
import ports
import workspace
from checks import MissingTool, check_cargo, check_python, in_ci
from console import Problem, run_quietly, run_visibly, say, step
from stores import clickhouse, geo, kafka, postgres_place, redis
from stores.postgres import Postgres
from supervisor import Supervisor, end_leftovers

MAX_CONNECTIONS = 400

LINTS = [
    ["cargo", "fmt", "--all", "--check"],
    ["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ["cargo", "clippy", "-p", "weir", "--features", "faults", "--", "-D", "warnings"],
    *fuzzing.LINTS,
]
TESTS = ["cargo", "test", "--workspace"]
# After the tests, whose binary of weir has no fail points.
FAULTS = [sys.executable, "dev/river.py", "faults", "--smoke", "--seed", "1"]


def test(command):
    """Runs `command` against the stores, or formatting, lints, all tests, a minute of faults and the fuzz targets.

    Returns the exit code.
    """
    check_cargo()
    took = {}
    try:
        if not command:
            code = lint(took)
            if code != 0:
                return code
        started = time.monotonic()
        with stores() as environment:
            took["stores"] = time.monotonic() - started
            code = run(command or TESTS, took, environment)
        if command or code != 0:
            return code
        code = run(FAULTS, took)
        if code != 0:
            return code
        return fuzzing.short(lambda argv, environment=None: run(argv, took, environment))
    finally:
        say("took: " + ", ".join(f"{what} {seconds:.0f} s" for what, seconds in took.items()))


def lint(took=None):
    check_cargo()
    check_python()
    python = workspace.shown(packages.test_python())
    for argv in [*LINTS, [str(python), "dev/lint_compose.py"]]:
        code = run(argv, {} if took is None else took)
        if code != 0:
            return code
    return 0


def stay():
    """Starts the stores, prints how to reach them, stays until a signal."""
    with stores() as environment:
        file = environment.supervisor.home / "env"
        workspace.write_env(file, environment)
        say(file.read_text().rstrip())
        say("The stores are ready until Ctrl-C, which deletes them. In another shell, before a single test:")
        say(f"  set -a; . {file.relative_to(workspace.ROOT)}; set +a")
        environment.supervisor.watch()


class Environment(dict):
    """The variables that tests read, and who keeps alive what they point to."""

    supervisor = None


@contextlib.contextmanager
def stores():
    """All of them, in a folder that is deleted at the end."""
    check_python()
    folder = workspace.make_folder(workspace.RUN / "test")
    with contextlib.ExitStack() as held:
        # Without this lock, another run could take our folder for an abandoned one before we have locked it.
        with workspace.locked(folder / "lock", None):
            remove_abandoned(folder)
            home = Path(tempfile.mkdtemp(prefix="stores-", dir=folder))
            held.enter_context(workspace.locked(home / "lock", None))
        # Postgres may run as another user.
        home.chmod(0o755)
        supervisor = Supervisor(home)
        try:
            environment = start_all(supervisor, home)
            environment.supervisor = supervisor
            yield environment
        finally:
            supervisor.stop()
            remove(home)


def start_all(supervisor, home):
    with_kafka = can_have(
        kafka.install, ["default-jre-headless", "maven"], "the Kafka tests run on librdkafka's mock cluster"
    )
    with_redis = can_have(redis.check_tools, ["redis-server"], "the tests that need Redis cannot run")
    python = packages.test_python()
    packages.store_python()
    test_databases = geo.test_folder()
    countries = geo.countries() if in_ci() else geo.countries_if_any()
    log = home / "log"
    # Chosen late, so that nobody takes them while packages are being downloaded.
    postgres_port, clickhouse_port, kafka_port, controller_port, redis_port = ports.choose(5)
    postgres = Postgres(home, log, postgres_port, MAX_CONNECTIONS)
    # "Immediate": what it holds is deleted, and the checkpoint of some hundred databases can take half a minute.
    soon_gone = dataclasses.replace(postgres.spec, stop_signal=signal.SIGQUIT)
    specs = [soon_gone, clickhouse.spec(home, log, clickhouse_port)]
    if with_kafka:
        specs.append(kafka.spec(home, log, kafka_port, controller_port))
    if with_redis:
        specs.append(redis.spec(home, log, redis_port))
    with step("starting " + ", ".join(spec.name for spec in specs)):
        supervisor.start(*specs)
    return Environment(
        WEIR_TEST_DATABASE_URL=postgres.url("postgres"),
        WEIR_TEST_CLICKHOUSE_URL=f"http://127.0.0.1:{clickhouse_port}",
        WEIR_TEST_KAFKA_BROKERS=f"127.0.0.1:{kafka_port}" if with_kafka else "",
        WEIR_TEST_KAFKA_JARS=str(kafka.jars_folder()) if with_kafka else "",
        WEIR_TEST_REDIS_URL=f"redis://127.0.0.1:{redis_port}" if with_redis else "",
        WEIR_TEST_VENV=str(python),
        WEIR_TEST_GEO=str(test_databases),
        WEIR_TEST_GEO_COUNTRIES=str(countries or ""),
    )


def can_have(install, debian_packages, consequence):
    """Tries to get a store, with Debian's packages where it must; where that fails, says loudly what it costs.

    In continuous integration that is an error: tests that are left out there pass without having run.
    """
    try:
        try:
            install()
        except MissingTool:
            apt_install(debian_packages)
            install()
    except Problem as problem:
        if in_ci():
            raise
        say("!" * 100)
        say(f"! {problem}")
        say(f"! Without it {consequence}.")
        say("!" * 100)
        return False
    return True


def apt_install(debian_packages):
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step("installing " + " ".join(debian_packages)):
        for argv in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *debian_packages]):
            run_quietly(argv, f"{' '.join(argv)} failed", env=quiet)


def remove_abandoned(folder):
    for home in folder.glob("stores-*"):
        if not workspace.is_locked(home / "lock"):
            end_leftovers(home)
            remove(home)


def remove(home):
    postgres_place.remove(home / "postgres")
    shutil.rmtree(home, ignore_errors=True)


def run(argv, took, environment=None):
    say(f"$ {' '.join(argv)}")
    started = time.monotonic()
    try:
        return run_visibly(argv, cwd=workspace.ROOT, env={**os.environ, **(environment or {})})
    finally:
        what = " ".join(argv[:2])
        took[what] = took.get(what, 0) + time.monotonic() - started
