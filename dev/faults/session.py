"""A river of one shape, up, with its tenants: one fault after the other under load, each looked at when it is over."""

import dataclasses
import random
import threading
import time
import traceback

import looks
from audit import Audit, Found
from console import Problem
from faults.actions import LEASE_SECONDS
from proxy import StoreProxies
from subject import Load, River, load_shape

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
    "WEIR_RUN_PROXIES": 1,
    "WEIR_PROCESSOR_LEASE_MS": LEASE_SECONDS * 1000,
    "WEIR_INGEST_LEASE_MS": 5_000,
    "WEIR_IN_FLIGHT_BYTES_MAX": 64 << 20,
    "WEIR_DRAIN_GRACE_MS": 500,
}
POISON_KINDS = 6
POISON = "SELECT count(*), count(DISTINCT raw) FROM dead_letter"
POISON += " WHERE position(convert_to('poison-{}-', 'UTF8') in raw) > 0"
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
    # The refusals that it may get, besides 202.
    refusals: tuple = ()
    limits: tuple = ()


CAPPED = Lane("capped", 300, 20, 4, refusals=("402", "202 quota_exceeded"), limits=("--quota", 0))
# Each request has another tenant's key, so nothing may be sent again under the next.
MANY = Lane("many", 600, 50, 4, gzip=True, retry_share=0)
TENANTS_OF_MANY = 16
LANES = (
    Lane("singles", 60, 1, 8),
    MANY,
    Lane("bulk", 1_000, 1_000, 2, gzip=True),
    CAPPED,
    Lane("greedy", 300, 10, 2, refusals=("429",), limits=("--rate", 100)),
)
# Of what "capped" sends while a fault lasts, about so much is beyond its cap.
CAP_SHARE = 0.6


class Session:
    def __init__(self, folder, is_cluster, port, binary, seed, disks=(), mutant=None):
        self.orders = folder / "orders"
        broken = {"WEIR_MUTANT": mutant} if mutant else {}
        self.river = River(folder, is_cluster, port, binary, WEIR_FAULTS=self.orders, **SETTINGS, **broken)
        self.audit, self.proxies = Audit(self.river), StoreProxies(self.river.shape.proxies())
        # Of the log and of ClickHouse, where they have any of their own.
        self.disks, self.seed, self.mutant, self.is_broken = disks, seed, mutant, False
        self.keys, self.loads, self.journals, self.poisons = {}, {}, [], []
        self.cap = self.acknowledged_of_capped = self.numbers = 0

    def start(self):
        self.river.up()
        self.keys = {lane.name: self.river.tenant(lane.name, *lane.limits) for lane in LANES}
        self.keys[MANY.name] = self.river.folder / "keys"
        self.keys[MANY.name].touch(mode=0o600)
        lines = [self.river.tenant(f"many-{number}") for number in range(TENANTS_OF_MANY)]
        self.keys[MANY.name].write_text("\n".join(lines) + "\n")
        if self.mutant == "clickhouse-token":
            self.river.clickhouse(TOKEN_WINDOW)

    def mend(self):
        self.proxies.mend()
        self.orders.unlink(missing_ok=True)

    def send(self, lane, label, *options, **more):
        options += (*load_shape(lane.batch, lane.connections, lane.rate, lane.gzip),)
        return Load(self.river, f"{label}-{lane.name}", self.keys[lane.name], *options, **more)

    def last_look(self):
        """Once more at everything that was ever promised here: no later fault may have taken it back. Then the cap is
        met to the event, since what dead nodes had leased has come back."""
        found = Found()
        for journal in self.journals:
            self.audit.promises(found, journal)
        found.acknowledged = found.stored = 0
        begun = time.monotonic()
        while (stored := self.river.weir_now("usage", CAPPED.name)["stored"]) < self.cap:
            if time.monotonic() - begun > CAP_SECONDS:
                break
            self.send_singles(self.cap - stored)
            time.sleep(1)
        found.expect("I6", stored == self.cap, f"of the cap of {self.cap} only {stored} can be had")
        report = self.send_singles(20)
        refused = sum(count for why, count in report["events_refused"].items() if why.startswith("402"))
        found.expect("I6", refused == report["events_sent"], f"at its cap: {report['events_refused']}")
        return found

    def send_singles(self, count):
        self.numbers += 1
        lane = Lane(CAPPED.name, None, 1, 4)
        return self.send(lane, f"cap-{self.numbers}", "--events", count, "--grace", "20s").report()

    def end(self):
        for each in self.loads.values():
            each.end()
        self.river.stop()
        self.proxies.end()
        for disk in self.disks:
            disk.unmount()


