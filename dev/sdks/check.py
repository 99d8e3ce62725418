"""`test-sdks`: SDKs of other languages, of which only host and key are set, send to a running weir.

Each sends so many events, twice: with nothing in the way, and with refusals, resets and lost replies between the SDK
and weir. All must be stored once, look as they should, and no request be sent again without need. Prints a table.
"""

import dataclasses
import os
import subprocess
import time
from pathlib import Path

import ports
import running
from console import last_lines, say
from sdks import programs
from sdks.proxy import FAULTS, REPLY_LOST, Proxy
from shapes import PORTS
from subject import running_river

PROGRAM_SECONDS = 150
STORED_SECONDS = 20
# So long nothing more must come.
QUIET_SECONDS = 1


@dataclasses.dataclass
class Outcome:
    """What one SDK did in one round."""

    sdk: programs.Sdk
    harmed: bool
    usage: dict
    requests: int
    again: int
    milliseconds: int
    faults: list
    side_calls: list


def test(chosen, port):
    """Runs the SDKs whose program or package holds one of `chosen`, or all; returns the exit code."""
    running.check_tools(False, False)
    programs.check_tools()
    sdks = [sdk for sdk in programs.SDKS if not chosen or any(word in f"{sdk.name} {sdk.program}" for word in chosen)]
    if not programs.has_browser():
        say(f"! {programs.CHROMIUM} is not in the PATH: the SDKs for browsers are left out (apt-get install chromium)")
        sdks = [sdk for sdk in sdks if sdk.language != "browser"]
    folders, given = programs.install(), os.environ.get("WEIR_BIN")
    # The one that tests use, built now.
    binary = Path(given).absolute() if given else running.cargo_build("debug")
    with running_river(False, port or ports.choose_block(PORTS), binary, "test-sdks") as river:
        outcomes = [run(sdk, harmed, folders, river) for sdk in sdks for harmed in (False, True)]
    print_table(outcomes)
    failed = [outcome for outcome in outcomes if outcome.faults]
    for outcome in failed:
        say(f"! {outcome.sdk.name}, {'harmed' if outcome.harmed else 'unharmed'}:")
        for fault in outcome.faults:
            say("    " + fault.replace("\n", "\n    "))
    return 1 if failed or not outcomes else 0


def run(sdk, harmed, folders, river):
    say(f"- {sdk.name}{', through faults' if harmed else ''}")
    program = "-".join([sdk.language, sdk.program.partition(".")[0], *sdk.more])
    tenant = f"{program}-{'harmed' if harmed else 'unharmed'}"
    key = river.tenant(tenant)
    # A new key is known within a second.
    time.sleep(1)
    harm = [fault for fault in FAULTS if sdk.has_ids or fault != REPLY_LOST] if harmed else []
    with Proxy(river.shape.ingest, harm) as proxy:
        began = time.monotonic()
        faults = send(sdk, folders, proxy.url, key)
        if harmed and sdk.language == "browser":
            # Pages see what SDKs write to the console about each fault, not only what they give up.
            faults = []
        milliseconds = round((time.monotonic() - began) * 1000)
        usage = settled(river, tenant, sdk.count)
        faults += stored_faults(sdk, river, key, usage) + wire_faults(sdk, proxy, harmed, usage)
        posts = proxy.posts()
        again = sum(status != sdk.success or fault != "none" for _, _, fault, status, _ in posts)
        return Outcome(sdk, harmed, usage, len(posts), again, milliseconds, faults, proxy.side_calls(key))


def send(sdk, folders, url, key):
    argv = [*programs.argv(sdk, folders), url, key, str(sdk.count), *sdk.more]
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=PROGRAM_SECONDS)
    except subprocess.TimeoutExpired:
        return [f"it did not end within {PROGRAM_SECONDS} s"]
    if done.returncode != 0:
        return [f"it ended with {done.returncode}:\n{last_lines(done.stderr)}"]
    return []


def settled(river, tenant, count):
    """The tenant's usage once all events are stored, or no more come."""
    deadline = time.monotonic() + STORED_SECONDS
    while river.weir_now("usage", tenant)["stored"] < count and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(QUIET_SECONDS)
    return river.weir_now("usage", tenant)


def stored_faults(sdk, river, key, usage):
    """What is wrong with the rows and the usage."""
    faults = []
    if usage["stored"] != sdk.count:
        faults.append(f"{usage['stored']} events are metered as stored")
    turns = len(sdk.rows)
    of_turns = [len(range(turn, sdk.count, turns)) for turn in range(turns)]
    wanted = [sdk.count, sdk.count, 0 if sdk.has_ids else sdk.count, 0, *of_turns]
    conditions = ["flags != 0", f"position(concat(properties, context, extra), '{key}') > 0", *sdk.rows]
    counts = ", ".join(f"countIf({condition})" for condition in conditions)
    of_tenant = f"FROM events WHERE tenant_id = {int(usage['tenant'])}"
    [found] = river.clickhouse(f"SELECT count(), uniqExact(event_id), {counts} {of_tenant}")
    found = list(map(int, found))
    for what, want, have in zip(["rows", "ids", *conditions], wanted, found, strict=True):
        if want != have:
            faults.append(f"{have} in the place of {want}: {what}")
    return faults


def wire_faults(sdk, proxy, harmed, usage):
    """What is wrong with the requests: without faults none fails, and none is sent again."""
    posts = proxy.posts()
    if harmed:
        # Some SDKs send all in few requests; that a fault was met, and survived, must be true of each.
        met = any(fault != "none" for _, _, fault, _, _ in posts)
        return [] if met else ["no fault was met"]
    failed = sorted({f"{path} got {status}" for _, path, _, status, _ in posts if status != sdk.success})
    if usage["duplicate"]:
        failed.append(f"{usage['duplicate']} events were sent again")
    return failed


def print_table(outcomes):
    say()
    layout = "{:<40} {:<14} {:<8} {:>6} {:>7} {:>10} {:>9} {:>7} {:>7}  {}"
    say(layout.format("SDK", "version", "way", "sent", "stored", "duplicate", "requests", "failed", "ms", ""))
    for each in outcomes:
        say(
            layout.format(
                each.sdk.name,
                programs.version(each.sdk),
                "faults" if each.harmed else "free",
                each.sdk.count,
                each.usage["stored"],
                each.usage["duplicate"],
                each.requests,
                each.again,
                each.milliseconds,
                "WRONG" if each.faults else "ok",
            )
        )
    side = sorted({(each.sdk.name, *call) for each in outcomes for call in each.side_calls}, key=str)
    for name, method, path, status in side:
        say(f"  {name} also asks {method} {path}: {status}")
