"""The stores of one folder, each on a port of 127.0.0.1: what is started, and how it is reached."""

import contextlib
import signal
import socket

import ports
import workspace
from processes import Spec
from stores import clickhouse, kafka
from stores.postgres import Postgres


def start(supervisor, listening, *, connections_max=200, is_soon_gone=False, kafka_properties=""):
    """Starts the stores that `listening` has a port for, and waits for them. Returns their addresses, by the variables
    of weir that name them, without a database; and Postgres, if it is one of them."""
    home, specs, addresses, postgres = supervisor.home, [], {}, None
    if port := listening.get("postgres"):
        postgres = Postgres(home, port)
        # "Immediate" where all of it is deleted: a checkpoint of some hundred databases can take half a minute.
        # Else "fast": it ends its clients' sessions and writes a checkpoint.
        specs.append(postgres.spec(connections_max, signal.SIGQUIT if is_soon_gone else signal.SIGINT))
        addresses["DATABASE_URL"] = postgres.url("postgres")
    if port := listening.get("clickhouse"):
        specs.append(clickhouse.spec(home, port))
        addresses["CLICKHOUSE_URL"] = f"http://{ports.HOST}:{port}"
    if port := listening.get("kafka"):
        specs.append(kafka.spec(home, port, listening["kafka_controller"], kafka_properties))
        addresses["KAFKA_BROKERS"] = f"{ports.HOST}:{port}"
    if port := listening.get("redis"):
        specs.append(redis(home, port))
        addresses["REDIS_URL"] = f"redis://{ports.HOST}:{port}"
    if specs:
        supervisor.start(*specs)
    return addresses, postgres


def redis(home, port):
    """From the PATH. It holds nothing that may not be lost, so it writes nothing to disk."""
    argv = ["redis-server", "--port", port, "--bind", ports.HOST, "--dir", workspace.make_folder(home / "redis")]
    return Spec(
        name="redis",
        argv=[*argv, "--appendonly", "no", "--save", ""],
        log=home / "log" / "redis.log",
        is_ready=lambda: redis_says(port, "PING").startswith(b"+PONG"),
    )


def redis_says(port, command):
    """The beginning of the reply, or nothing."""
    with contextlib.suppress(OSError), socket.create_connection((ports.HOST, port), timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(16)
    return b""
