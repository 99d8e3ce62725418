"""`run` and `cluster`: everything up, `.run/env` written once it serves, everything down again.

At most one of them runs in a folder. It holds a lock that ends with it, however it ends; whatever a crash leaves
behind (processes, pid files, `.run/env`) is put right by the next start, which finds the data of the last one.
"""

import contextlib
import os
import time
from pathlib import Path

import demo
import ports
import workspace
from checks import check_cargo, check_python
from console import Problem, run_visibly, say, step
from shapes import Shape
from stores import clickhouse, geo, kafka, redis
from stores.postgres import Postgres
from supervisor import Supervisor, end_leftovers

LOCK = workspace.RUN / "lock"
FIRST_PORT = 7400
MAX_CONNECTIONS = 200
# Of an earlier run's log that the next one still appends to.
LOG_BYTES_MAX = 16 << 20


def run(is_cluster, port):
    shape = Shape(is_cluster, port or FIRST_PORT)
    check_tools(shape.starts_kafka, shape.starts_redis)
    workspace.make_folder(workspace.RUN)
    running = running_pid()
    with workspace.locked(LOCK, f"weir already runs here (process {running}): `make stop` ends it"):
        workspace.write_atomically(workspace.RUN / "pid", f"{os.getpid()}\n", mode=0o644)
        workspace.ENV_FILE.unlink(missing_ok=True)
        end_leftovers(workspace.RUN)
        ports.check_free(shape.ports())
        turn_logs()
        supervisor = Supervisor(workspace.RUN)
        try:
            begun = time.monotonic()
            values, binary = bring_up(shape, supervisor)
            write_env(values, shape, supervisor)
            say(f"- all of it is ready, {time.monotonic() - begun:.1f} s after the start")
            welcome(values, binary)
            supervisor.watch(on_change=lambda: write_env(values, shape, supervisor))
        finally:
            workspace.ENV_FILE.unlink(missing_ok=True)
            if supervisor.stop():
                say(f"- weir has stopped; its data stays in {workspace.shown(workspace.RUN)}")


def bring_up(shape, supervisor):
    stores = start_stores(shape, supervisor)
    binary = build()
    values = {
        "WEIR_OPERATOR_TOKEN": workspace.operator_token(),
        **stores,
        "CLICKHOUSE_DATABASE": os.environ.get("CLICKHOUSE_DATABASE") or shape.database,
        "WEIR_DATA_DIR": shape.data_folder(""),
        "WEIR_GEO_DATABASE": os.environ.get("WEIR_GEO_DATABASE") or geo.countries_if_any() or "",
    }
    environment = {**os.environ, "WEIR_LOG": os.environ.get("WEIR_LOG", "info")}
    environment.update({name: str(value) for name, value in values.items()})
    with step("migrating the databases"):
        demo.migrate(binary, environment)
    tenant, key = demo.tenant_and_key(binary, environment, shape.starts_postgres)
    specs = list(shape.specs(binary, {**environment, **shape.through_proxies(values)}))
    with step("starting " + ", ".join(spec.name for spec in specs)):
        supervisor.start(*specs)
    for_scripts = {
        "WEIR_URL": shape.urls(),
        "WEIR_ADMIN_URL": f"http://127.0.0.1:{shape.admin}",
        "WEIR_KEY": key,
        "WEIR_TENANT": tenant,
        **values,
    }
    return for_scripts, binary


