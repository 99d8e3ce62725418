"""`run`, `cluster`, `stop` and `clean`: everything up, `.run/env` written once it serves, everything down again.

At most one of them runs in a folder. It holds a lock that ends with it, however it ends; whatever a crash leaves
behind (processes, pid files, `.run/env`) is put right by the next start, which finds the data of the last one.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import signal
import time

import ports
import stores
import tools
import weir
import workspace
from console import Problem, say, step
from processes import Spec, Supervisor, end_leftovers
from shapes import STORES, Shape
from stores import kafka
from workspace import ENV_FILE, RUN

LOCK = RUN / "lock"
FIRST_PORT = 7400
# Of an earlier run's log that the next one still appends to.
LOG_BYTES_MAX = 16 << 20
STOP_SECONDS = 120
# The tenant that a newcomer sends the first events with.
DEMO, DEMO_PLAN = "demo", "developer"
DEMO_EMAIL = "demo@example.com"
WELCOME = """
weir is ready at {WEIR_URL}
The demo tenant's key: {WEIR_KEY}

Send an event:
  curl -i {url}/v1/events -H 'Authorization: Bearer {WEIR_KEY}' \\
    -H 'Content-Type: application/json' -d '{{"event":"Signed up","user_id":"ada","properties":{{"plan":"free"}}}}'
See it stored, and metered:
  curl '{clickhouse}' -d 'SELECT * FROM events ORDER BY received_at DESC LIMIT 5 FORMAT Vertical'
  (set -a; . {run}/env; {binary} usage demo)
Sign in as {WEIR_DEMO_EMAIL}, its owner:
  curl {WEIR_ADMIN_URL}/v1/auth/login -H 'Content-Type: application/json' \\
    -d '{{"email":"{WEIR_DEMO_EMAIL}","password":"{WEIR_DEMO_PASSWORD}"}}'

