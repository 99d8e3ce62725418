"""The faults: what each does to a river under load. Each leaves it mended, or mending itself.

A fault is a function of `Harm`. It says by `harm.took_place` whether it happened at all: one that did not proves
nothing.
"""

import dataclasses
import socket
import time
from collections.abc import Callable

from faults.harm import BODIES, BODY_BYTES
from looks import is_stopped, metrics, total
from subject import POSTGRES_SESSION

RUN, CLUSTER, DISK = "run", "cluster", "disk"
SHAPES = (RUN, DISK, CLUSTER)
# Short, so that what waits for the end of a lease does not take up all the time.
LEASE_SECONDS = 3
PROCESSOR_POINTS = tuple(
    f"processor.{point}" for point in ("lease_taken", "before_insert", "after_insert", "before_commit", "after_commit")
)
POINTS = {
    RUN: (
        *("ingest.before_append", "ingest.after_append"),
        *("log.taken", "log.written", "log.synced", "log.rotated"),
        *PROCESSOR_POINTS,
    ),
    CLUSTER: ("ingest.after_append", *PROCESSOR_POINTS),
}


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


# kill -9


def kill(*names):
    def do(harm):
        harm.some_time(0, 1)
        harm.took_place(harm.river.kill(names), f"{names} do not run")

    return do


def kill_everything(times):
    """With who would start it again; at the second time, while all of it starts."""

    def do(harm):
        for _ in range(times):
            harm.some_time(0.3, 4)
            killed = harm.river.kill(["supervisor", *harm.river.pids()])
            harm.took_place(killed, "nothing ran")
            harm.river.start()
        harm.river.wait_until_up(killed)

    return do


def kill_at(point):
    def do(harm):
        harm.order(point, "kill", harm.chance.randint(1, 2 if point == "log.rotated" else 6))
        harm.fires(f"nobody came by {point}")

    return do


def kill_when_lease_is_taken(harm):
    harm.order("processor.lease_taken", "kill")
    owners = [name for name in harm.river.weir_names if name.startswith(("weir", "processor"))]
    harm.river.kill([harm.chance.choice(owners)])
    harm.fires("no partition was taken")


# Zombies


def zombie_at(point):
    """One processor stands still for three leases, at its worst moment; another takes over; then it goes on."""

    def do(harm):
        harm.order(point, "stop", harm.chance.randint(1, 4))
        if harm.fires(f"nobody came by {point}"):
            time.sleep(3 * LEASE_SECONDS)
        stopped = harm.stopped()
        harm.took_place(len(stopped) == 1, f"standing still: {stopped}")
        if stopped:
            mine = harm.river.sql("SELECT count(*) FROM partition_cursor WHERE lease_until < now()")
            harm.took_place(mine == [["0"]], f"partitions that nobody has taken over: {mine}")
        harm.thaw(*stopped)

    return do


def processors_stand_still(harm):
    with harm.frozen("processor-1", "processor-2"):
        time.sleep(3 * LEASE_SECONDS)
        harm.took_place(len(harm.stopped()) == 2, "the processors were not stopped")


def processors_come_and_go(harm):
    """Every two seconds one of them ends, by SIGTERM or SIGKILL, and is started again."""
    for number in range(8):
        name = f"processor-{number % 2 + 1}"
        if harm.chance.random() < 0.5:
            harm.river.kill([name])
        else:
            harm.terminate(name)
        time.sleep(2)
    harm.took_place(True, "")


# Stores


def gray(name):
    def do(harm):
        with harm.frozen(name):
            time.sleep(8)
            harm.took_place(is_stopped(harm.river.pids()[name]), f"{name} was not stopped")

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
    number = harm.order("weir.poison", "append")
    harm.fires("nobody took the poison")
    # Not a millisecond too early: poison is to stand between good records, and to be met by a crash as well.
    harm.order("processor.before_commit", "kill", 1)
    harm.fires("nobody committed")
    harm.session.poisons.append(number)


def sync_fails(harm):
    harm.order("log.sync", "fail", harm.chance.randint(1, 20))
    harm.fires("nothing was synced")


def torn_tail(harm):
    """Killed when a group was written and not synced; of the next record only a piece is in the file."""
    segments = harm.river.folder / "data" / "standalone" / "log"
    with harm.frozen("supervisor"):
        harm.order("log.written", "kill", harm.chance.randint(1, 10))
        harm.fires("nothing was written")
        time.sleep(0.2)
        last = max(segments.rglob("*.log"), key=lambda path: path.name, default=None)
        harm.took_place(last is not None, f"no segment in {segments}")
        if last is not None:
            with open(last, "ab") as file:
                file.write(harm.chance.randbytes(harm.chance.randint(1, 5_000)))


