"""`test-sdks`: SDKs of other languages, of which only host and key are set, send to a running weir.

Each sends so many events, twice: with nothing in the way, and with refusals, resets and lost replies between the SDK
and weir. All must be stored once, look as they should, and no request be sent again without need. Prints a table.
"""

import os
import re
import shutil
import subprocess
import time

import ports
import tools
import weir
import workspace
from console import Problem, last_lines, output_of, say, step
from figures import table
from proxy import NONE, REPLY_LOST, SCRIPT, SdkProxy
from sdks.table import CHROMIUM, SDKS, version
from shapes import PORTS
from subject import running_river

HERE = workspace.DEV / "sdks"
TOOLS = {"node": "Node 20 or newer", "npm": "npm", "go": "Go 1.24 or newer"}
PROGRAM_SECONDS = 150
STORED_SECONDS = 20
# So long nothing more must come.
QUIET_SECONDS = 1
HEADINGS = ["SDK", "version", "way", "sent", "stored", "duplicate", "requests", "failed", "ms", "all is well"]


def test(chosen, port):
    """Runs the SDKs whose program or package holds one of `chosen`, or all; returns the exit code."""
    weir.check_tools(is_cluster=False)
    if missing := [what for tool, what in TOOLS.items() if shutil.which(tool) is None]:
        raise Problem(f"the SDKs need {' and '.join(missing)}, which is not in the PATH")
    sdks = [sdk for sdk in SDKS if not chosen or any(word in f"{sdk.name} {sdk.program}" for word in chosen)]
    if shutil.which(CHROMIUM) is None:
        say(f"! {CHROMIUM} is not in the PATH: the SDKs for browsers are left out (apt-get install chromium)")
        sdks = [sdk for sdk in sdks if sdk.language != "browser"]
    folders, lines, notes, wrong = {"node": install_node(), "go": build_go()}, [], set(), []
    # The binary that tests use, built now.
    binary, port = weir.given_or_built("debug"), port or ports.choose_block(PORTS)
    with running_river(False, port, binary, "test-sdks") as river:
        for sdk in sdks:
            for is_harmed in (False, True):
                line, asks, faults = run(sdk, is_harmed, folders, river)
                lines.append(line)
                notes |= asks
                wrong += faults
    say("\n".join(["", table(HEADINGS, lines), *sorted(notes), *wrong]))
    return 1 if wrong or not lines else 0


def install_node():
    source = HERE / "node"

    def fetch(folder):
        for file in source.glob("package*.json"):
            shutil.copy(file, folder)
        argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        output_of(argv, f"npm can't install what dev/sdks/node pins: {tools.TRY_AGAIN}", cwd=folder)

    pins = [(source / name).read_bytes() for name in ("package.json", "package-lock.json")]
    folder = tools.fetched(workspace.CACHE / f"sdks-node-{tools.key_of(*pins)}", "the SDKs for Node", fetch)
    for file in source.glob("*.js"):
        shutil.copy(file, folder)
    return folder


def build_go():
    folder = workspace.make_folder(workspace.CACHE / "sdks-go")
    with step("building the programs in Go"):
        output_of(["go", "build", "-o", f"{folder}/", "./..."], "dev/sdks/go can't be built", cwd=HERE / "go")
    return folder


def run(sdk, is_harmed, folders, river):
    """A line of the table, what else the SDK asks, and what is wrong."""
    way = "faults" if is_harmed else "free"
    say(f"- {sdk.name}, {way}")
    tenant = re.sub(r"\W+", "-", f"{sdk.language} {sdk.program} {way} {' '.join(sdk.more)}").strip("-")
    key = river.tenant(tenant)
    # A new key is known within a second.
    time.sleep(1)
    script = [each for each in SCRIPT if sdk.has_ids or each != REPLY_LOST] if is_harmed else []
    proxy = SdkProxy(river.shape.ingest, script)
    try:
        began = time.monotonic()
        faults = send(sdk, folders, proxy.url, key)
        took = round((time.monotonic() - began) * 1000)
        usage = settled(river, tenant, sdk.count)
    finally:
        proxy.end()
    if is_harmed and sdk.language == "browser":
        # Pages see what SDKs write to the console about each fault, not only what they give up.
        faults = []
    posts, side_calls = proxy.posts(), proxy.side_calls(key)
    faults += stored_faults(sdk, river, key, usage) + wire_faults(sdk, posts, is_harmed, usage)
    failed = sum(status != sdk.success or fault != NONE for _, _, fault, status in posts)
    line = [sdk.name, version(sdk), way, sdk.count, usage["stored"], usage["duplicate"], len(posts), failed, took]
    line.append("NO" if faults else "yes")
    asks = {f"  {sdk.name} also asks {method} {path}: {status}" for method, path, status in side_calls}
    return line, asks, [f"! {sdk.name}, {way}: {fault}" for fault in faults]


def send(sdk, folders, url, key):
    program = ["node", folders["node"] / sdk.program] if sdk.language != "go" else [folders["go"] / sdk.program]
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    argv = [*map(str, program), url, key, str(sdk.count), *sdk.more]
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=PROGRAM_SECONDS)
    except subprocess.TimeoutExpired:
        return [f"it did not end within {PROGRAM_SECONDS} s"]
    return [f"it ended with {done.returncode}:\n{last_lines(done.stderr)}"] if done.returncode != 0 else []


def settled(river, tenant, count):
    """The tenant's usage once all events are stored, or no more come."""
    deadline = time.monotonic() + STORED_SECONDS
    while river.weir_now("usage", tenant)["stored"] < count and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(QUIET_SECONDS)
    return river.weir_now("usage", tenant)


def stored_faults(sdk, river, key, usage):
    """What is wrong with the rows and the usage."""
    turns = len(sdk.rows)
    wanted = {
        "count()": sdk.count,
        "uniqExact(event_id)": sdk.count,
        "countIf(flags != 0)": 0 if sdk.has_ids else sdk.count,
        f"countIf(position(concat(properties, context, extra), '{key}') > 0)": 0,
        **{f"countIf({row})": len(range(turn, sdk.count, turns)) for turn, row in enumerate(sdk.rows)},
    }
    of_tenant = f"FROM events WHERE tenant_id = {int(usage['tenant'])}"
    [found] = river.clickhouse(f"SELECT {', '.join(wanted)} {of_tenant}")
    pairs = [("metered as stored", sdk.count, usage["stored"])]
    pairs += [(what, want, int(have)) for (what, want), have in zip(wanted.items(), found, strict=True)]
    return [f"{have} in the place of {want}: {what}" for what, want, have in pairs if want != have]


def wire_faults(sdk, posts, is_harmed, usage):
    """What is wrong with the requests: without faults none fails, and none is sent again."""
    if is_harmed:
        # Some SDKs send all in few requests; that a fault was met, and survived, must be true of each.
        return [] if any(fault != NONE for _, _, fault, _ in posts) else ["no fault was met"]
    failed = sorted({f"{path} got {status}" for _, path, _, status in posts if status != sdk.success})
    return failed + ([f"{usage['duplicate']} events were sent again"] if usage["duplicate"] else [])
