"""What goes over a connection to a store, as far as a proxy must understand it to lose the right reply.

A watcher sees the bytes of both directions in their order. `asks` says whether they hold a request whose work is to be
done while its reply is lost; `answers` whether that reply is among the bytes.
"""

import struct


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