def disk_full(harm):
    filler = harm.session.disks[0].fill()
    deadline, refused = time.monotonic() + 5, False
    while not refused and time.monotonic() < deadline:
        refused = total(metrics(harm.river.shape.ops), "weir_log_partitions_refusing") == 1
        time.sleep(0.1)
    time.sleep(5)
    filler.unlink()
    harm.took_place(refused, "the log took records still")


def clickhouse_disk_full(harm):
    filler = harm.session.disks[1].fill()
    time.sleep(6)
    filler.unlink()
    retries = total(metrics(harm.river.shape.ops), "weir_processor_insert_retries_total")
    harm.took_place(retries, "every insert found room")


def power_cut(harm):
    """The machine of the log: what was not synced is gone, and so is every process."""
    with harm.frozen("supervisor"):
        harm.some_time(0, 1)
        harm.took_place(harm.session.disks[0].cut_power(), "the file system took writes still")
        harm.river.kill(["weir"])
        harm.session.disks[0].power_on()


# Processes


def terminate_in_turn(harm):
    for name in harm.river.weir_names:
        took = harm.terminate(name)
        harm.took_place(took < 20, f"{name} took {took:.0f} s to end")
        harm.river.wait_until_up()


def few_descriptors(harm):
    harm.lack_descriptors("weir", 6)


def bodies_held_back(harm):
    """Large bodies, of several tenants, all but for their last byte: nobody may be made to hold them all."""
    sent = harm.hold_bodies(seconds=5)
    harm.took_place(sent > BODIES * BODY_BYTES // 8, f"only {sent >> 20} MiB were sent")


def catalogue():
    yield Fault("kill-weir", RUN, 2, kill("weir"))
    yield from kills_at_points(RUN, 3)
    yield Fault("kill-postgres", RUN, 3, kill("postgres"))
    yield Fault("kill-postgres-session", RUN, 3, kill(POSTGRES_SESSION))
    yield Fault("kill-clickhouse", RUN, 4, kill("clickhouse"))
    yield Fault("kill-stores", RUN, 4, kill("postgres", "clickhouse"))
    yield from kills_of_everything(RUN, 6)
    for store in ("postgres", "clickhouse"):
        yield Fault(f"gray-{store}", RUN, 8, gray(store))
        yield from through_proxies(store, RUN)
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
    yield Fault("kill-stores", CLUSTER, 6, kill("postgres", "clickhouse", "kafka", "redis"))
    yield from kills_of_everything(CLUSTER, 12)
    yield from kills_at_points(CLUSTER, 5)
    for point in ("processor.before_insert", "processor.before_commit"):
        yield Fault(f"zombie-at-{point}", CLUSTER, 3 * LEASE_SECONDS + 2, zombie_at(point), may_double=True)
    yield Fault("cap-crossed-without-processors", CLUSTER, 3 * LEASE_SECONDS, processors_stand_still, may_double=True)
    yield Fault("processors-come-and-go", CLUSTER, 17, processors_come_and_go, may_double=True)
    yield Fault("gray-kafka", CLUSTER, 8, gray("kafka"))
    yield Fault("gray-redis", CLUSTER, 6, gray("redis"))
    yield Fault("flushall", CLUSTER, 6, flush_in_a_loop)
    yield Fault("down-redis", CLUSTER, 6, through_proxy("redis", "down", 6))
    yield from through_proxies("kafka", CLUSTER)
    yield Fault("poison", CLUSTER, 5, poison)
    yield Fault("rolling-restart", CLUSTER, 15, terminate_in_turn)


def kills_at_points(shape, seconds):
    for point in POINTS[shape]:
        do = kill_when_lease_is_taken if point == "processor.lease_taken" else kill_at(point)
        yield Fault(f"kill-at-{point}", shape, seconds, do)


def kills_of_everything(shape, seconds):
    yield Fault("kill-everything", shape, seconds, kill_everything(1))
    yield Fault("kill-everything-twice", shape, 2 * seconds, kill_everything(2))


def through_proxies(store, shape):
    for mode, seconds in (("down", 8), ("slow", 8), ("reset", 6), ("reply_lost", 6)):
        yield Fault(f"{mode.replace('_', '-')}-{store}", shape, seconds, through_proxy(store, mode, seconds))


ALL = tuple(catalogue())
