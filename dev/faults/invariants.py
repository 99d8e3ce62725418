"""What must hold after each fault, counted: how often each invariant was looked at, and how often it was broken."""

import contextlib
import dataclasses
import json
import threading
import time

from crash import audit
from crash.resources import descriptors
from faults import load

NAMES = {
    "F": "the fault took place",
    "I1": "acknowledged is stored once",
    "I2": "refused is not stored, nothing else is",
    "I3": "raw rows = FINAL rows",
    "I4": "usage = rows = batch ledger",
    "I5": "good events get 2xx, 402, 429 or 503, and are stored in the end",
    "I6": "a cap is not passed",
    "I7": "memory and descriptors within limits",
    "I8": "all up, and lag gone in 2 x fault + 30 s",
    "I10": "each poison record a dead letter once",
    "I12": "no panic, no key in a log",
}
# Of a process of weir, in a build without optimisation: what it has at rest, a budget of bodies twice (as sent and
# inflated or read), the log's queue, and two batches.
RSS_MAX = 384 << 20
DESCRIPTORS_MAX = 400
LAG_SECONDS = 30
# Cursors that have not moved for so long, with all up, will not.
STANDS_SECONDS = 15
# A merge makes one row of two: what was written twice would not be seen.
STOP_MERGES = "SYSTEM STOP MERGES events"
START_MERGES = "SYSTEM START MERGES events"


@dataclasses.dataclass
class Found(audit.Audit):
    """An audit whose expectations belong to invariants."""

    invariant: str = "I4"
    counts: dict = dataclasses.field(default_factory=dict)

    def expect(self, holds, text):
        checks, violations = self.counts.get(self.invariant, (0, 0))
        self.counts[self.invariant] = (checks + 1, violations + (not holds))
        if not holds:
            self.broken.append(f"{self.invariant}: {text}")

    @contextlib.contextmanager
    def of(self, invariant):
        before, self.invariant = self.invariant, invariant
        try:
            yield self
        finally:
            self.invariant = before


class Watch:
    """The most that each process of weir has held, until it is ended."""

    def __init__(self, river):
        self.river, self.most = river, {}
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.ends.wait(0.2):
            pids = self.river.pids()
            for name in self.river.weir_names:
                if name in pids:
                    memory, files = self.most.get(name, (0, 0))
                    pid = pids[name]
                    self.most[name] = (max(memory, resident_bytes(pid)), max(files, descriptors(pid)))

    def end(self, found):
        self.ends.set()
        self.thread.join()
        with found.of("I7"):
            for name, (memory, files) in self.most.items():
                found.expect(memory <= RSS_MAX, f"{name} held {memory >> 20} MiB, of {RSS_MAX >> 20} that it may")
                found.expect(files <= DESCRIPTORS_MAX, f"{name} had {files} descriptors open")
        for name, (memory, files) in self.most.items():
            found.resources[name] = f"{memory >> 20} MiB, {files} descriptors"


def resident_bytes(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096
    return 0


class Look(audit.Look):
    """Asks how things are now; what is still on its way is for the caller to wait for."""

    def check(self, journal):
        check, self.behind = self.river.weir("load", "--check", str(journal), "--within-seconds", "0", seconds=300)
        if check is not None:
            journal.with_suffix(".check").write_text(json.dumps(check))
        return check


def after_fault(river, found, loads, *, healed, lasted, may_double):
    """Looks at all of it. `healed` is when the fault was over, by the monotonic clock, `lasted` how long it was."""
    if not may_double:
        # A ClickHouse that was killed has begun to merge again.
        river.clickhouse(STOP_MERGES)
    wait_for_the_lag(river, found, loads, healed, 2 * lasted + LAG_SECONDS, may_double)
    look = Look(river, found)
    promises(found, loads, look)
    answers(found, loads)
    with found.of("I4"):
        audit.prove(river, found, time.monotonic() + 10)
    books(river, found)
    with found.of("I6"):
        look.compare_with_cap("capped", sorted((river.folder / "journals").glob("*-capped.journal")))


def wait_for_the_lag(river, found, loads, healed, allowed, may_double):
    """Until all that was acknowledged is there, or will not come any more."""
    look = Look(river, audit.Audit())
    journals = [each.journal for each in loads]
    cursors, moved = None, time.monotonic()
    caught_up = False
    while not caught_up and time.monotonic() - healed < allowed and time.monotonic() - moved < STANDS_SECONDS:
        if may_double:
            # A zombie's rows are its successor's, byte by byte: a merge makes one of two.
            river.clickhouse("OPTIMIZE TABLE events FINAL")
        caught_up = look.has_caught_up(journals)
        now = river.sql("SELECT partition, next_offset FROM partition_cursor ORDER BY 1")
        cursors, moved = now, moved if now == cursors else time.monotonic()
        if look.audit.broken:
            break
        caught_up or time.sleep(0.3)
    found.lag_seconds = time.monotonic() - healed
    with found.of("I8"):
        found.expect(caught_up or look.audit.broken, f"not caught up after {found.lag_seconds:.0f} s: {look.behind}")


def promises(found, loads, look):
    for each in loads:
        check = look.check(each.journal)
        with found.of("I1"):
            found.expect(check is not None, f"{each.journal.name}: {look.behind}")
        if check is None:
            continue
        found.acknowledged += check["acknowledged"]
        found.stored += check["stored"]
        for invariant, kinds in (("I1", ("lost", "stored_twice")), ("I2", ("refused_but_stored", "never_sent"))):
            with found.of(invariant):
                for kind in kinds:
                    count, first = check[kind]["count"], check[kind]["first"][:2]
                    found.expect(not count, f"{each.lane.name}: {kind} {count}, {first}")


def answers(found, loads):
    with found.of("I5"):
        for each in loads:
            report, lane = each.report(), each.lane
            found.unknown += sum(report["events_unknown"].values())
            refused = [why for why in report["events_refused"] if not why.startswith(lane.refusals)]
            found.expect(not refused, f"{lane.name} was refused: {refused}")
            odd = [why for why in report["events_unknown"] if why[:1] == "5" and not why.startswith("503")]
            found.expect(not odd, f"{lane.name} was told {odd}")
            left = report["events_left"]
            found.expect(not left, f"{left} events of {lane.name} have no final answer {load.GRACE_SECONDS} s after")


def books(river, found):
    usage, rows = audit.usage_by_tenant(river), audit.rows_by_tenant(river)
    for tenant in usage.keys() | rows.keys():
        (stored, _, _), (raw, final) = usage.get(tenant, (0, 0, 0)), rows.get(tenant, (0, 0))
        with found.of("I4"):
            found.expect(stored == raw, f"tenant {tenant}: usage {stored}, rows {raw}")
        with found.of("I3"):
            found.expect(raw == final, f"tenant {tenant}: raw rows {raw}, with FINAL {final}")
