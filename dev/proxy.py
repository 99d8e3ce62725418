"""TCP proxies that do harm: one before each store, by orders; one between an SDK and weir, by a script.

What they may do before a store:

    forward       nothing
    down          connections are reset, those that are there and those that are made
    slow          SLOW_SECONDS more in each direction, and 20 KB a second
    reset         the first reply, and then one in RESET_ONE_IN, is cut in the middle, and its connection reset
    reply_lost    of half of the requests whose reply is to be lost, the reply: the store has done the work

What a fault is between an SDK and weir, is what `testkit::FaultProxy` means by it: the same script is played to the
SDKs that Rust's tests run.
"""

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading

from ports import HOST

PIECE = 64 << 10
SLOW_SECONDS = 0.5
SLOW_PIECE = 10_000
RESET_ONE_IN = 5
LINGER_NOT = struct.pack("ii", 1, 0)
KAFKA_PRODUCE = 0
NONE, RESET, REPLY_LOST = "none", "reset", "reply lost"
# What happens to the first requests that carry events, in the order of arrival; nothing to later ones. A tuple is a
# refusal by the proxy: status and seconds of `Retry-After`.
SCRIPT = (REPLY_LOST, NONE, (503, 1), RESET, NONE, (429, 1), NONE, (503, None), REPLY_LOST)
# Besides those below `v1`.
EVENT_PATHS = ("batch", "e", "i/v0/e", "capture", "i/v1/analytics/events", "api/v1/events")


class Cut(Exception):
    """The connection is to be reset."""


