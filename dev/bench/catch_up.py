"""A processor that has been away: all that waits for it, and how it looks while it catches up."""

import dataclasses
import statistics
import time

import ports
from bench import program
from bench.processor import COUNTED, caught_up
from bench.table import rows
from console import Problem, step
from process import Child, stop_children
from soaking.sample import status_of, total
from supervisor import SIGNALS

NAME = "away"
LOOK_SECONDS = 1
# That the tables show; all are looked at.
LINES = 12
# What the processor may grow by from the second third of the time to its end, for memory that is called flat.
FLAT = 0.10


@dataclasses.dataclass
class Look:
    at: float
    counted: int
    rss: int
    ids: int
    # Of the resident memory, as the processor counts it.
    ids_bytes: int
    cpu: float


class CatchUp:
    def __init__(self, rig, events, batch):
        self.rig, self.events, self.batch = rig, events, batch
        self.filled = None
        self.looks = []

    def measure(self):
        self.rig.make(NAME)
        with step(f"filling a log with {self.events:,} events, {self.batch} a request"):
            self.filled = self.rig.fill(NAME, self.events, self.batch, 0)
        (ops,) = ports.choose(1)
        begun = time.monotonic()
        with SIGNALS.held():
            child = Child(self.rig.processor(NAME, ops))
        try:
            child.wait_until_ready()
            with step(f"catching up with {self.filled['events']:,} events"):
                found = caught_up(child, ops, self.filled["events"], lambda found: self.look(child.pid, begun, found))
            self.looks.append(self.seen(child.pid, begun, found))
        finally:
            stop_children([child])
        stored = int(total(found, COUNTED, 'outcome="stored"'))
        if stored != self.filled["distinct"]:
            raise Problem(f"{stored} events were stored, not {self.filled['distinct']}")

    def look(self, pid, begun, found):
        if not self.looks or time.monotonic() - begun - self.looks[-1].at >= LOOK_SECONDS:
            self.looks.append(self.seen(pid, begun, found))

    @staticmethod
    def seen(pid, begun, found):
        return Look(
            at=time.monotonic() - begun,
            counted=int(total(found, COUNTED)),
            rss=status_of(pid)["VmRSS"] << 10,
            ids=int(total(found, "weir_processor_ids_held")),
            ids_bytes=int(total(found, "weir_processor_ids_memory_bytes")),
            cpu=program.cpu_seconds(pid),
        )

    def text(self):
        last = self.looks[-1]
        every = max(1, len(self.looks) // LINES)
        chosen = [self.looks[0], *self.looks[every:-1:every], last]
        lines = (self.line(before, look) for before, look in zip(chosen, chosen[1:], strict=False))
        megabytes = self.filled["payload_bytes"] / 1e6
        return "\n\n".join(
            [
                f"{last.counted:,} events ({megabytes:,.0f} MB of log) waited; caught up after {last.at:.1f} s: "
                f"{last.counted / last.at:,.0f} events/s, {megabytes / last.at:.0f} MB/s, "
                f"{last.cpu / last.counted * 1e6:.2f} CPU-seconds per million of the processor's own",
                rows(["s", "behind", "events/s", "RSS MB", "ids held", "MB of memory for them"], lines),
                self.memory(),
            ]
        )

    def line(self, before, look):
        rate = (look.counted - before.counted) / max(0.001, look.at - before.at)
        behind = self.filled["events"] - look.counted
        cells = f"{look.at:.0f}", f"{behind:,}", f"{rate:,.0f}", f"{look.rss / 1e6:.0f}", f"{look.ids:,}"
        return [*cells, f"{look.ids_bytes / 1e6:.0f}"]

    def memory(self):
        """Of the last third against the second, in which all that is allocated once has been."""
        third = len(self.looks) // 3
        second, last = self.looks[third : 2 * third], self.looks[2 * third :]
        rss = [statistics.median(look.rss for look in part) for part in (second, last)]
        ids = [statistics.median(look.ids for look in part) for part in (second, last)]
        growth = rss[1] - rss[0]
        verdict = (
            "flat" if growth <= FLAT * rss[0] else f"grows by {growth / max(1, ids[1] - ids[0]):.0f} bytes an id held"
        )
        return f"Median RSS of the second third of the time and of the last: {rss[0] / 1e6:.0f}, {rss[1] / 1e6:.0f} MB: {verdict}"
