"""What a request brings: kept in the parts in which it came, in memory while there is room for it, else in a file."""

import tempfile
import threading


class Room:
    """Bytes of memory that all bodies share."""

    def __init__(self, bytes_max):
        self.lock = threading.Lock()
        self.left = bytes_max

    def take(self, size):
        with self.lock:
            is_there = self.left >= size
            self.left -= size if is_there else 0
            return is_there

    def give(self, size):
        with self.lock:
            self.left += size


class Body:
    """Written to its end, then read from its beginning, once."""

    def __init__(self, room):
        self.room = room
        self.parts, self.next = [], 0
        self.file = None
        self.size = self.held = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.parts = []
        self.room.give(self.held)
        if self.file:
            self.file.close()

    def write(self, part):
        if self.file is None and self.room.take(len(part)):
            self.parts.append(part)
            self.held += len(part)
        else:
            self.file = self.file or tempfile.TemporaryFile()
            self.file.write(part)
        self.size += len(part)

    def read(self, size=-1):
        """All that is left, or some of it: a part as it came, then about `size` bytes of the file. Empty at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if self.next < len(self.parts):
            part, self.parts[self.next] = self.parts[self.next], None
            self.next += 1
            return part
        if self.file is None:
            return b""
        if self.next == len(self.parts):
            self.file.seek(0)
            self.next += 1
        return self.file.read(size)
