"""What was promised against what is stored, counted: how often each invariant was looked at, and how often broken.

* `weir load --check` of a journal: acknowledged is stored exactly once, refused is not stored;
* `weir verify`: accepted = stored + duplicate + dead, usage = stored, by range of the log and by hour;
* by tenant: usage = rows, raw rows = rows with FINAL, and for a cap: acknowledged <= rows <= granted <= cap;
* weir's logs: no panic, no key.
"""

import dataclasses
import json
import re
import time

INVARIANTS = {
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
# What `weir load --check` counts, by the invariant that it breaks. What is lost may still be on its way.
KINDS = {"lost": "I1", "stored_twice": "I1", "refused_but_stored": "I2", "never_sent": "I2"}
# Cursors that have not moved for so long, with all up, will not.
STANDS_SECONDS = 15
# A broker that has just started does not let `weir verify` read the log.
BROKER_SECONDS = 10
KEY_SECRET = re.compile(rb"wk_live_\w{40,}")
CURSORS = "SELECT partition, next_offset FROM partition_cursor ORDER BY 1"
USAGE = "SELECT tenant_id, sum(stored) FROM usage_hour GROUP BY 1"
ROWS = "SELECT tenant_id, count() FROM events {} GROUP BY tenant_id"
ROWS_OF_PERIOD = (
    "SELECT count() FROM events WHERE tenant_id = {tenant} AND received_at >= parseDateTime64BestEffort('{start}')"
)


@dataclasses.dataclass
class Found:
    """What was broken, and figures."""

    # By invariant: how often it was looked at, and how often broken.
    counts: dict = dataclasses.field(default_factory=dict)
    broken: list = dataclasses.field(default_factory=list)
    acknowledged: int = 0
    unknown: int = 0
    stored: int = 0
    lag_seconds: float = 0.0
    verify: dict = dataclasses.field(default_factory=dict)
    resources: dict = dataclasses.field(default_factory=dict)
    # Warnings and errors in weir's logs, by their message.
    logged: dict = dataclasses.field(default_factory=dict)

    def expect(self, invariant, holds, text):
        checks, violations = self.counts.get(invariant, (0, 0))
        self.counts[invariant] = (checks + 1, violations + (not holds))
        if not holds:
            self.broken.append(f"{invariant}: {text}")


class Audit:
    """Of one river, as often as is wanted."""

    def __init__(self, river):
        self.river, self.why = river, ""
        # How much of each log was looked at.
        self.seen = {}

    def check(self, journal):
        """How the journal compares with the rows at this moment; None if weir could not say."""
        found, self.why = self.river.weir("load", "--check", journal, "--within-seconds", "0", seconds=300)
        return found

    def wait(self, journals, until, between=lambda: None):
        """Until all that was acknowledged is there, or a promise is broken for good; whether either came to be."""
        cursors, moved = None, time.monotonic()
        while time.monotonic() < until and time.monotonic() - moved < STANDS_SECONDS:
            between()
            is_there, is_final = self.has_caught_up(journals)
            now = self.river.sql(CURSORS)
            # Unknown events may be on their way still: the cursors must stand.
            if is_final or is_there and now == cursors:
                return True
            cursors, moved = now, moved if now == cursors else time.monotonic()
            time.sleep(0 if is_there else 0.3)
        return False

    def has_caught_up(self, journals):
        """Whether all is there, and whether it is of no use to wait longer."""
        for journal in journals:
            check = self.check(journal)
            if check is None:
                return False, False
            if broken := {kind: check[kind] for kind in KINDS if check[kind]["count"]}:
                self.why = f"{journal.name}: {broken}"
                return False, broken.keys() != {"lost"}
        usage, rows = self.by_tenant()
        self.why = f"usage {usage}, rows {rows}"
        stored = {tenant: count for tenant, count in usage.items() if count}
        return stored == {tenant: raw for tenant, (raw, _) in rows.items()}, False

    def promises(self, found, journal):
        """I1 and I2, of one journal; returns what was counted."""
        check = self.check(journal)
        found.expect("I1", check is not None, f"{journal.name}: {self.why}")
        if check:
            for kind, invariant in KINDS.items():
                count, first = check[kind]["count"], check[kind]["first"][:2]
                found.expect(invariant, not count, f"{journal.name}: {kind} {count}, {first}")
            found.acknowledged += check["acknowledged"]
            found.stored += check["stored"]
        return check

    def books(self, found):
        """I3 and I4."""
        deadline, verdict = time.monotonic() + BROKER_SECONDS, None
        while verdict is None:
            verdict, why = self.river.weir("verify", seconds=600)
            if verdict is None and time.monotonic() > deadline:
                break
            time.sleep(0 if verdict else 1)
        found.verify = verdict or {}
        found.expect("I4", verdict is not None, why)
        found.expect("I4", not found.verify.get("mismatch_count"), f"weir verify: {found.verify.get('mismatches')}")
        usage, rows = self.by_tenant()
        for tenant in usage.keys() | rows.keys():
            stored, (raw, final) = usage.get(tenant, 0), rows.get(tenant, (0, 0))
            found.expect("I4", stored == raw, f"tenant {tenant}: usage {stored}, rows {raw}")
            found.expect("I3", raw == final, f"tenant {tenant}: raw rows {raw}, with FINAL {final}")

    def cap(self, found, name, acknowledged):
        """I6, of a tenant all of whose clients had so many events acknowledged."""
        usage = self.river.weir_now("usage", name)
        [[tenant]] = self.river.sql(f"SELECT id FROM tenant WHERE name = '{name}'")
        query = ROWS_OF_PERIOD.format(tenant=int(tenant), start=usage["period_start"])
        rows, granted, cap = int(self.river.clickhouse(query)[0][0]), usage["granted"], usage["quota"]
        text = f"acknowledged {acknowledged}, rows {rows}, granted {granted}, cap {cap}"
        found.expect("I6", acknowledged <= rows <= granted <= cap, f"the tenant {name}: {text}")

    def by_tenant(self):
        """Usage; and rows as they are, and with FINAL."""
        usage = {int(tenant): int(stored) for tenant, stored in self.river.sql(USAGE)}
        raw, final = (dict(self.river.clickhouse(ROWS.format(how))) for how in ("", "FINAL"))
        return usage, {int(tenant): (int(raw[tenant]), int(final.get(tenant, 0))) for tenant in raw}

    def logs(self, found):
        """I12, of what weir has logged since the last look."""
        for log in sorted((self.river.folder / "log").glob("*.log")):
            text = self.news(log)
            # The other one holds what `make run` says, the demo tenant's key with it.
            found.expect("I12", log.name == "river.log" or not KEY_SECRET.search(text), f"{log.name} holds a key")
            found.expect("I12", b"panicked at" not in text, f"{log.name}: a panic")
            for line in text.splitlines():
                if b'"level":"WARN"' in line or b'"level":"ERROR"' in line:
                    name = summary(line)
                    found.logged[name] = found.logged.get(name, 0) + 1

    def news(self, log):
        content = log.read_bytes()
        before, self.seen[log] = self.seen.get(log, 0), len(content)
        if len(content) >= before:
            return content[before:]
        # It was put aside by a start in between.
        old = log.with_suffix(".log.old")
        return old.read_bytes()[before:] + content if old.exists() else content


def summary(line):
    try:
        entry = json.loads(line)
    except ValueError:
        return "a torn line"
    return f"{entry['level'].lower()}: {entry.get('message', '')}"
