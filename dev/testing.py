"""Stores for tests: fresh, on free ports, in a folder that is deleted at the end, however it ends.

Postgres and ClickHouse are required. Kafka and Redis are installed where that is possible (root on Debian), and else
left out with a loud line: their variables are then empty. With CI=true that is an error.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import fuzzing
import ports
import stores
import tools
import workspace
from console import Problem, output_of, run_visibly, say, step, warn
from processes import Supervisor
from shapes import STORES
from subject import remove

CONNECTIONS_MAX = 400
LINTS = [
    ["cargo", "fmt", "--all", "--check"],
    ["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ["cargo", "clippy", "-p", "weir", "--features", "faults", "--", "-D", "warnings"],
    *fuzzing.LINTS,
]
TESTS = ["cargo", "test", "--workspace"]
# A short form of `make test-api`, on the weir that the tests have built.
API = [sys.executable, "dev/river.py", "test-api", "--seconds", "40"]
# After the tests, whose binary of weir has no fail points.
FAULTS = [sys.executable, "dev/river.py", "faults", "--smoke", "--seed", "1"]


class Runs:
    """Commands one after the other, and how long each kind took."""

    def __init__(self):
        self.took = {}

    def __call__(self, argv, environment=()):
        say(f"$ {' '.join(argv)}")
        started = time.monotonic()
        try:
            return run_visibly(argv, cwd=workspace.ROOT, env={**os.environ, **dict(environment)})
        finally:
            what = " ".join(argv[:2])
            self.took[what] = self.took.get(what, 0) + time.monotonic() - started

    def until_one_fails(self, commands):
        return next((code for code in map(self, commands) if code != 0), 0)


def test(command):
    """Runs `command` against the stores, or formatting, lints, all tests, the admin API against its document, a minute
    of faults and the fuzz targets.

    Returns the exit code.
    """
    tools.check_cargo()
    run = Runs()
    try:
        code = 0 if command else lint(run)
        if code == 0:
            with running_stores() as (environment, _):
                code = run(command or TESTS, environment)
        if not command:
            code = code or api(run) or run(FAULTS) or fuzzing.short(run)
        return code
    finally:
        say("took: " + ", ".join(f"{what} {seconds:.0f} s" for what, seconds in run.took.items()))


def api(run):
    """Whether the admin API does what its document says, if there is Node, which lints that document."""
    consequence = "the admin API is not held to its document"
    if not can_have(tools.check_node, tools.contract_python, ["nodejs", "npm"], consequence):
        return 0
    target = workspace.ROOT / (os.environ.get("CARGO_TARGET_DIR") or "target")
    return run(API, {"WEIR_BIN": os.environ.get("WEIR_BIN") or str(target / "debug" / "weir")})


def lint(run=None):
    tools.check_cargo()
    tools.check_python()
    python = workspace.shown(tools.test_python())
    return (run or Runs()).until_one_fails([*LINTS, [str(python), "dev/lint_compose.py"]])


def stay():
    """Starts the stores, prints how to reach them, stays until a signal."""
    with running_stores() as (environment, supervisor):
        file = supervisor.home / "env"
        workspace.write_env(file, environment)
        say(file.read_text().rstrip())
        say("The stores are ready until Ctrl-C, which deletes them. In another shell, before a single test:")
        say(f"  set -a; . {file.relative_to(workspace.ROOT)}; set +a")
        supervisor.watch()


@contextlib.contextmanager
def running_stores():
    """(the variables that tests read, who keeps alive what they point to), in a folder that is deleted at the end."""
    tools.check_python()
    folder = workspace.make_folder(workspace.RUN / "test")
    with contextlib.ExitStack() as held:
        # Without this lock, another run could take our folder for an abandoned one before we have locked it.
        with workspace.locked(folder / "lock", None):
            for home in folder.glob("stores-*"):
                if not workspace.is_locked(home / "lock"):
                    remove(home)
            home = Path(tempfile.mkdtemp(prefix="stores-", dir=folder))
            held.enter_context(workspace.locked(home / "lock", None))
        supervisor = Supervisor(home)
        try:
            yield start_all(supervisor), supervisor
        finally:
            supervisor.stop()
            remove(home)


def start_all(supervisor):
    has_kafka = can_have(
        *(tools.check_kafka, tools.kafka_jars, ["default-jre-headless", "maven"]),
        "the Kafka tests run on librdkafka's mock cluster",
    )
    has_redis = can_have(tools.check_redis, None, ["redis-server"], "the tests that need Redis cannot run")
    has_openid = can_have(
        *(tools.check_node, tools.openid_provider, ["nodejs", "npm"]),
        "the sign-in through OpenID providers is not tested",
    )
    python, mail, test_databases = tools.test_python(), tools.mail_python(), tools.geo_tests()
    countries = tools.geo_countries() if tools.in_ci() else tools.geo_countries_if_any()
    names = ["postgres", "clickhouse"] + (["kafka", "kafka_controller"] if has_kafka else [])
    names += ["redis"] if has_redis else []
    # Chosen late, so that nobody takes them while packages are being downloaded.
    listening = dict(zip(names, ports.choose(len(names)), strict=True))
    addresses, _ = stores.start(supervisor, listening, connections_max=CONNECTIONS_MAX, is_soon_gone=True)
    found = {f"WEIR_TEST_{name}": addresses.get(name, "") for name, _, _ in STORES.values()}
    return found | {
        "WEIR_TEST_KAFKA_JARS": str(tools.kafka_folder()) if has_kafka else "",
        "WEIR_TEST_OPENID": str(tools.openid_provider()) if has_openid else "",
        "WEIR_TEST_VENV": str(python),
        "WEIR_TEST_MAIL_VENV": str(mail),
        "WEIR_TEST_GEO": str(test_databases),
        "WEIR_TEST_GEO_COUNTRIES": str(countries or ""),
    }


def can_have(check, fetch, debian_packages, consequence):
    """Tries to get a store, with Debian's packages where it must; where that fails, says loudly what it costs.

    In continuous integration that is an error: tests that are left out there pass without having run.
    """
    try:
        try:
            check()
        except tools.MissingTool:
            apt_install(debian_packages)
            check()
        if fetch:
            fetch()
    except Problem as problem:
        if tools.in_ci():
            raise
        warn(problem, f"Without it {consequence}.")
        return False
    return True


def apt_install(debian_packages):
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step("installing " + " ".join(debian_packages)):
        for argv in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *debian_packages]):
            output_of(argv, f"{' '.join(argv)} failed", env=quiet)
