"""`bench-growth`: does an event cost `weir ingest` as much with many tenants, keys and connections as with few?"""

import collections
import dataclasses
import itertools
import resource
import statistics
import subprocess
import time

import looks
import ports
from bench import rig as rigs
from bench.cost import CAP, CONNECTIONS, EVENTS_MAX, WARM_UP_SECONDS, Meter, Target
from bench.table import headline, median, quotients, rows, spread, times
from console import Problem, last_lines, say, step
from stores import kafka, postgres_place

# What an event may cost more than at the smallest size.
GROWTH_MAX = 1.15
# Requests a second, and the connections among which they are shared out. One connection can't carry as many as ten
# thousand need so as not to be idle for longer than ingest waits for a request (8 s): two paces, and two numbers of
# connections that stand in both.
PACES = {250: (1, 64, 1_000), 2_500: (64, 1_000, 10_000)}
CLOSED = 1, 64, 1_000
GROWTH_BATCHES = 10, 1
SERIES = {
    "connections": "10 tenants; the same requests a second (open loop), batches of 10",
    # With more connections more events come together, and each costs less: no verdict.
    "closed": "10 tenants; closed loop, batches of 10",
    "tenants": "No cap; 64 connections, closed loop, requests over all keys in turn",
    # The cap comes last in any case: it stays.
    "first": "The first events of tenants with a cap: 1,000 connections, once",
    "capped": "Every tenant with a cap; else as without",
}
# Ten thousand connections, and what else a process has open.
DESCRIPTORS = 11_000
# A cap is known within a second; a hundred thousand of them take longer.
CAPS_KNOWN_SECONDS = 5
FIRST_SECONDS = 20
# All connections are there a little after each has had its first turn.
SETTLE_SECONDS = 1.5
FILL = """\
CREATE TEMP TABLE made (number bigint, id bigint, hash bytea);
\\copy made FROM '{rows}'
INSERT INTO tenant (name, plan_id)
    SELECT 'tenant-' || n, (SELECT id FROM plan WHERE name = 'unlimited') FROM generate_series(1, {tenants}) n;
INSERT INTO project (tenant_id, name) SELECT id, 'default' FROM tenant;
WITH place AS (SELECT tenant_id, id, row_number() OVER (ORDER BY tenant_id) - 1 AS number FROM project)
    INSERT INTO api_key (id, tenant_id, project_id, hash)
    SELECT made.id, place.tenant_id, place.id, made.hash FROM made JOIN place ON place.number = made.number % {tenants};
ANALYZE;
"""


@dataclasses.dataclass(frozen=True)
class Size:
    tenants: int
    keys: int

    @classmethod
    def parse(cls, text):
        tenants, _, keys = text.partition("x")
        if not (tenants.isdecimal() and keys.isdecimal() and 0 < int(tenants) <= int(keys)):
            raise Problem(f"{text} is no size: tenants, an x, and as many keys or more, as in 1000x100000")
        return cls(int(tenants), int(keys))

    @property
    def name(self):
        return f"{self.tenants}x{self.keys}"


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is measured again and again: requests to a size of directory, perhaps beside the floor."""

    size: Size
    batch: int = 10
    connections: int = CONNECTIONS
    # Requests a second; as fast as each connection can, without it.
    pace: int | None = None

    def labels(self):
        size = f"{self.size.tenants:,}", f"{self.size.keys:,}"
        return [*size, self.batch, f"{self.connections:,}", f"{self.pace:,}" if self.pace else "closed loop"]


def add_arguments(parser):
    parser.add_argument("--series", default="connections,closed,tenants,capped", help="which measurements")
    parser.add_argument(
        "--sizes",
        default="10x10,1000x1000,100000x100000,100000x1000000",
        help="tenants x keys; the first is what others are held against",
    )
    parser.add_argument("--seconds", type=int, default=4, help="of load for each figure")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")


def run(chosen):
    allow_descriptors()
    wanted = chosen.series.replace("capped", "first,capped").split(",")
    with rigs.built("bench-growth", "ingest", True, kafka.FORGETFUL) as rig:
        found = Growth(rig, [Size.parse(text) for text in chosen.sizes.split(",")], wanted)
        headline()
        parts = [found.series(name, chosen) for name in SERIES if name in wanted]
        say(
            f"\nCPU-seconds per million events, median of {chosen.rounds} (least to most); ratios are the rounds' median"
        )
        for part in parts:
            say(f"\n{part}")


def allow_descriptors():
    """For the floors, which inherit it; weir sees to that itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        raise Problem(f"a process may have {hard} descriptors open here, and needs {DESCRIPTORS}: raise `ulimit -Hn`")
    if soft == resource.RLIM_INFINITY or soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))


