"""`test-api`: does the admin API do what its OpenAPI document says?

Redocly lints the document. Then schemathesis sends requests that the document allows and forbids to a running weir: as
two tenants, one by a person's access token and one by a machine's, and as an operator. A reply of 5xx, a status or body
that the document does not know, a request that should have been refused and a credential that nobody looked at are
failures. What one tenant sends must change nothing of the other's.
"""

import json
import os
import shutil
import time
import urllib.request

import ports
import tools
import weir
import workspace
from console import Problem, output_of, run_visibly, say, step
from shapes import PORTS
from subject import clean_environment, running_river

HERE = workspace.DEV / "contract"
SECONDS = 200
# The document's limits are tested elsewhere; here they would refuse most of what is sent.
NO_LIMITS = {f"WEIR_{name}_RATE": 0 for name in ("ADMIN_ADDRESS", "SIGN_IN_ADDRESS", "ADMIN_CALLER")}
# What ends the session, tenant or token that everything else is sent with: it is sent last.
LAST = {
    "tenants": ["auth.logout", "me.end_other_sessions", "tenants.delete", "tenants.restore", "tokens.revoke"],
    "operators": ["operator.tenants.close", "operator.tenants.freeze"],
}
# Of each tenant, what the other must not change.
OWN = ("", "/projects", "/keys", "/members", "/invitations", "/roles", "/tokens", "/erasures")


def add_arguments(command):
    help_text = f"for all requests together; {SECONDS} without it"
    command.add_argument("--seconds", type=int, default=SECONDS, help=help_text)


def run(chosen):
    """Returns the exit code."""
    tools.check_node()
    weir.check_tools(is_cluster=False)
    schemathesis = tools.contract_python().parent / "schemathesis"
    code = lint()
    if code != 0:
        return code
    binary, port = weir.given_or_built("debug"), chosen.port or ports.choose_block(PORTS)
    with running_river(False, port, binary, "test-api", **NO_LIMITS) as river:
        return fuzz(river, schemathesis, chosen.seconds)


def lint():
    """The committed document, which a test compares with the code."""
    redocly = install() / "node_modules" / ".bin" / "redocly"
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    argv = [redocly, "lint", "docs/openapi.json", "--config", HERE / "redocly.yaml"]
    return run_visibly(argv, cwd=workspace.ROOT, env={**os.environ, **quiet})


def install():
    def fetch(folder):
        for file in HERE.glob("package*.json"):
            shutil.copy(file, folder)
        argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        output_of(argv, f"npm can't install what dev/contract pins: {tools.TRY_AGAIN}", cwd=folder)

    pins = [(HERE / name).read_bytes() for name in ("package.json", "package-lock.json")]
    return tools.fetched(workspace.CACHE / f"contract-{tools.key_of(*pins)}", "Redocly's linter (15 MB)", fetch)


def fuzz(river, schemathesis, seconds):
    env = river.env()
    tenants, operators = env["WEIR_ADMIN_URL"], env["WEIR_OPERATOR_URL"]
    with step("making two tenants with people"):
        for tenant in ("acme", "globex"):
            furnish(river, tenant)
        river.tenant("scratch")
        ada, globex = sign_in(river, tenants, "acme"), sign_in(river, tenants, "globex")
        machine = machine_token(tenants, globex)
    senders = [
        ("acme, by a person's token", tenants, ada, "acme", "tenants", 0.4),
        ("globex, by a machine's token", tenants, machine, "me", "tenants", 0.25),
        ("an operator", operators, env["WEIR_OPERATOR_TOKEN"], "scratch", "operators", 0.35),
    ]
    before, codes = seen(tenants, globex), []
    for what, url, token, tenant, listener, share in senders:
        say(f"\n== {what}")
        budget = ["--max-time", max(1, int(seconds * share))]
        left_out = [word for name in LAST[listener] for word in ("--exclude-operation-id", name)]
        codes.append(send(schemathesis, url, token, tenant, [*budget, *left_out]))
        if tenant == "acme" and seen(tenants, globex) != before:
            raise Problem("what acme sent has changed globex")
    for what, url, token, tenant, listener, _ in senders:
        say(f"\n== {what}, what ends things")
        chosen = [word for name in LAST[listener] for word in ("--include-operation-id", name)]
        codes.append(send(schemathesis, url, token, tenant, ["--max-time", 5, *chosen]))
    return max(codes)


def send(schemathesis, url, token, tenant, options):
    environment = {**clean_environment(), "WEIR_CONTRACT_TOKEN": token, "WEIR_CONTRACT_TENANT": tenant}
    argv = [schemathesis, "--config-file", HERE / "schemathesis.toml", "run", f"{url}/v1/openapi.json", *options]
    return run_visibly([str(part) for part in argv], cwd=workspace.ROOT, env=environment)


# Tenants with people, and what they have


def email(tenant):
    return f"ada@{tenant}.example.com"


def furnish(river, tenant):
    """A tenant with an owner, whose password is kept at the river."""
    river.tenant(tenant)
    made = river.weir_now("person", "create", email(tenant), "--name", "Ada", "--owner-of", tenant)
    (river.folder / f"{tenant}.password").write_text(made["password"])


def sign_in(river, url, tenant):
    password = (river.folder / f"{tenant}.password").read_text()
    return ask(url, None, "POST", "/v1/auth/login", {"email": email(tenant), "password": password})["access_token"]


def machine_token(url, owner):
    me = ask(url, owner, "GET", "/v1/me")
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    new = {"name": "contract", "permissions": me["tenant"]["permissions"], "expires_at": expires}
    return ask(url, owner, "POST", "/v1/tenants/me/tokens", new)["secret"]


def seen(url, owner):
    return [ask(url, owner, "GET", f"/v1/tenants/me{path}") for path in OWN]


def ask(url, token, method, path, body=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    headers |= {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read())
