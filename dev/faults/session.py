"""A river of one shape, up, with its tenants: one fault after the other under load, each looked at when it is over."""

import dataclasses
import random
import threading
import time
import traceback

import load
import looks
from audit import Audit, Found
from console import Problem
from faults.catalogue import LEASE_SECONDS
from faults.harm import Harm
from proxy import Proxies, Proxy
from subject import River

# Of load, before a fault and after it.
WARM_SECONDS = 2
AFTER_SECONDS = 2
# Of a machine with two cores, Kafka included.
UP_SECONDS = 60
LAG_SECONDS = 30
# After the last batch is begun, until the last answer.
GRACE_SECONDS = 90
# What dead nodes have leased comes back after their lease time and the longest append, some 25 s.
CAP_SECONDS = 120
# Of a process of weir, in a build without optimisation: what it has at rest, a budget of bodies twice (as sent and
# inflated or read), the log's queue, and two batches.
RSS_MAX = 384 << 20
DESCRIPTORS_MAX = 400
SETTINGS = {
    "WEIR_RUN_PROXIES": "1",
    "WEIR_PROCESSOR_LEASE_MS": LEASE_SECONDS * 1000,
    "WEIR_INGEST_LEASE_MS": 5_000,
    "WEIR_IN_FLIGHT_BYTES_MAX": 64 << 20,
    "WEIR_DRAIN_GRACE_MS": 500,
}
PROXIED = {"DATABASE_URL": "postgres", "CLICKHOUSE_URL": "clickhouse", "KAFKA_BROKERS": "kafka", "REDIS_URL": "redis"}
POISON_KINDS = 6
# A merge makes one row of two: what was written twice would not be seen.
STOP_MERGES = "SYSTEM STOP MERGES events"
START_MERGES = "SYSTEM START MERGES events"
# A zombie's rows are its successor's, byte by byte: a merge makes one of two.
MERGE = "OPTIMIZE TABLE events FINAL"
# What ClickHouse needs to know a block again, for the mutant that relies on it.
TOKEN_WINDOW = "ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 1000"


@dataclasses.dataclass(frozen=True)
class Lane:
    """Who sends while a fault lasts."""

    name: str
    rate: int
    batch: int
    connections: int
    gzip: bool = False
    # Percent of its events that are sent again on purpose.
    retry_share: int = 10
    # What may be said to it, besides 202.
    refusals: tuple = ()


CAPPED = Lane("capped", 300, 20, 4, refusals=("402", "202 quota_exceeded"))
LANES = (
    Lane("singles", 60, 1, 8),
    # Each request has another tenant's key, so nothing may be sent again under the next.
    Lane("many", 600, 50, 4, gzip=True, retry_share=0),
    Lane("bulk", 1_000, 1_000, 2, gzip=True),
    CAPPED,
    Lane("greedy", 300, 10, 2, refusals=("429",)),
)
MANY = 16
LIMITS = {"capped": ("--quota", 0), "greedy": ("--rate", 100)}
# Of what "capped" sends while a fault lasts, about so much is beyond its cap.
CAP_SHARE = 0.6


@dataclasses.dataclass
class Round:
    """What became of one fault."""

    name: str
    shape: str
    found: Found
    took_seconds: float = 0.0


