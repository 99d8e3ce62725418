"""The faults: what each does to a river under load. Each leaves it mended, or mending itself.

A fault is a function of `Harm`. It says by `harm.took_place` whether it happened at all: one that did not proves
nothing.
"""

import contextlib
import dataclasses
import socket
import time
from collections.abc import Callable

from crash.plan import POSTGRES_SESSION
from faults import hoard
from faults.subject import LEASE_SECONDS, state_of
from soaking.sample import metrics, total

RUN, CLUSTER, DISK = "run", "cluster", "disk"
POINTS = (
    "ingest.before_append",
    "ingest.after_append",
    "log.taken",
    "log.written",
    "log.synced",
    "log.rotated",
    "processor.lease_taken",
    "processor.before_insert",
    "processor.after_insert",
    "processor.before_commit",
    "processor.after_commit",
)
CLUSTER_POINTS = ("ingest.after_append", *(point for point in POINTS if point.startswith("processor.")))
POISON_KINDS = 6


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    # RUN: one process; CLUSTER: all apart; DISK: one process whose log has a file system of its own.
    shape: str
    # About how long it lasts.
    seconds: float
    do: Callable
    # A processor may write after another has taken its partitions: until a merge, rows may be there twice.
    may_double: bool = False


class Harm:
    """What a fault may use, and what it says."""

    def __init__(self, river, found, chance, session):
        self.river, self.found, self.chance, self.session = river, found, chance, session

    def took_place(self, holds, text):
        with self.found.of("F"):
            self.found.expect(holds, text)

    def some_time(self, least, most):
        time.sleep(self.chance.uniform(least, most))

    @contextlib.contextmanager
    def supervisor_held(self):
        """Nothing that ends is started again meanwhile."""
        with self.river.frozen("supervisor"):
            yield


# kill -9


def kill(*names):
    def do(harm):
        harm.some_time(0, 1)
        harm.took_place(harm.river.kill(names), f"{names} do not run")

    return do


def kill_at(point):
    def do(harm):
        harm.river.order(point, "kill", harm.chance.randint(1, 2 if point == "log.rotated" else 6))
        harm.took_place(harm.river.wait_until_fired(), f"nobody came by {point}")

    return do


def kill_when_lease_is_taken(harm):
    harm.river.order("processor.lease_taken", "kill")
    owners = [name for name in harm.river.weir_names if name.startswith(("weir", "processor"))]
    harm.river.kill([harm.chance.choice(owners)])
    harm.took_place(harm.river.wait_until_fired(), "no partition was taken")


# Zombies


def zombie_at(point):
    """One processor stands still for three leases, at its worst moment; another takes over; then it goes on."""

    def do(harm):
        harm.river.order(point, "stop", harm.chance.randint(1, 4))
        fired = harm.river.wait_until_fired()
        harm.took_place(fired, f"nobody came by {point}")
        time.sleep(3 * LEASE_SECONDS if fired else 0)
        stopped = harm.river.stopped()
        harm.took_place(len(stopped) == 1, f"standing still: {stopped}")
        if stopped:
            mine = harm.river.sql("SELECT count(*) FROM partition_cursor WHERE lease_until < now()")
            harm.took_place(mine == [["0"]], f"partitions that nobody has taken over: {mine}")
        harm.river.thaw(*stopped)

    return do


def processors_stand_still(harm):
    with harm.river.frozen("processor-1", "processor-2"):
        time.sleep(3 * LEASE_SECONDS)
        harm.took_place(len(harm.river.stopped()) == 2, "the processors were not stopped")


def processors_come_and_go(harm):
    """Every two seconds one of them ends, by SIGTERM or SIGKILL, and is started again."""
    ends = 0
    for number in range(8):
        name = f"processor-{number % 2 + 1}"
        if harm.chance.random() < 0.5:
            harm.river.kill([name])
        else:
            harm.river.terminate(name)
        ends += 1
        time.sleep(2)
    harm.took_place(ends == 8, "they did not come and go")


# Stores


def gray(name):
    def do(harm):
        with harm.river.frozen(name):
            time.sleep(8)
            harm.took_place(state_of(harm.river.pids()[name]) == "T", f"{name} was not stopped")

    return do


def through_proxy(name, mode, seconds):
    def do(harm):
        harm.session.proxies.order(name, mode, harm.chance.getrandbits(30))
        time.sleep(seconds)
        harmed = harm.session.proxies.order(name, "forward")
        harm.found.resources[f"{name} {mode}"] = harmed
        harm.took_place(harmed, f"no connection to {name} came to harm")

    return do


def flush_in_a_loop(harm):
    flushes, until = 0, time.monotonic() + 6
    while time.monotonic() < until:
        with socket.create_connection(("127.0.0.1", harm.river.shape.redis), timeout=5) as redis:
            redis.sendall(b"FLUSHALL\r\n")
            flushes += redis.recv(16).startswith(b"+OK")
        time.sleep(0.05)
    harm.took_place(flushes > 20, f"{flushes} flushes")


# The log


def poison(harm):
    number = harm.river.order("weir.poison", "append")
    harm.took_place(harm.river.wait_until_fired(), "nobody took the poison")
    # Not a millisecond too early: poison is to stand between good records, and to be met by a crash as well.
    harm.river.order("processor.before_commit", "kill", 1)
    harm.took_place(harm.river.wait_until_fired(), "nobody committed")
    harm.session.poisons.append(number)


def sync_fails(harm):
    harm.river.order("log.sync", "fail", harm.chance.randint(1, 20))
    harm.took_place(harm.river.wait_until_fired(), "nothing was synced")