class Growth:
    def __init__(self, rig, sizes, wanted):
        self.rig, self.meter = rig, Meter(rig)
        self.sizes = sizes if {"tenants", "capped"} & set(wanted) else sizes[:1]
        self.targets, self.rss_at_start = {}, {}
        for size in self.sizes:
            with step(f"making {size.tenants:,} tenants with {size.keys:,} keys, and a node that knows them"):
                self.targets[size] = self.node(size)
            self.rss_at_start[size] = looks.rss_bytes(rig.pid(self.targets[size].process)) >> 20
        rig.end_clickhouse()
        (port,) = ports.choose(1)
        server = rig.floor_server(10, port)
        rig.supervisor.start(server)
        self.floor = Target(server.name, port, self.targets[sizes[0]].key)

    def node(self, size):
        list_file, key_rows = (self.rig.folder / f"{size.name}.{kind}" for kind in ("keys", "rows"))
        argv = [self.rig.floors, "keys", "--count", str(size.keys), "--list", list_file, "--rows", key_rows]
        subprocess.run(argv, stdin=subprocess.DEVNULL, check=True)
        self.rig.make(size.name)
        self.sql(size, FILL.format(rows=key_rows, tenants=size.tenants))
        key_rows.unlink()
        (port,) = ports.choose(1)
        spec, _ = self.rig.role("ingest", size.name, WEIR_INGEST_ADDR=f"127.0.0.1:{port}")
        self.rig.supervisor.start(spec)
        return Target(spec.name, port, list_file)

    def sql(self, size, script):
        # Not as the user that Postgres runs as, who may not read our files.
        argv = [postgres_place.psql(), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", self.rig.database.url(size.name)]
        result = subprocess.run(argv, input=script, capture_output=True, text=True)
        if result.returncode != 0:
            raise Problem(f"Postgres refused the directory {size.name}", last_lines(result.stderr))

    def cells(self, name):
        """In groups, of each of which the first is what the others are held against."""
        first = self.sizes[0]
        if name == "connections":
            return [[Cell(first, connections=each, pace=pace) for each in PACES[pace]] for pace in PACES]
        if name == "closed":
            return [[Cell(first, connections=each) for each in CLOSED]]
        if name == "first":
            return [[Cell(size, batch=1, connections=1_000) for size in self.sizes]]
        return [[Cell(size, batch=batch) for size in self.sizes] for batch in GROWTH_BATCHES]

    def series(self, name, chosen):
        """Its table."""
        groups = self.cells(name)
        if name == "first":
            for size in self.sizes:
                # All its tenants get a cap that they never reach, so that each spends leased quota.
                self.sql(size, f"UPDATE tenant SET quota = {CAP};")
            time.sleep(CAPS_KNOWN_SECONDS)
        found = collections.defaultdict(list)
        if name in ("tenants", "capped"):
            for size in self.sizes:
                self.at(Cell(size), WARM_UP_SECONDS, name)
        for number in range(1 if name == "first" else chosen.rounds):
            for cell in itertools.chain(*groups):
                seconds = FIRST_SECONDS if name == "first" else chosen.seconds
                found[cell].append((self.at(cell, seconds, name), self.beside(cell, seconds, name)))
            say(f"- round {number + 1}, {name}: {', '.join(f'{found[cell][-1][0].cpu:.2f}' for cell in found)}")
        headings = ["tenants", "keys", "batch", "connections", "requests/s", "weir", "to the first", "body read only"]
        headings += ["to the first", "weir's own, to the first", "events/s", "p50 ms", "p99 ms", "refused"]
        headings += ["RSS MB at start, after", "verdict"]
        lines = (self.line(name, found[cell], found[group[0]], cell) for group in groups for cell in group)
        return f"{SERIES[name]}\n\n{rows(headings, lines)}"

    def at(self, cell, seconds, name):
        # Waiting tenants are leased a slice in one round: the first events of each come once.
        events_max = cell.size.tenants if name == "first" else EVENTS_MAX
        return self.send(self.targets[cell.size], cell, seconds, events_max, may_refuse=name in ("first", "capped"))

    def beside(self, cell, seconds, name):
        """What the kernel takes for so many sockets grows by itself: the server that only reads, in the same way."""
        return self.send(self.floor, cell, seconds, EVENTS_MAX) if name in ("connections", "closed") else None

    def send(self, target, cell, seconds, events_max, may_refuse=False):
        more = {"events_max": events_max, "may_refuse": may_refuse}
        if cell.pace:
            more = {"rate": cell.pace * cell.batch, "settle": SETTLE_SECONDS + cell.connections / cell.pace}
        return self.meter.measure(target, cell.batch, cell.connections, seconds, **more)

    def line(self, name, found, base, cell):
        weir, floors = zip(*found, strict=True)
        weir_base, floors_base = zip(*base, strict=True)
        ratios = quotients([each.cpu for each in weir], [each.cpu for each in weir_base])
        own, beside = ratios, ["", "", ""]
        if floors[0]:
            own = [
                (a.cpu - b.cpu) / (c.cpu - d.cpu)
                for a, b, c, d in zip(weir, floors, weir_base, floors_base, strict=True)
            ]
            of_floor = quotients([each.cpu for each in floors], [each.cpu for each in floors_base])
            beside = [spread(each.cpu for each in floors), times(of_floor), times(own)]
        verdict = "flat" if statistics.median(ratios) <= GROWTH_MAX else "NOT FLAT"
        if verdict != "flat" and statistics.median(own) <= GROWTH_MAX:
            verdict = "the floor grows, weir does not"
        return [
            *cell.labels(),
            *(spread(each.cpu for each in weir), times(ratios), *beside),
            *(
                median(each.rate for each in weir),
                *(median((getattr(each, q) for each in weir), "{:.1f}") for q in ("p50", "p99")),
            ),
            f"{max(each.refused for each in weir):.1%}",
            f"{self.rss_at_start[cell.size]}, {weir[-1].rss}",
            "" if name in ("closed", "first") else verdict,
        ]
