"""Verifies a pack of evidence, or proofs: a second verifier, of nothing but Python's standard library, written from the
page docs/evidence.md. Prints what was proved as JSON (exit code 0), or why the file is refused (1).

Usage: verify_evidence.py FILE [--key PUBLIC]... [--tenant ID] [--after HASH] [--head HASH]
"""

import argparse
import base64
import json
import struct
import sys

from evidence.seals import (
    HOUR,
    NONE,
    Refused,
    Seal,
    Tree,
    event_hash,
    key_id,
    leaf,
    members,
    need,
    need_tenant,
    number,
    of_leaf,
    of_two,
    sha256,
    signed,
    unhex,
)

LINE_BYTES_MAX = 4 << 20


# Packs.


class Row:
    """What a row says of its event."""

    def __init__(self, data):
        self.data, self.at = data, 0
        self.tenant, self.project = self.take("<qq")
        self.event_id = self.text().decode()
        low, high = self.take("<QQ")
        self.event = high << 64 | low
        for _ in range(4):
            self.text()
        _, received_at = self.take("<qq")
        self.hour = received_at // 1_000_000 // HOUR * HOUR
        for _ in range(3):
            self.text()
        self.take("<16s")
        self.text()
        self.partition, position = self.take("<25xIQ")
        self.offset = position >> 16
        self.at = max(self.at, len(data) - 8)
        (self.period,) = self.take("<q")

    def take(self, form):
        self.at += struct.calcsize(form)
        return struct.unpack_from(form, self.data, self.at - struct.calcsize(form))

    def text(self):
        size = shift = 0
        while True:
            (byte,) = self.take("<B")
            size, shift = size | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                (text,) = self.take(f"<{size}s")
                return text


def check_row(text, item, seal, since):
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise Refused("the row is not in base64") from None
    contents = int.from_bytes(sha256(data)[:16], "little")
    need(contents == item[2], "the row is not the one that was sealed: it was changed")
    try:
        row = Row(data)
    except (struct.error, UnicodeDecodeError):
        raise Refused("the row is not one of a stored event") from None
    is_before = row.partition < len(seal.offsets) and row.offset < seal.offsets[row.partition]
    for holds, what in (
        (row.tenant == seal.tenant, "tenant"),
        (row.project == item[0], "project"),
        (row.event == item[1], "event hash"),
        (event_hash(row.project, row.event_id) == row.event, "event id"),
        (row.hour == seal.hour, "receipt"),
        (row.period == seal.period, "billing period"),
        (is_before and (since + [0] * (row.partition + 1))[row.partition] <= row.offset, "position in the log"),
    ):
        need(holds, f"the row's {what} is not that of its event and seal")


