"""A TCP proxy before each store, which can be told to do harm.

    forward       nothing
    down          connections are reset, those that are there and those that are made
    slow          HALF_SECONDS more in each direction, and 20 KB a second
    reset         the first reply, and then one in RESET_ONE_IN, is cut in the middle, and its connection reset
    reply_lost    of half of the requests whose reply is to be lost, the reply: the store has done the work

A wire sees the bytes of both directions in their order, as far as it must understand them for that. `asks` says whether
they hold such a request, `answers` whether its reply is among them.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading

from ports import HOST

PIECE = 64 << 10
SLOW_SECONDS = 0.5
SLOW_PIECE = 10_000
RESET_ONE_IN = 5
RESET_NOW = struct.pack("ii", 1, 0)


class Nothing:
    """No reply is told from another."""

    def asks(self, _data):
        return False

    def answers(self, _data):
        return False


class Postgres:
    """COMMIT, which weir sends as a simple query; its reply has the tag of the command."""

    def asks(self, data):
        return b"COMMIT\0" in data

    def answers(self, data):
        return b"COMMIT\0" in data


class ClickHouse:
    """An INSERT: a POST whose address holds it. Its reply is the next one."""

    def asks(self, data):
        head = data[:4096]
        return head.startswith(b"POST") and b"INSERT" in head.split(b"\r\n", 1)[0].upper()

    def answers(self, data):
        return data.startswith(b"HTTP/1.1")


class Kafka:
    """Produce: frames of a length, then key and version of the request or nothing, then a number that the reply has."""

    PRODUCE = 0

    def __init__(self):
        self.sent, self.got = bytearray(), bytearray()
        self.produced = set()

    def asks(self, data):
        found = False
        for frame in frames(self.sent, data):
            key, _version, number = struct.unpack_from(">hhi", frame)
            if key == self.PRODUCE:
                self.produced.add(number)
                found = True
        return found

    def answers(self, data):
        found = False
        for frame in frames(self.got, data):
            (number,) = struct.unpack_from(">i", frame)
            found |= number in self.produced
            self.produced.discard(number)
        return found


def frames(kept, data):
    """The heads of the whole frames that end with `data`; what is left stays in `kept`."""
    kept += data
    while len(kept) >= 4:
        (length,) = struct.unpack_from(">i", kept)
        if len(kept) < 4 + length:
            return
        yield bytes(kept[4:16])
        del kept[: 4 + length]


WIRES = {"postgres": Postgres, "clickhouse": ClickHouse, "kafka": Kafka, "redis": Nothing}


class Proxy:
    def __init__(self, name, port, target):
        self.name, self.port, self.target = name, port, target
        self.mode = "forward"
        self.chance = random.Random(0)
        # How often harm was done since the last order.
        self.harmed = 0
        self.connections = set()

    async def listen(self):
        server = await asyncio.start_server(self.connection, HOST, self.port)
        async with server:
            await server.serve_forever()

    async def connection(self, reader, writer):
        if self.mode == "down":
            self.harmed += 1
            return reset(writer)
        try:
            there, back = await asyncio.open_connection(HOST, self.target)
        except OSError:
            return reset(writer)
        pair = Pair(self, writer, back)
        self.connections.add(pair)
        try:
            await asyncio.gather(pair.requests(reader, back), pair.replies(there, writer))
        except (OSError, asyncio.IncompleteReadError, Cut):
            pass
        finally:
            pair.reset()
            self.connections.discard(pair)

    def order(self, mode, seed):
        self.chance = random.Random(seed)
        self.harmed = 0
        self.mode = mode
        if mode == "down":
            for pair in list(self.connections):
                self.harmed += 1
                pair.reset()


class Cut(Exception):
    """A reply was not forwarded."""


class Pair:
    """A client's connection, and the one to the store."""

    def __init__(self, proxy, client, store):
        self.proxy, self.client, self.store = proxy, client, store
        self.wire = WIRES[proxy.name]()
        self.loses_reply = False

    async def requests(self, reader, writer):
        while data := await self.read(reader):
            asks = self.wire.asks(data)
            if asks and self.proxy.mode == "reply_lost" and self.proxy.chance.random() < 0.5:
                self.loses_reply = True
            await self.write(writer, data)
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def replies(self, reader, writer):
        while data := await self.read(reader):
            if self.wire.answers(data) and self.loses_reply:
                self.proxy.harmed += 1
                raise Cut
            if self.proxy.mode == "reset" and self.is_next_cut():
                self.proxy.harmed += 1
                await self.write(writer, data[: len(data) // 2])
                raise Cut
            await self.write(writer, data)
        raise Cut

    def is_next_cut(self):
        # The first in any case: a processor asks ClickHouse only twice a second.
        return self.proxy.harmed == 0 or self.proxy.chance.randrange(RESET_ONE_IN) == 0

    async def read(self, reader):
        is_slow = self.proxy.mode == "slow"
        data = await reader.read(SLOW_PIECE if is_slow else PIECE)
        if is_slow and data:
            self.proxy.harmed += 1
            await asyncio.sleep(SLOW_SECONDS)
        return data

    @staticmethod
    async def write(writer, data):
        writer.write(data)
        await writer.drain()

    def reset(self):
        for writer in (self.client, self.store):
            reset(writer)


def reset(writer):
    """A close that the other side sees as a reset."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_NOW)
    writer.transport.abort()


class Proxies:
    """All of them, on a thread of their own, until the program ends."""

    def __init__(self, *proxies):
        self.by_name = {proxy.name: proxy for proxy in proxies}
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        asyncio.set_event_loop(self.loop)
        for proxy in self.by_name.values():
            self.loop.create_task(proxy.listen())
        self.loop.run_forever()

    def order(self, name, mode, seed=0):
        """Returns how often harm was done since the last order."""

        async def change():
            harmed = self.by_name[name].harmed
            self.by_name[name].order(mode, seed)
            return harmed

        return asyncio.run_coroutine_threadsafe(change(), self.loop).result(10)

    def mend(self):
        for name in self.by_name:
            self.order(name, "forward")

    def end(self):
        async def cancel():
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(cancel(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
