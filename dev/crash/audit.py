"""What is looked at after each round, once the river has caught up: what was promised against what is stored.

* `weir load --check` of every journal so far: acknowledged is stored exactly once, refused is not stored;
* `weir verify`: accepted = stored + duplicate + dead, usage = stored, by range of the log and by hour;
* by tenant: usage = rows, raw rows = rows with FINAL, and for a cap: acknowledged <= rows <= granted <= cap;
* weir's logs: no panic, no key.
"""

import dataclasses
import json
import re
import time
from pathlib import Path

CAUGHT_UP_SECONDS = 120
# What `weir load --check` counts, and a longer wait cannot mend; lost events may still be on their way.
FINAL_VIOLATIONS = ("stored_twice", "refused_but_stored", "never_sent")
KEY_SECRET = re.compile(rb"wk_live_\w{40,}")


@dataclasses.dataclass
class Audit:
    """Of one round: what is broken, what is odd, and figures."""

    broken: list = dataclasses.field(default_factory=list)
    odd: list = dataclasses.field(default_factory=list)
    acknowledged: int = 0
    unknown: int = 0
    stored: int = 0
    lag_seconds: float = 0.0
    checks: dict = dataclasses.field(default_factory=dict)
    verify: dict = dataclasses.field(default_factory=dict)
    tenants: dict = dataclasses.field(default_factory=dict)
    resources: dict = dataclasses.field(default_factory=dict)

    def expect(self, holds, text):
        if not holds:
            self.broken.append(text)


def after_round(river, audit, new_journals, old_journals, capped):
    """Fills `audit`; `capped` is the capped tenant's name."""
    begun = time.monotonic()
    look = Look(river, audit)
    while not (caught_up := look.has_caught_up(new_journals)):
        if audit.broken or time.monotonic() - begun > CAUGHT_UP_SECONDS:
            break
        time.sleep(0.5)
    audit.lag_seconds = time.monotonic() - begun
    audit.expect(caught_up, f"not caught up within {CAUGHT_UP_SECONDS} s: {look.behind}")
    for check in audit.checks.values():
        audit.acknowledged += check["acknowledged"]
        audit.unknown += check["unknown"]
        audit.stored += check["stored"]
    for journal in old_journals:
        check = look.check(journal)
        audit.expect(check and not violations(check), f"{journal.name}: {check and violations(check)}")
    prove(river, audit, begun + CAUGHT_UP_SECONDS)
    look.compare_rows()
    look.compare_with_cap(capped, [*new_journals, *old_journals])


def prove(river, audit, deadline):
    """`weir verify`, asked again while a broker that has just started does not let it read the log."""
    verdict, why = river.weir("verify", seconds=600)
    while verdict is None and time.monotonic() < deadline:
        time.sleep(1)
        verdict, why = river.weir("verify", seconds=600)
    audit.verify = verdict or {}
    audit.expect(verdict is not None, why)
    audit.expect(not audit.verify.get("mismatch_count"), f"weir verify: {audit.verify.get('mismatches')}")


