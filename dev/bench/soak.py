"""`soak`: the river under a steady load for a while: does anything grow?

Finds the rate that it sustains from end to end, sends `--load` percent of that for so many minutes, and looks at every
process each 10 s. At the end everything must be stored once, and memory, descriptors and what is not processed yet must
not have grown. Exit code 1 if one of these is not so; the folder then stays, samples stay in any case.
"""

import itertools
import json
import time
from typing import NamedTuple

import looks
import weir
import workspace
from audit import Audit, Found
from bench.pipeline import TRY_SECONDS, Pipeline
from console import Problem, say, step
from figures import headline, table, thirds
from subject import Load, load_shape, running_river

SAMPLE_SECONDS = 10
FIRST_RATE = 5_000
# Before the first sample: what is allocated once has been by then.
WARM_UP_SECONDS = 10
# Of each run of a lane whose connections come and go.
PASSING_SECONDS = 5
# Well below what an address without a good key is let through with, so that each is refused as what it is.
BAD_EVENTS_PER_SECOND = 100
# What the last third may have more than the second.
GROWTH_MAX = 0.10
# Below so little a growth is no growth: a descriptor more or less, a page of an allocator.
DESCRIPTORS_SLACK = 3
BYTES_SLACK = 2 << 20
# Of load that may be under way between a reply and the rows.
BACKLOG_SECONDS_MAX = 10


class Lane(NamedTuple):
    """A share of the rate, in percent, in requests of one kind."""

    name: str
    percent: int
    batch: int
    connections: int
    gzip: bool = False
    tenant: str = "uncapped"


# With a journal each, over the same connections from the beginning to the end.
LASTING = (
    Lane("singles", 5, 1, 32),
    Lane("tens", 15, 10, 16, tenant="capped"),
    Lane("tens-gzip", 10, 10, 16, gzip=True),
    Lane("hundreds", 35, 100, 8),
    Lane("hundreds-gzip", 25, 100, 8, gzip=True, tenant="capped"),
)
# One short run after the other, so that there are always as many connections, but never for long the same.
PASSING = (Lane("passing-1", 5, 1, 64), Lane("passing-10", 5, 10, 64, tenant="capped"))


class Process(NamedTuple):
    rss: int
    descriptors: int
    threads: int
    # How many, and their memory: by design it grows until WEIR_IDS_MEMORY_MAX.
    ids: int
    ids_bytes: int


class Sample(NamedTuple):
    at: float
    accepted: int
    # Events that were accepted and are neither stored nor found to be duplicates yet.
    backlog: int
    processes: dict


def add_arguments(parser):
    parser.add_argument("--shape", choices=["cluster", "run"], default="cluster", help="processes and stores")
    parser.add_argument("--minutes", type=float, default=30, help="of load")
    parser.add_argument("--load", type=int, default=60, help="percent of the rate that the river sustains")
    parser.add_argument("--rate", type=int, help="events a second that it sustains; found by trying, without it")


def run(chosen):
    is_cluster, name = chosen.shape == "cluster", f"soak-{chosen.shape}"
    weir.check_tools(is_cluster)
    if chosen.minutes < 1:
        raise Problem("--minutes must be at least 1: thirds of less hold too few samples")
    binary = weir.given_or_built()
    headline()
    with running_river(is_cluster, chosen.port or 7700, binary, name) as river:
        soak = Soak(river, chosen)
        try:
            soak.carry_out(workspace.ROOT / ".run" / f"{name}.jsonl")
        finally:
            for load in (*soak.under_way.values(), *soak.bad):
                load.end()
        if broken := soak.judge():
            raise Problem("not flat, or a promise was broken", "\n".join(broken))
        say("flat, and every event stored once")


