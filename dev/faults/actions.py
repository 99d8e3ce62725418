"""What faults do to a river under load. Each leaves it mended, or mending itself.

An action gets its `Round`. It says by `it.took_place` whether the fault happened at all: one that did not proves
nothing.
"""

import contextlib
import resource
import select
import signal
import socket
import time

import looks
import workspace
from processes import send
from stores import redis_says

# Short, so that what waits for the end of a lease does not take up all the time.
LEASE_SECONDS = 3
# An order that no process has met after so long did not take place.
FIRED_WITHIN_SECONDS = 20
# Of clients that send all of a body except its last byte.
BODIES = 64
BODY_BYTES = 9 << 20
SENDERS = 8
PIECE = b" " * (256 << 10)
HEAD = (
    "POST /v1/events HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\n"
    f"Authorization: Bearer {{}}\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
)


# Fail points


def order(it, point, action, nth=1):
    """Arms a point; returns the order's number."""
    it.session.numbers += 1
    workspace.write_atomically(it.session.orders, f"{it.session.numbers} {point} {action} {nth}\n")
    return it.session.numbers


def fires(it):
    """Whether the order was carried out; it is withdrawn if not."""
    orders, text = it.session.orders, workspace.read_if_any(it.session.orders)
    deadline = time.monotonic() + FIRED_WITHIN_SECONDS
    while orders.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    fired = not orders.exists()
    orders.unlink(missing_ok=True)
    it.took_place(fired, f"nobody carried out the order {text}")
    return fired


# kill -9


def kill(it, *names):
    time.sleep(it.chance.uniform(0, 1))
    it.took_place(it.river.kill(names), f"{names} do not run")


def kill_everything(it, times):
    """With who would start it again; at the second time, while all of it starts."""
    for _ in range(times):
        time.sleep(it.chance.uniform(0.3, 4))
        killed = it.river.kill(["supervisor", *it.river.pids()])
        it.took_place(killed, "nothing ran")
        it.river.start()
    it.river.wait_until_up(killed)


def kill_at(it, point):
    if point == "processor.lease_taken":
        order(it, point, "kill")
        # So that a lease is taken.
        owners = [name for name in it.river.shape.names if name.startswith(("weir", "processor"))]
        it.river.kill([it.chance.choice(owners)])
    else:
        order(it, point, "kill", it.chance.randint(1, 2 if point == "log.rotated" else 6))
    fires(it)


# Processes that stand still, end, or lack something


@contextlib.contextmanager
def frozen(it, *names):
    """SIGSTOP of these and all their descendants, and SIGCONT. Of the supervisor alone: so that nothing that ends
    meanwhile is started again."""
    family = it.river.families(names)
    try:
        for pid in family:
            send(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in family:
            send(pid, signal.SIGCONT)


def standing_still(it):
    return [name for name, pid in it.river.pids().items() if looks.is_stopped(pid)]


def freeze(it, seconds, *names):
    with frozen(it, *names):
        time.sleep(seconds)
        it.took_place(set(names) <= set(standing_still(it)), f"{names} were not stopped")


def make_zombie(it, point):
    """One processor stands still for three leases, at its worst moment; another takes over; then it goes on."""
    order(it, point, "stop", it.chance.randint(1, 4))
    if fires(it):
        time.sleep(3 * LEASE_SECONDS)
    stopped = standing_still(it)
    it.took_place(len(stopped) == 1, f"standing still: {stopped}")
    if stopped:
        mine = it.river.sql("SELECT count(*) FROM partition_cursor WHERE lease_until < now()")
        it.took_place(mine == [["0"]], f"partitions that nobody has taken over: {mine}")
    for name in stopped:
        send(it.river.pids()[name], signal.SIGCONT)


def end_processors(it):
    """Every two seconds one of them ends, by SIGTERM or SIGKILL, and is started again."""
    for number in range(8):
        name = f"processor-{number % 2 + 1}"
        it.took_place(it.river.kill([name]) if it.chance.random() < 0.5 else it.river.terminate(name), f"no {name}")
        time.sleep(2)


def terminate_in_turn(it):
    for name in it.river.shape.names:
        took = it.river.terminate(name)
        it.took_place(took < 20, f"{name} took {took:.0f} s to end")
        it.river.wait_until_up()


def lack_descriptors(it, seconds):
    """Clients come to a process that may open hardly more descriptors than it has open now."""
    pid = it.river.pids()["weir"]
    few = looks.descriptors(pid) + 2
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, hard))
    try:
        with contextlib.ExitStack() as held:
            for _ in range(50):
                with contextlib.suppress(OSError):
                    held.enter_context(client(it, 1))
            time.sleep(seconds)
            it.took_place(looks.descriptors(pid) >= few - 1, "there were descriptors left")
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def client(it, timeout):
    return socket.create_connection(("127.0.0.1", it.river.shape.ingest), timeout=timeout)