class Session:
    def __init__(self, folder, shape, binary, seed, disks=(), mutant=None):
        self.orders = folder / "orders"
        broken = {"WEIR_MUTANT": mutant} if mutant else {}
        self.river = River(folder, shape, binary, WEIR_FAULTS=self.orders, **SETTINGS, **broken)
        self.audit = Audit(self.river)
        pairs = [(PROXIED[name], *ports) for name, ports in shape.proxies().items()]
        self.proxies = Proxies(*(Proxy(*pair) for pair in pairs if pair[0] in self.river.store_names))
        # Of the log and of ClickHouse, where they have any of their own.
        self.disks = disks
        self.seed, self.mutant = seed, mutant
        self.keys, self.loads, self.journals, self.poisons = {}, {}, [], []
        self.cap = self.acknowledged_of_capped = self.numbers = 0

    def start(self):
        self.river.up()
        self.keys = {lane.name: self.river.tenant(lane.name, *LIMITS.get(lane.name, ())) for lane in LANES}
        self.keys["many"] = self.river.folder / "keys"
        self.keys["many"].touch(mode=0o600)
        lines = [self.river.tenant(f"many-{number}") for number in range(MANY)]
        self.keys["many"].write_text("\n".join(lines) + "\n")
        if self.mutant == "clickhouse-token":
            self.river.clickhouse(TOKEN_WINDOW)

    def round(self, fault):
        """One fault, from the beginning of the load to the verdict."""
        begun, found = time.monotonic(), Found()
        # Of its own, so that a fault alone does what it does among others.
        chance = random.Random(f"{self.seed} {fault.shape} {fault.name}")
        watch = Watch(self.river)
        try:
            self.carry_out(fault, found, chance)
        except Problem as problem:
            found.expect("I8", False, f"{problem} {problem.detail}")
        except Exception:
            # A river that has come to harm may answer anything; the campaign goes on with another.
            found.expect("I8", False, traceback.format_exc(limit=-3))
        finally:
            self.mend()
            watch.end(found)
        self.audit.logs(found)
        return Round(fault.name, fault.shape, found, time.monotonic() - begun)

    def carry_out(self, fault, found, chance):
        seconds = WARM_SECONDS + fault.seconds + AFTER_SECONDS
        self.cap += int(CAPPED.rate * seconds * CAP_SHARE)
        self.river.weir_now("tenant", "set", "capped", "--quota", self.cap)
        if not fault.may_double:
            self.river.clickhouse(STOP_MERGES)
        self.send(fault.name, seconds, chance)
        time.sleep(WARM_SECONDS)
        begun = time.monotonic()
        fault.do(Harm(self, found, chance))
        mended = time.monotonic()
        self.mend()
        self.river.wait_until_up()
        # What was killed is a fault until it runs again.
        healed = time.monotonic()
        found.expect("I8", healed - mended < UP_SECONDS, f"all was up again after {healed - mended:.0f} s only")
        reports = {lane: each.report(GRACE_SECONDS + seconds + 30) for lane, each in self.loads.items()}
        self.look(fault, found, healed, 2 * (healed - begun) + LAG_SECONDS)
        for lane, report in reports.items():
            answers(found, lane, report)
        self.river.clickhouse(START_MERGES)
        self.look_for_poison(found)

    def send(self, label, seconds, chance):
        self.loads = {}
        for lane in LANES:
            # Journals are checked by ids alone, so no two loads may have the same.
            options = ["--retry", "--retry-share", lane.retry_share, "--seed", chance.getrandbits(60)]
            options += ["--duration", f"{int(seconds * 1000)}ms", "--grace", f"{GRACE_SECONDS}s"]
            options += load.shape_of(lane.batch, lane.connections, lane.rate, lane.gzip)
            self.loads[lane] = load.Load(
                self.river, f"{label}-{lane.name}", self.keys[lane.name], *options, journal=True
            )
        self.journals += [each.journal for each in self.loads.values()]

    def look(self, fault, found, healed, allowed):
        if not fault.may_double:
            # A ClickHouse that was killed has begun to merge again.
            self.river.clickhouse(STOP_MERGES)
        between = (lambda: self.river.clickhouse(MERGE)) if fault.may_double else (lambda: None)
        journals = [each.journal for each in self.loads.values()]
        caught_up = self.audit.wait(journals, healed + allowed, between)
        found.lag_seconds = time.monotonic() - healed
        found.expect("I8", caught_up, f"not caught up after {found.lag_seconds:.0f} s: {self.audit.why}")
        for lane, each in self.loads.items():
            check = self.audit.promises(found, each.journal)
            if lane == CAPPED and check:
                self.acknowledged_of_capped += check["acknowledged"]
        self.audit.books(found)
        self.audit.cap(found, "capped", self.acknowledged_of_capped)

    def mend(self):
        self.proxies.mend()
        self.orders.unlink(missing_ok=True)

    def look_for_poison(self, found):
        """Of all poison so far: each record once among the dead letters."""
        for number in self.poisons:
            marked = f"position(convert_to('poison-{number}-', 'UTF8') in raw) > 0"
            rows = self.river.sql(f"SELECT count(*), count(DISTINCT raw) FROM dead_letter WHERE {marked}")
            found.expect("I10", rows == [[str(POISON_KINDS)] * 2], f"dead letters of the poison {number}: {rows}")

    def last_look(self):
        """Once more at everything that was ever promised here: no later fault may have taken it back. Then the cap is
        met to the event, since what dead nodes had leased has come back."""
        each = Round("(all of it once more)", "", Found())
        for journal in self.journals:
            self.audit.promises(each.found, journal)
        each.found.acknowledged = each.found.stored = 0
        begun, stored = time.monotonic(), -1
        while (stored := self.stored_of_capped()) < self.cap and time.monotonic() - begun < CAP_SECONDS:
            self.send_singles(self.cap - stored)
            time.sleep(1)
        each.found.expect("I6", stored == self.cap, f"of the cap of {self.cap} only {stored} can be had")
        report = self.send_singles(20)
        refused = sum(count for why, count in report["events_refused"].items() if why.startswith("402"))
        each.found.expect("I6", refused == report["events_sent"], f"at its cap: {report['events_refused']}")
        return each

    def stored_of_capped(self):
        return self.river.weir_now("usage", "capped")["stored"]

    def send_singles(self, count):
        self.numbers += 1
        options = ["--events", count, "--grace", "20s", *load.shape_of(1, 4)]
        return load.Load(self.river, f"cap-{self.numbers}", self.keys["capped"], *options).report()

    def end(self):
        for each in self.loads.values():
            each.end()
        self.river.stop()
        self.proxies.end()
        for disk in self.disks:
            disk.unmount()


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
                if pid := pids.get(name):
                    memory, files = self.most.get(name, (0, 0))
                    self.most[name] = (max(memory, looks.rss_bytes(pid)), max(files, looks.descriptors(pid)))

    def end(self, found):
        self.ends.set()
        self.thread.join()
        for name, (memory, files) in self.most.items():
            found.expect("I7", memory <= RSS_MAX, f"{name} held {memory >> 20} MiB, of {RSS_MAX >> 20} that it may")
            found.expect("I7", files <= DESCRIPTORS_MAX, f"{name} had {files} descriptors open")
            found.resources[name] = f"{memory >> 20} MiB, {files} descriptors"


def answers(found, lane, report):
    """I5, by what the clients of a lane were told."""
    found.unknown += sum(report["events_unknown"].values())
    refused = [why for why in report["events_refused"] if not why.startswith(lane.refusals)]
    found.expect("I5", not refused, f"{lane.name} was refused: {refused}")
    odd = [why for why in report["events_unknown"] if why[:1] == "5" and not why.startswith("503")]
    found.expect("I5", not odd, f"{lane.name} was told {odd}")
    left = report["events_left"]
    found.expect("I5", not left, f"{left} events of {lane.name} have no final answer {GRACE_SECONDS} s after")
