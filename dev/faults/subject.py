"""The river that comes to harm: the crash campaign's, with proxies before its stores and orders for its fail points."""

import contextlib
import os
import resource
import signal
import time

import workspace
from console import Problem
from crash import subject
from crash.subject import descendants, send
from faults import wires
from faults.proxy import Proxies, Proxy
from process import start_time

# Short, so that what waits for the end of a lease does not take up all the time.
LEASE_SECONDS = 3
INGEST_LEASE_SECONDS = 5
IN_FLIGHT_BYTES = 64 << 20
SETTINGS = {
    "WEIR_RUN_PROXIES": "1",
    "WEIR_PROCESSOR_LEASE_MS": LEASE_SECONDS * 1000,
    "WEIR_INGEST_LEASE_MS": INGEST_LEASE_SECONDS * 1000,
    "WEIR_IN_FLIGHT_BYTES_MAX": IN_FLIGHT_BYTES,
    "WEIR_DRAIN_GRACE_MS": 500,
}
WIRES = {
    "DATABASE_URL": ("postgres", wires.Postgres),
    "CLICKHOUSE_URL": ("clickhouse", wires.ClickHouse),
    "KAFKA_BROKERS": ("kafka", wires.Kafka),
    "REDIS_URL": ("redis", wires.Nothing),
}
# An order that no process has met after so long did not take place.
FIRED_WITHIN_SECONDS = 20


class River(subject.River):
    def __init__(self, folder, shape, binary, mutant=None):
        super().__init__(folder, shape, binary)
        self.orders = folder / "orders"
        settings = {**SETTINGS, "WEIR_FAULTS": self.orders, **({"WEIR_MUTANT": mutant} if mutant else {})}
        self.environment.update({name: str(value) for name, value in settings.items()})
        self.numbers = 0
        self.proxies = None

    def start(self):
        if self.proxies is None:
            pairs = [(*WIRES[name], *ports) for name, ports in self.shape.proxies().items()]
            self.proxies = Proxies(*(Proxy(*pair) for pair in pairs if pair[0] in self.store_names))
        super().start()

    def end(self):
        in_time = self.stop()
        if self.proxies is not None:
            self.proxies.end()
        return in_time

    # Fail points

    def order(self, point, action, nth=1):
        """Arms a point; returns the order's number."""
        self.numbers += 1
        workspace.write_atomically(self.orders, f"{self.numbers} {point} {action} {nth}\n")
        return self.numbers

    def wait_until_fired(self):
        """Whether the order was carried out; it is withdrawn if not."""
        deadline = time.monotonic() + FIRED_WITHIN_SECONDS
        while self.orders.exists():
            if time.monotonic() > deadline:
                with contextlib.suppress(FileNotFoundError):
                    self.orders.unlink()
                    return False
            time.sleep(0.02)
        return True

    def stopped(self):
        """Of weir's processes those that stand still."""
        return [name for name in self.weir_names if state_of(self.pids()[name]) == "T"]

    # Processes

    @contextlib.contextmanager
    def frozen(self, *names):
        """SIGSTOP of these and all their descendants, and SIGCONT."""
        pids, family = self.pids(), set()
        for name in names:
            # The supervisor alone: its children are to go on.
            root = self.supervisor.pid if name == "supervisor" else pids[name]
            family |= {root} if name == "supervisor" else {root, *descendants(root)}
        try:
            for pid in family:
                send(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in family:
                send(pid, signal.SIGCONT)

    def thaw(self, *names):
        pids = self.pids()
        for name in names:
            send(pids[name], signal.SIGCONT)

    def terminate(self, name):
        """SIGTERM, until it is gone; the seconds that took."""
        pid, begun = self.pids()[name], time.monotonic()
        started = start_time(pid)
        send(pid, signal.SIGTERM)
        while started is not None and start_time(pid) == started:
            if time.monotonic() - begun > subject.GONE_SECONDS:
                raise Problem(f"{name} does not end on SIGTERM")
            time.sleep(0.02)
        return time.monotonic() - begun

    @contextlib.contextmanager
    def few_descriptors(self, name, more):
        """The process may open so many more than it has open now."""
        pid = self.pids()[name]
        few = len(os.listdir(f"/proc/{pid}/fd")) + more
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, hard))
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    def lacks_descriptors(self, name):
        pid = self.pids()[name]
        return len(os.listdir(f"/proc/{pid}/fd")) >= resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] - 1


def state_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]
    return None
