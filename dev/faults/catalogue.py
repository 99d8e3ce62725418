"""The faults and the mutants, as tables: what is done to a river of which shape, and which fault shows which mutant."""

import dataclasses
from collections.abc import Callable

from faults import actions as do
from faults.actions import LEASE_SECONDS
from subject import POSTGRES_SESSION

# RUN: one process; CLUSTER: all apart; DISK: one process whose log and ClickHouse have file systems of their own.
RUN, CLUSTER, DISK = "run", "cluster", "disk"
SHAPES = (RUN, DISK, CLUSTER)


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    shape: str
    # About how long it lasts.
    seconds: float
    # An action, which gets its round, and what else it takes.
    action: Callable
    arguments: tuple = ()
    # A processor may write after another has taken its partitions: until a merge, rows may be there twice.
    may_double: bool = False


def fault(name, shape, seconds, action, *arguments, may_double=False):
    return Fault(name, shape, seconds, action, arguments, may_double)


def at_points(shape, seconds, *points):
    return [fault(f"kill-at-{point}", shape, seconds, do.kill_at, point) for point in points]


def through_proxy(store, shape):
    modes = {"down": 8, "slow": 8, "reset": 6, "reply_lost": 6}
    name = "{}-{}".format
    return [
        fault(name(mode.replace("_", "-"), store), shape, seconds, do.order_proxy, store, mode, seconds)
        for mode, seconds in modes.items()
    ]


PROCESSOR_POINTS = [
    f"processor.{point}" for point in ("lease_taken", "before_insert", "after_insert", "before_commit", "after_commit")
]
RUN_POINTS = ["ingest.before_append", "ingest.after_append", "log.taken", "log.written", "log.synced", "log.rotated"]
ALL = (
    fault("kill-weir", RUN, 2, do.kill, "weir"),
    *at_points(RUN, 3, *RUN_POINTS, *PROCESSOR_POINTS),
    fault("kill-postgres", RUN, 3, do.kill, "postgres"),
    fault("kill-postgres-session", RUN, 3, do.kill, POSTGRES_SESSION),
    fault("kill-clickhouse", RUN, 4, do.kill, "clickhouse"),
    fault("kill-stores", RUN, 4, do.kill, "postgres", "clickhouse"),
    fault("kill-everything", RUN, 6, do.kill_everything, 1),
    fault("kill-everything-twice", RUN, 12, do.kill_everything, 2),
    fault("gray-postgres", RUN, 8, do.freeze, 8, "postgres"),
    *through_proxy("postgres", RUN),
    fault("gray-clickhouse", RUN, 8, do.freeze, 8, "clickhouse"),
    *through_proxy("clickhouse", RUN),
    fault("poison", RUN, 4, do.poison),
    fault("sync-fails", RUN, 3, do.fail_sync),
    fault("torn-tail", RUN, 3, do.tear_tail),
    fault("bodies-held-back", RUN, 6, do.hold_bodies_back, 5),
    fault("few-descriptors", RUN, 7, do.lack_descriptors, 6),
    fault("sigterm", RUN, 4, do.terminate_in_turn),
    fault("power-cut", DISK, 3, do.cut_power),
    fault("disk-full", DISK, 6, do.fill_disk_of_log),
    fault("disk-full-clickhouse", DISK, 6, do.fill_disk_of_clickhouse),
    *(
        fault(f"kill-{name}", CLUSTER, 4, do.kill, name)
        for name in ("ingest-1", "processor-1", "billing", "admin", "kafka", "redis")
    ),
    fault("kill-stores", CLUSTER, 6, do.kill, "postgres", "clickhouse", "kafka", "redis"),
    fault("kill-everything", CLUSTER, 12, do.kill_everything, 1),
    fault("kill-everything-twice", CLUSTER, 24, do.kill_everything, 2),
    *at_points(CLUSTER, 5, "ingest.after_append", *PROCESSOR_POINTS),
    *(
        fault(f"zombie-at-{point}", CLUSTER, 3 * LEASE_SECONDS + 2, do.make_zombie, point, may_double=True)
        for point in ("processor.before_insert", "processor.before_commit")
    ),
    fault(
        *("cap-crossed-without-processors", CLUSTER, 3 * LEASE_SECONDS),
        *(do.freeze, 3 * LEASE_SECONDS, "processor-1", "processor-2"),
        may_double=True,
    ),
    fault("processors-come-and-go", CLUSTER, 17, do.end_processors, may_double=True),
    fault("gray-kafka", CLUSTER, 8, do.freeze, 8, "kafka"),
    fault("gray-redis", CLUSTER, 6, do.freeze, 8, "redis"),
    fault("flushall", CLUSTER, 6, do.flush_redis, 6),
    fault("down-redis", CLUSTER, 6, do.order_proxy, "redis", "down", 6),
    *through_proxy("kafka", CLUSTER),
    fault("poison", CLUSTER, 5, do.poison),
    fault("rolling-restart", CLUSTER, 15, do.terminate_in_turn),
)

# Rules broken on purpose: shape and name of each fault that may show it, in the order in which they are tried. A
# campaign that stays green with one of these proves nothing.
MUTANTS = {
    "reply-before-durable": ((RUN, "kill-at-log.taken"), (RUN, "kill-at-log.taken")),
    "commit-before-insert": ((RUN, "kill-at-processor.before_insert"),),
    "no-cas": ((CLUSTER, "zombie-at-processor.before_commit"),),
    "no-dedup": ((RUN, "kill-weir"),),
    "clickhouse-token": ((RUN, "kill-at-processor.before_commit"), (RUN, "kill-at-processor.after_insert")),
    "no-read-back": ((RUN, "kill-at-processor.before_commit"),),
    "now-in-row": ((CLUSTER, "zombie-at-processor.before_insert"),),
    "quota-in-memory": ((RUN, "kill-weir"),),
    "log-without-fsync": ((DISK, "power-cut"), (DISK, "power-cut")),
    "unbounded-queue": ((RUN, "bodies-held-back"),),
}
# In `make test`: two faults at their worst moment, and two rules whose breach they show.
SMOKE = ((RUN, "kill-at-log.taken"), (RUN, "kill-at-processor.before_commit"))
SMOKE_MUTANTS = ["reply-before-durable", "no-read-back"]
BY_PLACE = {(fault.shape, fault.name): fault for fault in ALL}