class Pack:
    def __init__(self, header, expected):
        version, tenant, start, end, contents, keys = members(
            header, "weir_evidence", "tenant", "from", "to", "contents", "keys"
        )
        need(version == 1, f"its form has version {version}")
        self.expected, self.tenant = expected, signed(tenant)
        self.start, self.end = signed(start), signed(end)
        are_whole = start < end and start % HOUR == 0 == end % HOUR
        need(are_whole, "`from` and `to` are not the start and the end of whole hours")
        need(contents in ("rows", "hashes"), "it is not what can stand here: rows or hashes")
        need_tenant(tenant, expected.tenant)
        self.has_rows, self.keys = contents == "rows", {}
        need(isinstance(keys, list), "it is not what can stand here: keys are a list")
        for name, public in (members(key, "id", "public") for key in keys):
            need(key_id(unhex(public, 32)) == name, f"key {name} is another key than the one that has this id")
            self.keys[name] = unhex(public, 32)
        self.last = self.open = self.tree = None
        self.since, self.sealed, self.latest, self.periods = [], {}, None, {}
        self.report = dict.fromkeys(("seals", "outside", "late", "events", "quantity", "erased", "unhashed"), 0)

    def take(self, line):
        """Takes a line; whether it is the last."""
        if "leaf" in line:
            self.take_leaf(line)
            return False
        self.close()
        if "seal" in line:
            self.take_seal(Seal(*members(line, "seal")))
            return False
        self.take_end(*members(line, "end"))
        return True

    def take_seal(self, seal):
        self.open = None
        need(seal.key in self.keys, f"it is signed with key {seal.key}, which the pack does not name")
        need_tenant(seal.tenant, self.tenant)
        if self.last:
            after = self.last.number + 1
            need(seal.number == after, f"seal {after} is expected here: a seal was left out, added or moved")
            need(seal.previous == self.last.hash, "it does not continue the seal before it")
        else:
            is_first = seal.number == 1
            need(seal.number and is_first == (seal.previous == NONE), "it does not continue the seal before it")
            is_after = self.expected.after in (None, seal.previous.hex())
            need(is_after, "the first seal does not continue the one that is expected before it")
        seal.check(self.keys[seal.key], self.expected)
        before = self.sealed.get((seal.hour, seal.period))
        self.since = before or []
        goes_on = len(self.since) <= len(seal.offsets) and all(a <= b for a, b in zip(self.since, seal.offsets))
        need(goes_on, "it ends before the seal of the same hour that it continues")
        self.sealed[seal.hour, seal.period] = seal.offsets
        is_late = before is not None or self.latest is not None and seal.hour < self.latest
        self.latest = seal.hour if self.latest is None else max(self.latest, seal.hour)
        is_within = self.start <= seal.hour < self.end
        self.last, self.open, self.tree = seal, seal if is_within else None, Tree()
        for name, count in (("seals", 1), ("late", is_late), ("outside", not is_within)):
            self.report[name] += count

    def take_leaf(self, line):
        need(self.last, "an event stands before the first seal")
        need(self.open, "an event stands behind a seal of an hour that is not the pack's")
        item, rest = leaf(line["leaf"]), {name: line[name] for name in line if name != "leaf"}
        self.tree.push(item)
        is_erased = rest == {"erased": True}
        need(self.has_rows or not rest, "a pack of hashes has no rows")
        if set(rest) == {"row"}:
            check_row(rest["row"], item, self.open, self.since)
        else:
            need(is_erased or not rest, "an event that was erased has no row")
            need(is_erased or not self.has_rows or item[2] == 0, "the event has no row")
        self.report["erased"] += is_erased
        self.report["unhashed"] += item[2] == 0

    def close(self):
        """No event of the seal follows."""
        if not self.open:
            return
        found, sealed = self.tree.root(), self.open.root
        how = "left out" if found[0] < sealed[0] else "added"
        need(found[0] == sealed[0], f"it has {found[0]} events, and {sealed[0]} were sealed: events were {how}")
        need(found[1] == sealed[1], f"its events count {found[1]}, and {sealed[1]} were sealed")
        need(found[2] == sealed[2] and found[0], "its events make another root than the signed one")
        for name, count in (("events", found[0]), ("quantity", found[1])):
            self.report[name] += count
        self.periods[self.open.period] = self.periods.get(self.open.period, 0) + found[1]

    def take_end(self, end):
        said = members(end, "seals", "events", "quantity", "head")
        head = self.last.hash if self.last else NONE
        for name, count in zip(("seals", "events", "quantity"), said):
            found = self.report[name]
            need(number(count) == found, f"the last line says {count} {name}, and there are {found}")
        need(unhex(said[3], 32) == head, "the last line names another seal than the last one")
        need(self.expected.head in (None, head.hex()), "the last seal is not the one that is expected")
        need(self.last or not self.expected.after, "the first seal does not continue the one that is expected")
        self.report |= {"tenant": self.tenant, "head": head.hex(), "periods": self.periods}


# Proofs.


