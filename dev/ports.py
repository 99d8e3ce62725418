"""Ports of this machine: which are free, and who holds one that is not."""

import contextlib
import itertools
import os
import socket
import urllib.request
from pathlib import Path

from console import Problem

HOST = "127.0.0.1"


def is_free(port):
    with socket.socket() as probe:
        # As servers do: connections of an earlier run that still linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise Problem(f"port {port} is reserved for root: choose one above 1023 with `PORT=...`") from None
        except OSError:
            return False
    return True


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def fetch(url, data=None, seconds=10):
    """What is answered there; an OSError if that is no success. Never through a proxy that the environment may name."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, data=data, timeout=seconds) as reply:
        return reply.read()


def choose(count):
    """So many different free ports, as the kernel hands them out."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def choose_block(count):
    """The first of so many free ports in a row; not everybody's search begins at the same."""
    blocks = [*range(10_000, 30_000, count)]
    begin = os.getpid() % len(blocks)
    return next(first for first in blocks[begin:] + blocks[:begin] if all(map(is_free, range(first, first + count))))


def check_free(wanted):
    """`wanted` maps a port to what it is for."""
    for port, purpose in sorted(wanted.items()):
        if not is_free(port):
            shift = next(n for n in itertools.count(100, 100) if all(is_free(p + n) for p in wanted))
            raise Problem(
                f"port {port} ({purpose}) is taken by {holder_of(port) or 'another process'}: stop that or move all "
                f"ports: PORT={min(wanted) + shift}"
            )


def holder_of(port):
    """Name and number of the process that listens there, if we are allowed to know."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for fields in map(str.split, Path(table).read_text().splitlines()[1:]):
                # 0A is LISTEN.
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(os.readlink(entry) in inodes for entry in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None
