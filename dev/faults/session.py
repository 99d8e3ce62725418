"""A river of one shape, up, with its tenants: one fault after the other under load, each looked at when it is over."""

import dataclasses
import json
import random
import time
import traceback

from console import Problem, say
from crash import audit
from faults import hoard, invariants, load, mutants
from faults.catalogue import POISON_KINDS, Harm
from faults.invariants import Found

# Of load, before a fault and after it.
WARM_SECONDS = 2
AFTER_SECONDS = 2


@dataclasses.dataclass
class Round:
    """What became of one fault."""

    name: str
    shape: str
    found: Found
    warnings: dict
    took_seconds: float


class Session:
    def __init__(self, river, seed, disks=(), mutant=None):
        self.river, self.seed, self.mutant = river, seed, mutant
        # Of the log and of ClickHouse, where they have any of their own.
        self.disk, self.clickhouse_disk = disks or (None, None)
        self.keys, self.hoarder_keys = {}, []
        self.loads, self.poisons, self.journals = [], [], []
        self.cap = 0
        self.logs = audit.Logs(river.folder / "log")

    @property
    def proxies(self):
        return self.river.proxies

    def start(self):
        self.river.start()
        self.river.wait_until_up()
        self.keys = load.make_tenants(self.river)
        if self.mutant == "clickhouse-token":
            self.river.clickhouse(mutants.TOKEN_WINDOW)

    def hoarders(self):
        self.hoarder_keys = self.hoarder_keys or hoard.make_tenants(self.river)
        return self.hoarder_keys

    def round(self, fault):
        """One fault, from the beginning of the load to the verdict."""
        begun = time.monotonic()
        found = Found()
        # Of its own, so that a fault alone does what it does among others.
        chance = random.Random(f"{self.seed} {fault.shape} {fault.name}")
        watch = invariants.Watch(self.river)
        warnings = {}
        try:
            self.carry_out(fault, found, chance)
        except Problem as problem:
            with found.of("I8"):
                found.expect(False, f"{problem} {problem.detail}")
        except Exception:
            # A river that has come to harm may answer anything; the campaign goes on with another.
            with found.of("I8"):
                found.expect(False, traceback.format_exc(limit=-3))
        finally:
            self.mend()
            watch.end(found)
        with found.of("I12"):
            warnings = self.logs.look(found)
        return Round(fault.name, fault.shape, found, warnings, time.monotonic() - begun)

    def carry_out(self, fault, found, chance):
        seconds = WARM_SECONDS + fault.seconds + AFTER_SECONDS
        self.cap += load.cap_step(seconds)
        self.river.weir_now("tenant", "set", "capped", "--quota", str(self.cap))
        if not fault.may_double:
            self.river.clickhouse(invariants.STOP_MERGES)
        self.loads = load.start(self.river, self.keys, fault.name, seconds, chance)
        time.sleep(WARM_SECONDS)
        fault_begun = time.monotonic()
        fault.do(Harm(self.river, found, chance, self))
        healed = time.monotonic()
        self.mend()
        self.river.wait_until_up()
        with found.of("I8"):
            found.expect(True, "")
        for each in self.loads:
            each.wait(load.GRACE_SECONDS + seconds)
        lasted = healed - fault_begun
        invariants.after_fault(self.river, found, self.loads, healed=healed, lasted=lasted, may_double=fault.may_double)
        self.river.clickhouse(invariants.START_MERGES)
        self.journals += [each.journal for each in self.loads]
        self.look_for_poison(found)

    def mend(self):
        self.proxies.mend()
        self.river.orders.unlink(missing_ok=True)

    def look_for_poison(self, found):
        """Of all poison so far: each record once among the dead letters."""
        with found.of("I10"):
            for number in self.poisons:
                marked = f"position(convert_to('poison-{number}-', 'UTF8') in raw) > 0"
                rows = self.river.sql(f"SELECT count(*), count(DISTINCT raw) FROM dead_letter WHERE {marked}")
                found.expect(rows == [[str(POISON_KINDS)] * 2], f"dead letters of the poison {number}: {rows}")

    def last_look(self):
        """Once more at everything that was ever promised here: no later fault may have taken it back."""
        found = Found()
        look = invariants.Look(self.river, found)
        for journal in self.journals:
            check = look.check(journal)
            broken = audit.violations(check) if check else look.behind
            with found.of("I1"):
                found.expect(not broken, f"{journal.name}: {broken}")
        return Round("(all of it once more)", "", found, {}, 0)

    def end(self):
        for each in self.loads:
            if each.process.poll() is None:
                each.process.kill()
                each.process.wait()
        if not self.river.end():
            say("! the river did not stop in time and was killed")
        for each in (self.disk, self.clickhouse_disk):
            if each is not None:
                each.unmount()


def noted(each, seed, mutant):
    """A round as a line of JSON."""
    found = each.found
    return json.dumps(
        {
            "seed": seed,
            "mutant": mutant,
            "fault": each.name,
            "shape": each.shape,
            "seconds": round(each.took_seconds, 1),
            "lag_seconds": round(found.lag_seconds, 1),
            "acknowledged": found.acknowledged,
            "unknown": found.unknown,
            "stored": found.stored,
            "counts": found.counts,
            "broken": found.broken,
            "resources": found.resources,
            "verify": found.verify,
            "logged": each.warnings,
        }
    )