def reset(writer):
    """A close that the other side sees as a reset."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    writer.transport.abort()


class Thread:
    """An event loop on a thread of its own, until it is ended."""

    def __init__(self):
        self.loop, self.servers = asyncio.new_event_loop(), []
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def listen(self, serve, port=0):
        """Returns the port."""
        self.servers.append(self.do(asyncio.start_server(serve, HOST, port)))
        return self.servers[-1].sockets[0].getsockname()[1]

    def end(self):
        async def cancel():
            for server in self.servers:
                server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self.do(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


# Before a store. A wire sees the bytes of both directions in their order, as far as it must understand them: it says of
# those of a client whether they hold a request whose reply may be lost, of a store's whether that reply is among them.


class Wire:
    def __init__(self, store):
        self.store = store
        self.sent, self.got, self.produced = bytearray(), bytearray(), set()

    def asks(self, data):
        if self.store == "postgres":
            # weir sends it as a simple query; the reply has the tag of the command.
            return b"COMMIT\0" in data
        if self.store == "clickhouse":
            return data.startswith(b"POST") and b"INSERT" in data[:4096].split(b"\r\n", 1)[0].upper()
        if self.store == "kafka":
            asked = {number for key, _, number in frames(self.sent, data, ">hhi") if key == KAFKA_PRODUCE}
            self.produced |= asked
            return bool(asked)
        return False

    def answers(self, data):
        if self.store == "kafka":
            answered = self.produced & {number for (number,) in frames(self.got, data, ">i")}
            self.produced -= answered
            return bool(answered)
        return data.startswith(b"HTTP/1.1") if self.store == "clickhouse" else self.asks(data)


def frames(kept, data, head):
    """Kafka's: a length, then key, version and number of a request, or the number that its reply has. The heads of the
    whole frames that end with `data`; what is left stays in `kept`."""
    kept += data
    while len(kept) >= 4:
        (length,) = struct.unpack_from(">i", kept)
        if len(kept) < 4 + length:
            return
        yield struct.unpack_from(head, kept, 4)
        del kept[: 4 + length]


class StoreProxy:
    def __init__(self, store, port, target):
        self.store, self.port, self.target = store, port, target
        self.mode, self.chance = "forward", random.Random(0)
        # How often harm was done since the last order, and the open connections in pairs.
        self.harmed, self.pairs = 0, set()

    async def connection(self, reader, client):
        if self.mode == "down":
            self.harmed += 1
            return reset(client)
        try:
            replies, store = await asyncio.open_connection(HOST, self.target)
        except OSError:
            return reset(client)
        pair, wire, lost = (client, store), Wire(self.store), asyncio.Event()
        self.pairs.add(pair)
        try:
            await asyncio.gather(self.forward(reader, store, wire, lost), self.bring(replies, client, wire, lost))
        except (OSError, Cut):
            pass
        finally:
            self.pairs.discard(pair)
            for writer in pair:
                reset(writer)

    async def forward(self, reader, writer, wire, lost):
        async for data in self.read(reader):
            if wire.asks(data) and self.mode == "reply_lost" and self.chance.random() < 0.5:
                lost.set()
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def bring(self, reader, writer, wire, lost):
        async for data in self.read(reader):
            is_lost = wire.answers(data) and lost.is_set()
            # The first in any case: a processor asks ClickHouse only twice a second.
            is_cut = self.mode == "reset" and (self.harmed == 0 or self.chance.randrange(RESET_ONE_IN) == 0)
            if not is_lost:
                writer.write(data[: len(data) // 2] if is_cut else data)
                await writer.drain()
            if is_lost or is_cut:
                self.harmed += 1
                break
        raise Cut

    async def read(self, reader):
        while data := await reader.read(SLOW_PIECE if self.mode == "slow" else PIECE):
            if self.mode == "slow":
                self.harmed += 1
                await asyncio.sleep(SLOW_SECONDS)
            yield data

    async def order(self, mode, seed):
        """Returns how often harm was done since the last order."""
        harmed, self.harmed = self.harmed, 0
        self.mode, self.chance = mode, random.Random(seed)
        for client, store in [*self.pairs] if mode == "down" else ():
            self.harmed += 1
            reset(client)
            reset(store)
        return harmed


class StoreProxies(Thread):
    """By store, with (port of the proxy, port of the store)."""

    def __init__(self, pairs):
        super().__init__()
        self.by_store = {store: StoreProxy(store, *both) for store, both in pairs.items()}
        for proxy in self.by_store.values():
            self.listen(proxy.connection, proxy.port)

    def order(self, store, mode, seed=0):
        return self.do(self.by_store[store].order(mode, seed))

    def mend(self):
        for store in self.by_store:
            self.order(store, "forward")


# Between an SDK and weir


class SdkProxy(Thread):
    """`seen` has [method, path, fault, status or None] of each request; the first that carry events meet `faults`."""

    def __init__(self, upstream, faults):
        super().__init__()
        self.upstream, self.faults, self.seen = upstream, list(faults), []
        self.url = f"http://{HOST}:{self.listen(self.connection)}"

    async def connection(self, reader, writer):
        try:
            while True:
                writer.write(await self.answer(await message(reader)))
                await writer.drain()
        except Cut:
            reset(writer)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    async def answer(self, request):
        method, path, _ = request.split(b" ", 2)
        seen = [method.decode(), path.decode(), NONE, None]
        # Side calls and preflights are not harmed.
        if self.faults and carries_events(seen) and not request.endswith(b"\r\n\r\n"):
            seen[2] = self.faults.pop(0)
        self.seen.append(seen)
        if isinstance(seen[2], tuple):
            status, retry_after = seen[2]
            retry = "" if retry_after is None else f"Retry-After: {retry_after}\r\n"
            return f"HTTP/1.1 {status} No\r\n{retry}Content-Length: 2\r\n\r\nno".encode()
        if seen[2] == RESET:
            raise Cut
        reader, writer = await asyncio.open_connection(HOST, self.upstream)
        try:
            writer.write(request)
            reply = await message(reader, has_body=seen[0] != "HEAD")
        finally:
            writer.close()
        seen[3] = int(reply.split(b" ", 2)[1])
        if seen[2] == REPLY_LOST:
            raise Cut
        return reply

    def posts(self):
        """The requests that carry events."""
        return list(filter(carries_events, self.seen))

    def side_calls(self, key):
        """(method, path without its query and key, status) of the others, each once."""
        others = [each for each in self.seen if each[0] != "OPTIONS" and not carries_events(each)]
        return {(method, path.partition("?")[0].replace(key, "KEY"), status) for method, path, _, status in others}


def carries_events(seen):
    path = seen[1].partition("?")[0].strip("/")
    return seen[0] == "POST" and (path.startswith("v1/") or path in EVENT_PATHS)


async def message(reader, has_body=True):
    """A whole request or reply, as it is on the wire."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    if not has_body or head.startswith(b"HTTP/1.1 204"):
        return head
    if length:
        return head + await reader.readexactly(int(length[1]))
    if not re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
        return head
    while True:
        line = await reader.readuntil(b"\r\n")
        head += line + await reader.readexactly(int(line.partition(b";")[0], 16) + 2)
        if int(line.partition(b";")[0], 16) == 0:
            return head