Logs: {run}/log/*.log    Variables for scripts: {run}/env    Stop: Ctrl-C here, or `make stop`
"""


def run(is_cluster, port):
    forget_own_addresses()
    shape = Shape(is_cluster, port or FIRST_PORT)
    weir.check_tools(is_cluster=False)
    if "kafka" in shape.started():
        tools.check_kafka()
    if "redis" in shape.started():
        tools.check_redis()
    workspace.make_folder(RUN)
    with workspace.locked(LOCK, f"weir already runs here (process {running_pid()}): `make stop` ends it"):
        workspace.write_atomically(RUN / "pid", f"{os.getpid()}\n", mode=0o644)
        ENV_FILE.unlink(missing_ok=True)
        end_leftovers(RUN)
        ports.check_free(shape.ports())
        turn_logs()
        supervisor, begun = Supervisor(RUN), time.monotonic()
        try:
            values, binary = bring_up(shape, supervisor)
            write_env(values, shape, supervisor)
            say(f"- all of it is ready, {time.monotonic() - begun:.1f} s after the start")
            welcome(values, binary)
            supervisor.watch(on_change=lambda: write_env(values, shape, supervisor))
        finally:
            ENV_FILE.unlink(missing_ok=True)
            if supervisor.stop():
                say(f"- weir has stopped; its data stays in {workspace.shown(RUN)}")


def bring_up(shape, supervisor):
    proxies = shape.proxies()
    behind = kafka.reached_at(proxies["kafka"][0]) if "kafka" in proxies else ""
    addresses, postgres = stores.start(supervisor, shape.started(), kafka_properties=behind)
    if postgres is not None:
        postgres.ensure_database(shape.database)
        addresses["DATABASE_URL"] = postgres.url(shape.database)
    binary = linked(weir.given_or_built("start"))
    values = {
        "WEIR_OPERATOR_TOKEN": workspace.operator_token(),
        "WEIR_ACCOUNTS_KEY": workspace.accounts_key(),
        "WEIR_EVIDENCE_KEY": workspace.evidence_key(),
        **catch_mails(shape, supervisor),
        # By name: browsers make no passkeys for an address.
        "WEIR_PUBLIC_URL": shape.admin_urls()["WEIR_ADMIN_URL"].replace("127.0.0.1", "localhost"),
        **shape.given,
        **addresses,
        "CLICKHOUSE_DATABASE": os.environ.get("CLICKHOUSE_DATABASE") or shape.database,
        "WEIR_DATA_DIR": shape.data_folder(""),
        "WEIR_GEO_DATABASE": os.environ.get("WEIR_GEO_DATABASE") or tools.geo_countries_if_any() or "",
    }
    environment = {**os.environ, "WEIR_LOG": os.environ.get("WEIR_LOG", "info")}
    environment.update({name: str(value) for name, value in values.items()})
    with step("migrating the databases"):
        weir.run(binary, environment, "migrate")
    demo_values = demo(binary, environment, postgres is not None)
    supervisor.start(*shape.specs(binary, {**environment, **shape.through_proxies(values)}))
    return {"WEIR_URL": shape.urls(), **shape.admin_urls(), **demo_values, **values}, binary


def catch_mails(shape, supervisor):
    """Starts what catches weir's mails, and returns the variables that lead them there; none if there is a relay."""
    if os.environ.get("WEIR_SMTP_URL"):
        return {}
    try:
        python = tools.mail_python()
    except Problem as problem:
        say(f"- mails stay in the outbox: {problem}")
        return {}
    folder, port = RUN / "mail", shape.mail_port
    argv = [python, workspace.DEV / "catcher.py", folder, "--port", port]
    is_ready = functools.partial(ports.accepts, port)
    supervisor.start(Spec(name="mail", argv=argv, log=RUN / "log" / "mail.log", is_ready=is_ready))
    relay = f"smtp://{ports.HOST}:{port}"
    return {"WEIR_SMTP_URL": relay, "WEIR_MAIL_FROM": "weir <weir@weir.localhost>", "WEIR_MAIL_DIR": folder}


def linked(binary):
    """The program under the name that does not depend on what it was built for: `.run/weir`."""
    link = RUN / "weir"
    if binary == link:
        # A river under test has its copy there.
        return binary
    link.unlink(missing_ok=True)
    link.symlink_to(binary)
    return link


def demo(binary, environment, database_is_ours):
    """The demo tenant, a key of it, and how its owner signs in. They are made once per database. weir shows key and
    password only when they are made, so they are kept in `.run/demo-*.env`; where that file is gone, there are others.
    """
    url = environment["DATABASE_URL"]
    name = url.rpartition("/")[2] if database_is_ours else hashlib.sha256(url.encode()).hexdigest()[:12]
    kept = RUN / f"demo-{name}.env"
    # It may have another name by now, and another slug.
    slugs = {each["id"]: each["slug"] for each in weir.ask_now(binary, environment, "tenant", "list")}
    values = workspace.read_env(kept)
    tenant = values.get("WEIR_TENANT")
    if tenant not in slugs:
        tenant = next((known for known, slug in slugs.items() if slug == DEMO), None)
        if tenant is None:
            tenant = weir.ask_now(binary, environment, "tenant", "create", DEMO, "--plan", DEMO_PLAN)["id"]
        values = {"WEIR_TENANT": tenant, "WEIR_KEY": weir.ask_now(binary, environment, "key", "create", tenant)["key"]}
    if "WEIR_DEMO_PASSWORD" not in values:
        password = demo_password(binary, environment, tenant)
        values |= {"WEIR_DEMO_EMAIL": DEMO_EMAIL, "WEIR_DEMO_PASSWORD": password}
        workspace.write_env(kept, values)
    return values


def demo_password(binary, environment, tenant):
    """Of the demo person, an owner of the demo tenant."""
    if weir.ask_now(binary, environment, "person", "list", DEMO_EMAIL):
        words = ("password", DEMO_EMAIL)
    else:
        words = ("create", DEMO_EMAIL, "--name", "Demo", "--owner-of", tenant)
    return weir.ask_now(binary, environment, "person", *words)["password"]


def forget_own_addresses():
    """A shell that has read this folder's `.run/env` names stores that were ours, and end with each run."""
    if os.environ.get("WEIR_RUN_FOLDER") == str(RUN):
        own = ("CLICKHOUSE_DATABASE", "WEIR_GEO_DATABASE", "WEIR_SMTP_URL", "WEIR_MAIL_FROM")
        for name in (*(name for name, _, _ in STORES.values()), *own):
            os.environ.pop(name, None)


def turn_logs():
    """Puts logs that have grown large aside, so that all of them together stay bounded."""
    for log in (RUN / "log").glob("*.log"):
        if log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.old"))


def write_env(values, shape, supervisor):
    pids = supervisor.pids()
    listed = ",".join(f"{name}:{pid}" for name, pid in pids.items())
    own = {"WEIR_PID": pids[shape.names[0]], "WEIR_PIDS": listed, "WEIR_RUN_FOLDER": RUN}
    workspace.write_env(ENV_FILE, {**values, **own})


def welcome(values, binary):
    clickhouse = values["CLICKHOUSE_URL"].split("?")[0].rstrip("/") + f"/?database={values['CLICKHOUSE_DATABASE']}"
    url = values["WEIR_URL"].split(",")[0]
    places = {"url": url, "clickhouse": clickhouse, "binary": workspace.shown(binary), "run": workspace.shown(RUN)}
    say(WELCOME.format(**values, **places))
    if "WEIR_MAIL_DIR" in values:
        say(f"Mails that weir sends: {workspace.shown(values['WEIR_MAIL_DIR'])}/new")


def running_pid():
    """The number of the process that holds the lock, or None."""
    if not workspace.is_locked(LOCK):
        return None
    with contextlib.suppress(OSError, ValueError):
        return int((RUN / "pid").read_text())
    return None


def stop():
    """Ends what runs in this clone, from another shell, and waits until all of it is gone."""
    pid = running_pid()
    if pid is None and not (RUN / "processes").exists():
        say("nothing of weir runs here")
        return
    if pid is not None:
        with step(f"stopping weir and its stores (process {pid})"):
            end_supervisor(pid)
    end_leftovers(RUN)
    ENV_FILE.unlink(missing_ok=True)


def end_supervisor(pid):
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise Problem(f"process {pid} belongs to another user, who has to stop it") from None
    except ProcessLookupError:
        pass
    deadline = time.monotonic() + STOP_SECONDS
    while workspace.is_locked(LOCK):
        if time.monotonic() > deadline:
            raise Problem(
                f"process {pid} does not end; end it with kill -9 {pid}, then `make stop` again for its stores"
            )
        time.sleep(0.05)


def clean():
    if RUN != workspace.CACHE.parent:
        raise Problem(f"`make clean` deletes .run, not {RUN}: unset WEIR_RUN_DIR, delete that one yourself")
    stop()
    # Of tests, campaigns and benches.
    for home in {found.parent for depth in ("*", "*/*") for found in RUN.glob(f"{depth}/processes")}:
        if any(map(workspace.is_locked, (home / "lock", home.parent / "lock", home.with_suffix(".lock")))):
            raise Problem(f"somebody works in {workspace.shown(home)}: end that first")
        end_leftovers(home)
    with step("deleting .run and the builds"):
        for folder in (RUN, workspace.ROOT / "target"):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)