class Round:
    """One fault, from the beginning of the load to the verdict."""

    def __init__(self, session, fault):
        self.session, self.river, self.audit, self.fault = session, session.river, session.audit, fault
        self.name, self.shape, self.found = fault.name, fault.shape, Found()
        # Of its own, so that a fault alone does what it does among others.
        self.chance = random.Random(f"{session.seed} {fault.shape} {fault.name}")
        watch = Watch(self.river)
        try:
            self.carry_out()
        except Problem as problem:
            self.found.expect("I8", False, f"{problem} {problem.detail}")
        except Exception:
            # A river that has come to harm may answer anything; the campaign goes on with another.
            self.found.expect("I8", False, traceback.format_exc(limit=-3))
        finally:
            session.mend()
            watch.end(self.found)
        self.audit.logs(self.found)

    def took_place(self, holds, text):
        self.found.expect("F", holds, text)

    def carry_out(self):
        session, fault, found = self.session, self.fault, self.found
        seconds = WARM_SECONDS + fault.seconds + AFTER_SECONDS
        session.cap += int(CAPPED.rate * seconds * CAP_SHARE)
        self.river.weir_now("tenant", "set", CAPPED.name, "--quota", session.cap)
        if not fault.may_double:
            self.river.clickhouse(STOP_MERGES)
        self.send(seconds)
        time.sleep(WARM_SECONDS)
        begun = time.monotonic()
        fault.action(self, *fault.arguments)
        mended = time.monotonic()
        session.mend()
        self.river.wait_until_up()
        # What was killed is a fault until it runs again.
        healed = time.monotonic()
        found.expect("I8", healed - mended < UP_SECONDS, f"all was up again after {healed - mended:.0f} s only")
        reports = {lane: each.report(GRACE_SECONDS + seconds + 30) for lane, each in session.loads.items()}
        self.look(healed, 2 * (healed - begun) + LAG_SECONDS)
        for lane, report in reports.items():
            answers(found, lane, report)
        self.river.clickhouse(START_MERGES)
        for number in session.poisons:
            rows = self.river.sql(POISON.format(number))
            found.expect("I10", rows == [[str(POISON_KINDS)] * 2], f"dead letters of the poison {number}: {rows}")

    def send(self, seconds):
        self.session.loads = {}
        for lane in LANES:
            # Journals are checked by ids alone, so no two loads may have the same.
            options = ["--retry", "--retry-share", lane.retry_share, "--seed", self.chance.getrandbits(60)]
            options += ["--duration", f"{int(seconds * 1000)}ms", "--grace", f"{GRACE_SECONDS}s"]
            self.session.loads[lane] = self.session.send(lane, self.name, *options, journal=True)
        self.session.journals += [each.journal for each in self.session.loads.values()]

    def look(self, healed, allowed):
        session, may_double = self.session, self.fault.may_double
        if not may_double:
            # A ClickHouse that was killed has begun to merge again.
            self.river.clickhouse(STOP_MERGES)
        journals = [each.journal for each in session.loads.values()]
        between = (lambda: self.river.clickhouse(MERGE)) if may_double else (lambda: None)
        caught_up = self.audit.wait(journals, healed + allowed, between)
        self.found.lag_seconds = time.monotonic() - healed
        late = f"not caught up after {self.found.lag_seconds:.0f} s: {self.audit.why}"
        self.found.expect("I8", caught_up, late)
        for lane, each in session.loads.items():
            check = self.audit.promises(self.found, each.journal)
            if lane == CAPPED and check:
                session.acknowledged_of_capped += check["acknowledged"]
        self.audit.books(self.found)
        self.audit.cap(self.found, CAPPED.name, session.acknowledged_of_capped)


class Watch:
    """The most that each process of weir has held, until it is ended."""

    def __init__(self, river):
        self.river, self.most, self.ends = river, {}, threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.ends.wait(0.2):
            for name, pid in self.river.pids().items():
                if name in self.river.shape.names:
                    now = looks.rss_bytes(pid), looks.descriptors(pid)
                    self.most[name] = tuple(map(max, self.most.get(name, (0, 0)), now))

    def end(self, found):
        self.ends.set()
        self.thread.join()
        for name, (memory, files) in self.most.items():
            found.expect("I7", memory <= RSS_MAX, f"{name} held {memory >> 20} MiB, of {RSS_MAX >> 20} that it may")
            found.expect("I7", files <= DESCRIPTORS_MAX, f"{name} had {files} descriptors open")
            found.resources[name] = f"{memory >> 20} MiB, {files} descriptors"


def answers(found, lane, report):
    """I5, by what the clients of a lane were answered."""
    found.unknown += sum(report["events_unknown"].values())
    refused = [why for why in report["events_refused"] if not why.startswith(lane.refusals)]
    found.expect("I5", not refused, f"{lane.name} was refused: {refused}")
    odd = [why for why in report["events_unknown"] if why[:1] == "5" and not why.startswith("503")]
    found.expect("I5", not odd, f"{lane.name} was answered {odd}")
    left = report["events_left"]
    found.expect("I5", not left, f"{left} events of {lane.name} have no final answer {GRACE_SECONDS} s after")