class Look:
    def __init__(self, river, audit):
        self.river, self.audit = river, audit
        self.cursors = None
        self.behind = ""

    def check(self, journal):
        check, self.behind = self.river.weir("load", "--check", str(journal), seconds=300)
        if check is not None:
            # Kept beside the journal: acknowledgements of the capped tenant are added up over all rounds.
            journal.with_suffix(".check").write_text(json.dumps(check))
        return check

    def has_caught_up(self, journals):
        for journal in journals:
            check = self.check(journal)
            if check is None:
                return False
            self.audit.checks[journal.stem] = check
            found = violations(check)
            if found:
                self.behind = f"{journal.name}: {found}"
                if any(name in found for name in FINAL_VIOLATIONS):
                    self.audit.broken.append(self.behind)
                return False
        # Unknown events may be on their way still: the cursors must stand, and usage must agree.
        cursors = self.river.sql("SELECT partition, next_offset FROM partition_cursor ORDER BY 1")
        before, self.cursors = self.cursors, cursors
        usage, rows = usage_by_tenant(self.river), rows_by_tenant(self.river)
        self.behind = f"cursors {before} -> {self.cursors}, usage {usage}, rows {rows}"
        stored = {tenant: counts[0] for tenant, counts in usage.items() if counts[0]}
        return before == self.cursors and stored == {tenant: raw for tenant, (raw, _) in rows.items()}

    def compare_rows(self):
        usage, rows = usage_by_tenant(self.river), rows_by_tenant(self.river)
        for tenant in usage.keys() | rows.keys():
            (stored, _, _), (raw, final) = usage.get(tenant, (0, 0, 0)), rows.get(tenant, (0, 0))
            self.audit.expect(stored == raw, f"tenant {tenant}: usage {stored}, rows {raw}")
            self.audit.expect(raw == final, f"tenant {tenant}: raw rows {raw}, with FINAL {final}")
        self.audit.tenants = {tenant: [*usage.get(tenant, ()), *rows.get(tenant, ())] for tenant in sorted(usage)}

    def compare_with_cap(self, capped, journals):
        usage = self.river.weir_now("usage", capped)
        rows = self.river.clickhouse(
            f"SELECT count() FROM events WHERE tenant_id = {int(usage['tenant'])}"
            f" AND received_at >= parseDateTime64BestEffort('{usage['period_start']}')"
        )
        rows, cap = int(rows[0][0]), usage["quota"]
        checks = (journal.with_suffix(".check") for journal in journals if journal.stem.endswith("-capped"))
        acknowledged = sum(json.loads(check.read_text())["acknowledged"] for check in checks if check.exists())
        text = f"acknowledged {acknowledged}, rows {rows}, granted {usage['granted']}, cap {cap}"
        self.audit.tenants["capped"] = text
        self.audit.expect(acknowledged <= rows <= usage["granted"] <= cap, f"the capped tenant: {text}")


def violations(check):
    """By kind: how many, and which are the first."""
    kinds = ("lost", *FINAL_VIOLATIONS)
    return {kind: (check[kind]["count"], *check[kind]["first"][:3]) for kind in kinds if check[kind]["count"]}


def usage_by_tenant(river):
    rows = river.sql("SELECT tenant_id, sum(stored), sum(duplicate), sum(dead) FROM usage_hour GROUP BY 1")
    return {int(tenant): tuple(map(int, counts)) for tenant, *counts in rows}


def rows_by_tenant(river):
    raw = dict(river.clickhouse("SELECT tenant_id, count() FROM events GROUP BY tenant_id"))
    final = dict(river.clickhouse("SELECT tenant_id, count() FROM events FINAL GROUP BY tenant_id"))
    return {int(tenant): (int(raw[tenant]), int(final.get(tenant, 0))) for tenant in raw}


class Logs:
    """What weir has logged since the last look."""

    def __init__(self, folder):
        self.folder = folder
        self.seen = {}

    def look(self, audit):
        """Adds panics and keys to what is broken, counts warnings and errors by their message."""
        counts = {}
        for log in sorted(self.folder.glob("*.log")):
            text = self.news(log)
            # The other one holds what `make run` says, the demo tenant's key with it.
            audit.expect(log.name == "river.log" or not KEY_SECRET.search(text), f"{log.name} holds a key")
            audit.expect(b"panicked at" not in text, f"{log.name}: a panic")
            for line in text.splitlines():
                if b'"level":"WARN"' in line or b'"level":"ERROR"' in line:
                    name = told(line)
                    counts[name] = counts.get(name, 0) + 1
                elif log.name == "river.log" and line.startswith(b"! ") and b"SIGKILL" not in line:
                    audit.odd.append(line.decode(errors="replace"))
        return counts

    def news(self, log):
        content = log.read_bytes()
        before, self.seen[log] = self.seen.get(log, 0), len(content)
        if len(content) >= before:
            return content[before:]
        # It was put aside by a start in between.
        old = Path(log).with_suffix(".log.old")
        return old.read_bytes()[before:] + content if old.exists() else content


def told(line):
    try:
        entry = json.loads(line)
    except ValueError:
        return "a torn line"
    return f"{entry['level'].lower()}: {entry.get('message', '')}"