def root_of(place, count):
    """The root that a leaf's path leads to, in a tree of `count` leaves; and the leaf and its index."""
    form, index, path = members(place, "leaf", "index", "path")
    item, at, size, joins = leaf(form), number(index), count, []
    need(at < count and isinstance(path, list), "the path from the event does not lead to the signed root")
    while size > 1:
        left = 1 << (size - 1).bit_length() - 1
        is_left = at >= left
        joins.append((is_left, left if is_left else size - left))
        at, size = (at - left, size - left) if is_left else (at, left)
    subtree, siblings = of_leaf(item), []
    need(len(path) == len(joins), "the path from the event does not lead to the signed root")
    for sibling in path:
        need(isinstance(sibling, list) and len(sibling) == 3, "it is not what can stand here: three parts")
        siblings.append((number(sibling[0]), number(sibling[1]), unhex(sibling[2], 32)))
    for sibling, (is_left, events) in zip(siblings, reversed(joins)):
        need(sibling[0] == events, "the path from the event does not lead to the signed root")
        subtree = of_two(sibling, subtree) if is_left else of_two(subtree, sibling)
    return subtree, item[:2], index


def verify_proof(proof, expected):
    version, form, public, project, event = (
        proof.pop(name, None) for name in ("weir_proof", "seal", "public", "project", "event")
    )
    need(version == 1, f"its form has version {version}")
    event_id, seal, public = proof.pop("event_id", None), Seal(form), unhex(public, 32)
    need(key_id(public) == seal.key, f"key {seal.key} is another key than the one that has this id")
    seal.check(public, expected)
    sought = signed(project), int.from_bytes(unhex(event, 16), "big")
    is_its_id = event_id is None or isinstance(event_id, str) and event_hash(project, event_id) == sought[1]
    need(is_its_id, "the proof is not of the event that it names")
    if "present" in proof:
        (place,) = members(proof, "present")
        root, found, _ = root_of(place, seal.root[0])
        need(root == seal.root, "the path from the event does not lead to the signed root")
        need(found == sought, "the proof is not of the event that it names")
        return {"number": seal.number, "is_present": True}
    (absent,) = members(proof, "absent")
    left, right = (place and root_of(place, seal.root[0]) for place in members(absent, "left", "right"))
    for place in filter(None, (left, right)):
        need(place[0] == seal.root, "the path from the event does not lead to the signed root")
    is_between = (not left or left[1] < sought) and (not right or sought < right[1])
    next_index, right_index = left[2] + 1 if left else 0, right[2] if right else seal.root[0]
    need((left or right) and is_between and next_index == right_index, "the events are not neighbours around it")
    return {"number": seal.number, "is_present": False}


def verify(file, expected):
    """Prints what the file proves."""
    pack, is_over, number_of_line = None, False, 0
    try:
        while data := file.readline(LINE_BYTES_MAX):
            number_of_line += 1
            need(not is_over, "something follows the last line")
            need(data.endswith(b"\n"), "the file ends too early: it was cut, or the line is too long")
            try:
                line = json.loads(data)
            except (ValueError, RecursionError):
                raise Refused("it is not what can stand here: it is no JSON") from None
            need(isinstance(line, dict), "it is not what can stand here: an object is expected")
            if pack:
                is_over = pack.take(line)
            elif "weir_proof" in line:
                print(json.dumps(verify_proof(line, expected)))
            else:
                pack = Pack(line, expected)
        need(number_of_line and (is_over or not pack), "the file ends too early: it was cut")
    except Refused as refused:
        seal = f", seal {pack.last.number}" if pack and pack.last else ""
        print(f"REFUSED: line {number_of_line}{seal}: {refused}")
        return 1
    if pack:
        print(json.dumps(pack.report))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--tenant", type=int)
    parser.add_argument("--after")
    parser.add_argument("--head")
    chosen = parser.parse_args()
    with open(chosen.file, "rb") as file:
        return verify(file, chosen)


if __name__ == "__main__":
    sys.exit(main())
