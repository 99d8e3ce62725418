"""What a fault may use: fail points, signals, limits, proxies before the stores, and clients that hold on."""

import contextlib
import resource
import select
import signal
import socket
import time

import looks
import workspace
from console import Problem
from process import start_time
from subject import GONE_SECONDS, send

# An order that no process has met after so long did not take place.
FIRED_WITHIN_SECONDS = 20
# Of clients that send all of a body but its last byte.
BODIES = 64
BODY_BYTES = 9 << 20
HOARDERS = 8
PIECE = b" " * (256 << 10)


class Harm:
    """Of one fault."""

    def __init__(self, session, found, chance):
        self.session, self.found, self.chance = session, found, chance
        self.river = session.river

    def took_place(self, holds, text):
        self.found.expect("F", holds, text)

    def some_time(self, least, most):
        time.sleep(self.chance.uniform(least, most))

    # Fail points

    def order(self, point, action, nth=1):
        """Arms a point; returns the order's number."""
        self.session.numbers += 1
        workspace.write_atomically(self.session.orders, f"{self.session.numbers} {point} {action} {nth}\n")
        return self.session.numbers

    def fires(self, else_said):
        """Whether the order was carried out; it is withdrawn if not."""
        deadline = time.monotonic() + FIRED_WITHIN_SECONDS
        while self.session.orders.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        fired = not self.session.orders.exists()
        self.session.orders.unlink(missing_ok=True)
        self.took_place(fired, else_said)
        return fired

    # Processes

    def stopped(self):
        """Of weir's processes those that stand still."""
        pids = self.river.pids()
        return [name for name in self.river.weir_names if looks.is_stopped(pids[name])]

    def thaw(self, *names):
        pids = self.river.pids()
        for name in names:
            send(pids[name], signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self, *names):
        """SIGSTOP of these and all their descendants, and SIGCONT. Of the supervisor alone: so that nothing that ends
        is started again meanwhile."""
        pids, family = {**self.river.pids(), "supervisor": self.river.supervisor.pid}, set()
        for name in names:
            family |= {pids[name]} if name == "supervisor" else {pids[name], *looks.descendants(pids[name])}
        try:
            for pid in family:
                send(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in family:
                send(pid, signal.SIGCONT)

    def terminate(self, name):
        """SIGTERM, until it is gone; the seconds that took."""
        pid, begun = self.river.pids()[name], time.monotonic()
        started = start_time(pid)
        send(pid, signal.SIGTERM)
        while started is not None and start_time(pid) == started:
            if time.monotonic() - begun > GONE_SECONDS:
                raise Problem(f"{name} does not end on SIGTERM")
            time.sleep(0.02)
        return time.monotonic() - begun

    def lack_descriptors(self, name, seconds):
        """Clients come to a process that may open hardly more descriptors than it has open now."""
        pid = self.river.pids()[name]
        few = looks.descriptors(pid) + 2
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, hard))
        try:
            with contextlib.ExitStack() as held:
                for _ in range(50):
                    with contextlib.suppress(OSError):
                        held.enter_context(self.client(1))
                time.sleep(seconds)
                self.took_place(looks.descriptors(pid) >= few - 1, "there were descriptors left")
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    # Clients

    def client(self, timeout):
        return socket.create_connection(("127.0.0.1", self.river.shape.ingest), timeout=timeout)

    def hold_bodies(self, seconds):
        """Sends as much as the node takes of large bodies of several tenants, all at once and but for the last byte,
        and holds it for so long. Returns the bytes taken."""
        keys = [self.river.tenant(f"hoarder-{number}") for number in range(HOARDERS)]
        with contextlib.ExitStack() as held:
            clients = {}
            for number in range(BODIES):
                client = held.enter_context(self.client(5))
                head = (
                    "POST /v1/events HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\n"
                    f"Authorization: Bearer {keys[number % HOARDERS]}\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
                )
                client.sendall(head.encode())
                client.setblocking(False)
                clients[client] = 0
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                waiting = [client for client, sent in clients.items() if sent < BODY_BYTES - 1]
                for client in select.select([], waiting, [], 0.2)[1]:
                    try:
                        clients[client] += client.send(PIECE[: BODY_BYTES - 1 - clients[client]])
                    except (BlockingIOError, InterruptedError):
                        pass
                    except OSError:
                        # It was refused, and the connection closed.
                        clients[client] = BODY_BYTES - 1
            return sum(clients.values())