class Soak:
    def __init__(self, river, chosen):
        self.river, self.chosen, self.audit = river, chosen, Audit(river)
        self.keys, self.numbers = river.capped_and_uncapped(), itertools.count(1)
        # By lane what runs now, and the last report of what has ended; all reports.
        self.under_way, self.last, self.reports = {}, {}, []
        self.samples, self.bad, self.journals = [], [], []
        # What is to be sent, and what was accepted before.
        self.rate = self.base = 0

    def start(self, lane, rate, seconds, number, *options, **more):
        # Never less than a request a second.
        rate = max(lane.batch, rate * lane.percent // 100)
        options += ("--retry", "--grace", "30s", "--duration", f"{seconds}s")
        options += (*load_shape(lane.batch, lane.connections, rate, lane.gzip),)
        return Load(self.river, f"{lane.name}-{number}", self.keys[lane.tenant], *options, **more)

    def mix(self, rate, seconds, number):
        """All lanes for so long, to find out what the river sustains."""
        return [self.start(lane, rate, seconds, f"try-{number}") for lane in (*LASTING, *PASSING)]

    def carry_out(self, samples_file):
        tried = Pipeline(self.river, self.mix)
        sustained = self.chosen.rate or tried.highest(FIRST_RATE, TRY_SECONDS).rate
        self.rate = sustained * self.chosen.load // 100
        say(f"- it sustains {sustained:,} events/s; {self.chosen.load} % of that: {self.rate:,}")
        self.base = self.sample().accepted
        seconds = int(self.chosen.minutes * 60)
        # A little longer than is looked at, so that the last look still meets all of it.
        lasts = WARM_UP_SECONDS + seconds + SAMPLE_SECONDS // 2
        for lane in LASTING:
            self.under_way[lane] = self.start(lane, self.rate, lasts, 0, "--retry-share", 5, journal=True)
            self.journals.append(self.under_way[lane].journal)
        # One that is no key, and one that was revoked.
        revoked = self.river.weir_now("key", "create", "uncapped")
        self.river.weir("key", "revoke", revoked["id"])
        bad = ["--duration", f"{lasts}s", *load_shape(10, 2, BAD_EVENTS_PER_SECOND)]
        for number, key in enumerate(("wk_live_nonsense", revoked["key"])):
            self.bad.append(Load(self.river, f"bad-{number}", key, *bad))
        self.take_samples(samples_file, seconds)
        for lane in list(self.under_way):
            self.ended(lane)
        with step("waiting until all is processed"):
            tried.drain()

    def take_samples(self, samples_file, seconds):
        begin = time.monotonic() + WARM_UP_SECONDS
        self.wait_until(begin)
        names = " ".join(f"{name:>18}" for name in self.river.shape.names)
        say(f"    s  events/s   behind  p99 ms, batch 1, 10 {names}   (MB/descriptors/threads)")
        before = self.sample()
        with open(samples_file, "w") as file:
            for number in range(1, seconds // SAMPLE_SECONDS + 1):
                self.wait_until(begin + number * SAMPLE_SECONDS)
                self.samples.append(found := self.sample())
                processes = {name: each._asdict() for name, each in found.processes.items()}
                file.write(json.dumps(found._asdict() | {"processes": processes, "p99_ms": self.p99_ms()}) + "\n")
                file.flush()
                rate = (found.accepted - before.accepted) / (found.at - before.at)
                p99 = ", ".join(f"{self.p99_ms().get(lane.name, 0):.0f}" for lane in PASSING)
                sizes = (f"{p.rss >> 20}/{p.descriptors}/{p.threads}".rjust(18) for p in found.processes.values())
                say(f"{found.at - begin:>5.0f} {rate:>9,.0f} {found.backlog:>8,} {p99:>20} {' '.join(sizes)}")
                before = found

    def wait_until(self, then):
        while time.monotonic() < then:
            for lane in PASSING:
                if lane in self.under_way and self.under_way[lane].is_over():
                    self.ended(lane)
                if lane not in self.under_way:
                    self.under_way[lane] = self.start(lane, self.rate, PASSING_SECONDS, next(self.numbers))
            time.sleep(0.1)

    def ended(self, lane):
        self.last[lane.name] = report = self.under_way.pop(lane).report()
        self.reports.append(report)

    def p99_ms(self):
        """By lane. Of lasting lanes it comes at the end, and is that of all the time."""
        return {name: report["latency"]["p99_us"] / 1000 for name, report in self.last.items()}

    def sample(self):
        pids, found = self.river.pids(), self.river.metrics()
        accepted, processed = (sum(map(count, found.values())) for count in (looks.accepted, looks.processed))
        sizes = (looks.rss_bytes, looks.descriptors, looks.threads)
        processes = {
            name: Process(*(size(pids[name]) for size in sizes), *looks.ids(of_role)) for name, of_role in found.items()
        }
        return Sample(time.monotonic(), accepted, max(0, accepted - processed), processes)

    def judge(self):
        """Prints what was seen; returns what is broken."""
        found, lines = Found(), []
        for name in self.samples[-1].processes:
            seen = [each.processes[name] for each in self.samples]
            # What the ids take is what weir counts, so of a processor that holds many a tenth of all can be seen.
            slack = max(BYTES_SLACK, GROWTH_MAX * thirds([each.rss for each in seen])[0])
            memory, descriptors = [each.rss - each.ids_bytes for each in seen], [each.descriptors for each in seen]
            for what, values, least in (("memory", memory, slack), ("descriptors", descriptors, DESCRIPTORS_SLACK)):
                second, last = thirds(values)
                is_flat = last <= second * (1 + GROWTH_MAX) or last - second <= least
                found.expect("I7", is_flat, f"{name}: {what} grew from {second:,.0f} to {last:,.0f}")
            ids = f"{seen[-1].ids:,}: {seen[-1].ids_bytes >> 20} MB" if seen[-1].ids else ""
            megabytes = [each / (1 << 20) for each in memory]
            lines.append([name, *map(pair, (megabytes, descriptors, [each.threads for each in seen])), ids])
        headings = ["process", "RSS without ids, MB", "descriptors", "threads", "ids held (by design)"]
        say(f"\nMedian of the second third of the time, and of the last:\n\n{table(headings, lines)}\n")
        behind = [each.backlog / self.rate for each in self.samples]
        worst = max(behind[len(behind) // 3 :])
        late = f"what was accepted was up to {worst:.1f} s from being processed"
        found.expect("I8", worst <= BACKLOG_SECONDS_MAX, late)
        say(f"accepted, not processed yet: {pair(behind)} s of load; {worst:.2f} at most")
        p99 = ", ".join(f"{lane.name} {self.p99_ms()[lane.name]:.1f}" for lane in LASTING)
        say(f"p99 over all of the time, ms: {p99}")
        self.prove(found)
        return found.broken

    def prove(self, found):
        """Everything stored once, nothing else stored; what clients were answered adds up with the books."""
        with step("checking journals, books and rows"):
            for journal in self.journals:
                self.audit.promises(found, journal)
            self.audit.books(found)
        self.audit.logs(found)
        accepted = sum(report["events_accepted"] for report in self.reports)
        unknown = sum(sum(report["events_unknown"].values()) for report in self.reports)
        in_log = found.verify.get("accepted", -1) - self.base
        text = f"clients heard of {accepted} accepted events and were left unsure of {unknown}; the log has {in_log}"
        found.expect("I4", accepted <= in_log <= accepted + unknown, text)
        reports = [load.report() for load in self.bad]
        refused = sum(sum(report["events_refused"].values()) for report in reports)
        all_refused = refused == sum(report["events_sent"] for report in reports)
        found.expect("I5", refused and all_refused, f"bad keys: {[report['events_refused'] for report in reports]}")
        say(f"{text}; {found.acknowledged:,} events followed one by one; {refused:,} events with bad keys refused")


def pair(values):
    second, last = thirds(values)
    return f"{second:.1f}, {last:.1f}" + (f" ({(last - second) / second:+.1%})" if second else "")