def start_stores(shape, supervisor):
    """The addresses of all stores, once those that are ours are ready."""
    home, log = workspace.RUN, workspace.RUN / "log"
    given = ("DATABASE_URL", "CLICKHOUSE_URL", "KAFKA_BROKERS", "REDIS_URL")
    values = {name: os.environ[name] for name in given if os.environ.get(name)}
    specs, postgres = [], None
    if shape.starts_postgres:
        postgres = Postgres(home, log, shape.postgres, MAX_CONNECTIONS)
        specs.append(postgres.spec)
        values["DATABASE_URL"] = postgres.url(shape.database)
    if shape.starts_clickhouse:
        specs.append(clickhouse.spec(home, log, shape.clickhouse))
        values["CLICKHOUSE_URL"] = f"http://127.0.0.1:{shape.clickhouse}"
    if shape.starts_kafka:
        advertised, _ = shape.proxies().get("KAFKA_BROKERS", (None, None))
        specs.append(kafka.spec(home, log, shape.kafka, shape.kafka_controller, kafka.reached_at(advertised)))
        values["KAFKA_BROKERS"] = f"127.0.0.1:{shape.kafka}"
    if shape.starts_redis:
        specs.append(redis.spec(home, log, shape.redis))
        values["REDIS_URL"] = f"redis://127.0.0.1:{shape.redis}"
    if specs:
        with step("starting " + ", ".join(spec.name for spec in specs)):
            supervisor.start(*specs)
    if postgres is not None:
        postgres.ensure_database(shape.database)
    return values


def turn_logs():
    """Puts logs that have grown large aside, so that all of them together stay bounded."""
    for log in (workspace.RUN / "log").glob("*.log"):
        if log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.old"))


def check_tools(needs_kafka, needs_redis):
    check_python()
    given = os.environ.get("WEIR_BIN")
    if not given:
        check_cargo()
    elif not os.access(given, os.X_OK):
        raise Problem(f"WEIR_BIN={given} is not a program")
    if needs_kafka:
        kafka.check_tools()
    if needs_redis:
        redis.check_tools()


def build():
    """The weir to run: $WEIR_BIN, or built now."""
    given = os.environ.get("WEIR_BIN")
    if given:
        return Path(given).absolute()
    say("- building weir; the first time takes some minutes")
    return cargo_build("release")


def cargo_build(profile, *options):
    """The weir that cargo builds."""
    options = [*options, *(["--release"] if profile == "release" else [])]
    if run_visibly(["cargo", "build", "-p", "weir", *options], cwd=workspace.ROOT) != 0:
        raise Problem("weir could not be built; cargo's message stands above")
    return workspace.target_folder() / profile / "weir"


def write_env(values, shape, supervisor):
    pids = supervisor.pids()
    weir = [(name, pids[name]) for name, _, _ in shape.roles()]
    workspace.write_env(
        workspace.ENV_FILE,
        {
            **values,
            "WEIR_PID": weir[0][1],
            "WEIR_PIDS": ",".join(f"{name}:{pid}" for name, pid in pids.items()),
        },
    )


def welcome(values, binary):
    url = values["WEIR_URL"].split(",")[0]
    with contextlib.suppress(ValueError):
        binary = binary.relative_to(workspace.ROOT)
    run = workspace.shown(workspace.RUN)
    clickhouse_url = values["CLICKHOUSE_URL"].split("?")[0].rstrip("/") + f"/?database={values['CLICKHOUSE_DATABASE']}"
    say(
        f"""
weir is ready at {values["WEIR_URL"]}
The demo tenant's key: {values["WEIR_KEY"]}

Send an event:
  curl -i {url}/v1/events -H 'Authorization: Bearer {values["WEIR_KEY"]}' \\
    -H 'Content-Type: application/json' -d '{{"event":"Signed up","user_id":"ada","properties":{{"plan":"free"}}}}'
See it stored, and metered:
  curl '{clickhouse_url}' -d 'SELECT * FROM events ORDER BY received_at DESC LIMIT 5 FORMAT Vertical'
  (set -a; . {run}/env; {binary} usage demo)

Logs: {run}/log/*.log    Variables for scripts: {run}/env    Stop: Ctrl-C here, or `make stop`
"""
    )


def running_pid():
    """The number of the process that holds the lock, or None."""
    if not workspace.is_locked(LOCK):
        return None
    with contextlib.suppress(OSError, ValueError):
        return int((workspace.RUN / "pid").read_text())
    return None