def hold_bodies_back(it, seconds):
    """Large bodies, of several tenants, all at once and all except their last byte: nobody may be made to hold them
    all. As much of them is sent as the node takes, and held for so long."""
    keys = [it.river.tenant(f"large-{number}") for number in range(SENDERS)]
    with contextlib.ExitStack() as held:
        sent = {}
        for number in range(BODIES):
            each = held.enter_context(client(it, 5))
            each.sendall(HEAD.format(keys[number % SENDERS]).encode())
            each.setblocking(False)
            sent[each] = 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            waiting = [each for each, done in sent.items() if done < BODY_BYTES - 1]
            for each in select.select([], waiting, [], 0.2)[1]:
                try:
                    sent[each] += each.send(PIECE[: BODY_BYTES - 1 - sent[each]])
                except (BlockingIOError, InterruptedError):
                    pass
                except OSError:
                    # It was refused, and the connection closed.
                    sent[each] = BODY_BYTES - 1
    total = sum(sent.values())
    it.took_place(total > BODIES * BODY_BYTES // 8, f"only {total >> 20} MiB were sent")


# Stores


def order_proxy(it, store, mode, seconds):
    it.session.proxies.order(store, mode, it.chance.getrandbits(30))
    time.sleep(seconds)
    harmed = it.session.proxies.order(store, "forward")
    it.found.resources[f"{store} {mode}"] = harmed
    it.took_place(harmed, f"no connection to {store} came to harm")


def flush_redis(it, seconds):
    flushes, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        flushes += redis_says(it.river.shape.store_port("redis"), "FLUSHALL").startswith(b"+OK")
        time.sleep(0.05)
    it.took_place(flushes > 20, f"{flushes} flushes")


# The log, and disks


def poison(it):
    number = order(it, "weir.poison", "append")
    fires(it)
    # Not a millisecond too early: poison is to stand between good records, and to be met by a crash as well.
    order(it, "processor.before_commit", "kill", 1)
    fires(it)
    it.session.poisons.append(number)


def fail_sync(it):
    order(it, "log.sync", "fail", it.chance.randint(1, 20))
    fires(it)


def tear_tail(it):
    """Killed when a group was written and not synced; of the next record only a piece is in the file."""
    segments = it.river.folder / "data" / "standalone" / "log"
    with frozen(it, "supervisor"):
        order(it, "log.written", "kill", it.chance.randint(1, 10))
        fires(it)
        time.sleep(0.2)
        last = max(segments.rglob("*.log"), key=lambda path: path.name, default=None)
        it.took_place(last is not None, f"no segment in {segments}")
        if last is not None:
            with open(last, "ab") as file:
                file.write(it.chance.randbytes(it.chance.randint(1, 5_000)))


def of_weir(it, metric):
    return looks.total(looks.metrics(it.river.shape.ops), metric)


def fill_disk_of_log(it):
    with it.session.disks[0].full():
        deadline, refused = time.monotonic() + 5, False
        while not refused and time.monotonic() < deadline:
            refused = of_weir(it, "weir_log_partitions_refusing") == 1
            time.sleep(0.1)
        time.sleep(5)
    it.took_place(refused, "the log took records still")


def fill_disk_of_clickhouse(it):
    with it.session.disks[1].full():
        time.sleep(6)
    it.took_place(of_weir(it, "weir_processor_insert_retries_total"), "every insert found room")


def cut_power(it):
    """The machine of the log: what was not synced is gone, and so is every process."""
    disk = it.session.disks[0]
    with frozen(it, "supervisor"):
        time.sleep(it.chance.uniform(0, 1))
        it.took_place(disk.cut_power(), "the file system took writes still")
        it.river.kill(["weir"])
        disk.power_on()
