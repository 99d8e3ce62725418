"""Clients that send large bodies but for the last byte."""

import contextlib
import select
import socket
import time

from faults import load

BODIES = 64
BODY_BYTES = 9 << 20
TENANTS = 8
PIECE = b" " * (256 << 10)


def make_tenants(river):
    return [load.make_tenant(river, f"hoarder-{number}") for number in range(TENANTS)]


def hold(river, keys, seconds):
    """Sends as much as the node takes of all bodies at once, and holds it for so long. Returns the bytes taken."""
    with contextlib.ExitStack() as held:
        clients = {}
        for number in range(BODIES):
            client = held.enter_context(socket.create_connection(("127.0.0.1", river.shape.ingest), timeout=5))
            head = (
                "POST /v1/events HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {keys[number % len(keys)]}\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
            )
            client.sendall(head.encode())
            client.setblocking(False)
            clients[client] = 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            waiting = [client for client, sent in clients.items() if sent < BODY_BYTES - 1]
            _, ready, _ = select.select([], waiting, [], 0.2)
            for client in ready:
                try:
                    clients[client] += client.send(PIECE[: BODY_BYTES - 1 - clients[client]])
                except (BlockingIOError, InterruptedError):
                    pass
                except OSError:
                    # It was refused, and the connection closed.
                    clients[client] = BODY_BYTES - 1
        return sum(clients.values())
