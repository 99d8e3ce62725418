"""Leaves, trees and seals of evidence: their forms in JSON, and what is hashed and signed of them."""

import hashlib
import re
import struct

from .ed25519 import has_signed
from .xxh3 import xxh3_128

HOUR = 3600
NONE = bytes(32)
SEAL = "tenant number hour period events quantity root offsets previous key signature".split()


class Refused(Exception):
    """What is wrong."""


def need(holds, why):
    if not holds:
        raise Refused(why)


def need_tenant(found, expected):
    need(expected in (None, found), f"it is of tenant {found}, and tenant {expected} is expected")


# Forms.


def members(form, *names):
    need(isinstance(form, dict) and set(form) == set(names), f"it is not what can stand here: {names} are expected")
    return [form[name] for name in names]


def number(value, least=0, end=1 << 64):
    need(type(value) is int and least <= value < end, "it is not what can stand here: a number is expected")
    return value


def signed(value):
    return number(value, -(1 << 63), 1 << 63)


def unhex(text, count):
    is_hex = isinstance(text, str) and re.fullmatch("[0-9a-f]{%d}" % (2 * count), text)
    need(is_hex, f"it is not what can stand here: {2 * count} hexadecimal digits are expected")
    return bytes.fromhex(text)


def sha256(data):
    return hashlib.sha256(data).digest()


def key_id(public):
    return sha256(public)[:8].hex()


def event_hash(project, event_id):
    data = struct.pack("<q", project) + event_id.encode(errors="surrogatepass")
    need(9 <= len(data) <= 136, "an event id has 1 to 128 bytes")
    return xxh3_128(data)


# Trees. A subtree is (events, quantity, hash).


def leaf(form):
    """(project, event hash, content hash, quantity)"""
    need(isinstance(form, list) and len(form) == 4, "it is not what can stand here: a leaf has four parts")
    hashes = (int.from_bytes(unhex(text, 16), "big") for text in form[1:3])
    return signed(form[0]), *hashes, number(form[3])


def of_leaf(item):
    project, event, contents, quantity = item
    data = struct.pack(">Bq", 0, project) + event.to_bytes(16, "big") + contents.to_bytes(16, "big")
    return 1, quantity, sha256(data + struct.pack(">Q", quantity))


def of_two(left, right):
    need(left[1] + right[1] < 1 << 64, "the sum of quantities is beyond 64 bits")
    return left[0] + right[0], left[1] + right[1], sha256(struct.pack(">BQQ32sQQ32s", 1, *left, *right))


class Tree:
    def __init__(self):
        self.last, self.subtrees = None, []

    def push(self, item):
        need(self.last != item[:2], "the event is there twice")
        need(self.last is None or self.last < item[:2], "the event is not behind the one before it")
        self.last = item[:2]
        self.subtrees.append(of_leaf(item))
        while len(self.subtrees) > 1 and self.subtrees[-1][0] == self.subtrees[-2][0]:
            self.join()

    def join(self):
        right = self.subtrees.pop()
        self.subtrees.append(of_two(self.subtrees.pop(), right))

    def root(self):
        while len(self.subtrees) > 1:
            self.join()
        return self.subtrees[0] if self.subtrees else (0, 0, NONE)


# Seals.


class Seal:
    def __init__(self, form):
        fields = members(form, *SEAL)
        self.tenant, self.hour, self.period = (signed(fields[place]) for place in (0, 2, 3))
        self.number = number(fields[1])
        self.root = number(fields[4]), number(fields[5]), unhex(fields[6], 32)
        need(isinstance(fields[7], list), "it is not what can stand here: offsets are a list")
        self.offsets = [number(offset) for offset in fields[7]]
        self.previous = unhex(fields[8], 32)
        self.key, self.signature = unhex(fields[9], 8).hex(), unhex(fields[10], 64)
        self.statement = b"weir seal 1\0" + struct.pack(
            f">qQqqQQ32sI{len(self.offsets)}Q32s",
            *(self.tenant, self.number, self.hour, self.period, *self.root),
            *(len(self.offsets), *self.offsets, self.previous),
        )
        self.hash = sha256(b"\2" + self.statement)

    def check(self, public, expected):
        need_tenant(self.tenant, expected.tenant)
        is_expected = not expected.key or public.hex() in expected.key
        need(is_expected, f"it is signed with key {self.key}, which is not the key that is expected")
        need(has_signed(public, self.statement, self.signature), f"it is not what key {self.key} signed")
        need(self.hour % HOUR == 0, "it is not of a whole hour")
