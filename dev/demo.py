"""The demo tenant that a newcomer sends the first events with.

It is made once per database. weir shows a key only when it is made, so the key is kept in `.run/demo-*.env`; where
that file is gone, the tenant gets another key.
"""

import hashlib
import json
import subprocess

import workspace
from console import Problem, last_lines

NAME = "demo"
PLAN = "developer"


def migrate(binary, environment):
    weir(binary, environment, "migrate")


def tenant_and_key(binary, environment, database_is_ours):
    """(id of the tenant, a key of it)."""
    database = environment["DATABASE_URL"]
    name = database.rpartition("/")[2] if database_is_ours else hashlib.sha256(database.encode()).hexdigest()[:12]
    kept = workspace.RUN / f"demo-{name}.env"
    tenants = {each["name"]: each["id"] for each in weir_json(binary, environment, "tenant", "list")}
    if NAME in tenants:
        tenant = str(tenants[NAME])
    else:
        tenant = str(weir_json(binary, environment, "tenant", "create", NAME, "--plan", PLAN)["id"])
        kept.unlink(missing_ok=True)
    values = workspace.read_env(kept)
    if values.get("WEIR_TENANT") != tenant:
        key = weir_json(binary, environment, "key", "create", NAME)["key"]
        values = {"WEIR_TENANT": tenant, "WEIR_KEY": key}
        workspace.write_env(kept, values)
    return tenant, values["WEIR_KEY"]


def weir_json(binary, environment, *arguments):
    reply = weir(binary, environment, *arguments, "--json")
    try:
        return json.loads(reply)
    except ValueError:
        raise Problem(f"weir {' '.join(arguments)} did not answer in JSON", last_lines(reply)) from None


def weir(binary, environment, *arguments):
    """What the command writes to its standard output."""
    try:
        result = subprocess.run(
            [str(binary), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
        )
    except OSError as error:
        raise Problem(f"cannot run {binary}: {error.strerror}") from None
    if result.returncode != 0:
        database = workspace.redact(environment["DATABASE_URL"])
        message = f"`weir {' '.join(arguments)}` failed with exit code {result.returncode} (database {database})"
        raise Problem(message, last_lines(result.stderr or result.stdout))
    return result.stdout