def torn_tail(harm):
    """Killed when a group was written and not synced; of the next record only a piece is in the file."""
    segments = harm.river.folder / "data" / "standalone" / "log"
    with harm.supervisor_held():
        harm.river.order("log.written", "kill", harm.chance.randint(1, 10))
        harm.took_place(harm.river.wait_until_fired(), "nothing was written")
        time.sleep(0.2)
        last = max(segments.rglob("*.log"), key=lambda path: path.name, default=None)
        harm.took_place(last is not None, f"no segment in {segments}")
        if last is not None:
            with open(last, "ab") as file:
                file.write(harm.chance.randbytes(harm.chance.randint(1, 5_000)))


def disk_full(harm):
    filler = harm.session.disk.fill()
    refused = metric_is(harm, "weir_log_partitions_refusing", 1)
    time.sleep(5)
    filler.unlink()
    harm.took_place(refused, "the log took records still")


def clickhouse_disk_full(harm):
    filler = harm.session.clickhouse_disk.fill()
    time.sleep(6)
    filler.unlink()
    retries = total(metrics(harm.river.shape.ops), "weir_processor_insert_retries_total")
    harm.took_place(retries, "every insert found room")


def power_cut(harm):
    """The machine of the log: what was not synced is gone, and so is every process."""
    with harm.supervisor_held():
        harm.some_time(0, 1)
        harm.took_place(harm.session.disk.cut_power(), "the file system took writes still")
        harm.river.kill(["weir"])
        harm.session.disk.power_on()


# Processes


def terminate_in_turn(harm):
    for name in harm.river.weir_names:
        took = harm.river.terminate(name)
        harm.took_place(took < 20, f"{name} took {took:.0f} s to end")
        harm.river.wait_until_up()


def few_descriptors(harm):
    name = "weir"
    with harm.river.few_descriptors(name, 2), contextlib.ExitStack() as held:
        for _ in range(50):
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_connection(("127.0.0.1", harm.river.shape.ingest), timeout=1))
        time.sleep(6)
        harm.took_place(harm.river.lacks_descriptors(name), "there were descriptors left")


def bodies_held_back(harm):
    """Large bodies, of several tenants, all but for their last byte: nobody may be made to hold them all."""
    sent = hoard.hold(harm.river, harm.session.hoarders(), seconds=5)
    harm.took_place(sent > hoard.BODIES * hoard.BODY_BYTES // 8, f"only {sent >> 20} MiB were sent")


def metric_is(harm, name, value):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if total(metrics(harm.river.shape.ops), name) == value:
            return True
        time.sleep(0.1)
    return False


def catalogue():
    yield Fault("kill-weir", RUN, 2, kill("weir"))
    for point in POINTS:
        do = kill_when_lease_is_taken if point == "processor.lease_taken" else kill_at(point)
        yield Fault(f"kill-at-{point}", RUN, 3, do)
    yield Fault("kill-postgres", RUN, 3, kill("postgres"))
    yield Fault("kill-postgres-session", RUN, 3, kill(POSTGRES_SESSION))
    yield Fault("kill-clickhouse", RUN, 4, kill("clickhouse"))
    for store in ("postgres", "clickhouse"):
        yield Fault(f"gray-{store}", RUN, 8, gray(store))
        yield Fault(f"down-{store}", RUN, 8, through_proxy(store, "down", 8))
        yield Fault(f"slow-{store}", RUN, 8, through_proxy(store, "slow", 8))
        yield Fault(f"reset-{store}", RUN, 6, through_proxy(store, "reset", 6))
        yield Fault(f"reply-lost-{store}", RUN, 6, through_proxy(store, "reply_lost", 6))
    yield Fault("poison", RUN, 4, poison)
    yield Fault("sync-fails", RUN, 3, sync_fails)
    yield Fault("torn-tail", RUN, 3, torn_tail)
    yield Fault("bodies-held-back", RUN, 6, bodies_held_back)
    yield Fault("few-descriptors", RUN, 7, few_descriptors)
    yield Fault("sigterm", RUN, 4, terminate_in_turn)
    yield Fault("power-cut", DISK, 3, power_cut)
    yield Fault("disk-full", DISK, 6, disk_full)
    yield Fault("disk-full-clickhouse", DISK, 6, clickhouse_disk_full)
    for name in ("ingest-1", "processor-1", "billing", "admin", "kafka", "redis"):
        yield Fault(f"kill-{name}", CLUSTER, 4, kill(name))
    for point in CLUSTER_POINTS:
        do = kill_when_lease_is_taken if point == "processor.lease_taken" else kill_at(point)
        yield Fault(f"kill-at-{point}", CLUSTER, 5, do)
    for point in ("processor.before_insert", "processor.before_commit"):
        yield Fault(f"zombie-at-{point}", CLUSTER, 3 * LEASE_SECONDS + 2, zombie_at(point), may_double=True)
    yield Fault("cap-crossed-without-processors", CLUSTER, 3 * LEASE_SECONDS, processors_stand_still, may_double=True)
    yield Fault("processors-come-and-go", CLUSTER, 17, processors_come_and_go, may_double=True)
    yield Fault("gray-kafka", CLUSTER, 8, gray("kafka"))
    yield Fault("gray-redis", CLUSTER, 6, gray("redis"))
    yield Fault("flushall", CLUSTER, 6, flush_in_a_loop)
    yield Fault("down-redis", CLUSTER, 6, through_proxy("redis", "down", 6))
    for mode, seconds in (("down", 8), ("slow", 8), ("reset", 6), ("reply_lost", 6)):
        yield Fault(f"{mode.replace('_', '-')}-kafka", CLUSTER, seconds, through_proxy("kafka", mode, seconds))
    yield Fault("poison", CLUSTER, 5, poison)
    yield Fault("rolling-restart", CLUSTER, 15, terminate_in_turn)


ALL = tuple(catalogue())
