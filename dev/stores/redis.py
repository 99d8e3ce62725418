"""Redis from the PATH. It holds nothing that may not be lost, so it writes nothing to disk."""

import contextlib
import shutil
import socket

import workspace
from checks import MissingTool
from process import Spec


def check_tools():
    if shutil.which("redis-server") is None:
        raise MissingTool("redis-server", "redis-server")


def spec(home, log, port):
    folder = workspace.make_folder(home / "redis")
    return Spec(
        name="redis",
        argv=[
            *("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", folder),
            *("--appendonly", "no", "--save", "", "--daemonize", "no"),
        ],
        log=log / "redis.log",
        is_ready=lambda: answers_ping(port),
    )


def answers_ping(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False
