"""What a process looks like from outside: to the kernel, and by what it says of itself on /metrics."""

import contextlib
import http.client
import os
import re
import time
from pathlib import Path

import ports

METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def answers(port, path, expected=None):
    """Whether a GET succeeds there, and brings what is expected."""
    try:
        found = ports.fetch(f"http://{ports.HOST}:{port}/{path}", seconds=2)
        return expected is None or found == expected
    except (OSError, http.client.HTTPException):
        return False


def metrics(port):
    """(name, labels, value) of each."""
    text = ports.fetch(f"http://{ports.HOST}:{port}/metrics").decode()
    return [(name, labels, float(value)) for name, labels, value in METRIC.findall(text)]


def total(found, name, label=""):
    return sum(value for each, labels, value in found if each == name and label in labels)


def accepted(found):
    return int(total(found, "weir_ingest_events_total", 'outcome="accepted"'))


def processed(found):
    """Events that are stored, or found to be duplicates or dead."""
    return int(total(found, "weir_processor_events_total"))


def ids(found):
    """How many ids a processor holds, and the bytes of its memory that they take."""
    return tuple(int(total(found, f"weir_processor_ids_{what}")) for what in ("held", "memory_bytes"))


def stat(pid):
    """The fields of /proc/<pid>/stat behind the name, or none if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def start_time(pid):
    """When the process began, in clock ticks since boot, or None if it does not run.

    A zombie does not, unless it is only the first of several threads: the others still hold its ports and files.
    """
    fields = stat(pid)
    return None if not fields or fields[0] in "ZX" and threads(pid) <= 1 else int(fields[19])


def is_stopped(pid):
    return stat(pid)[:1] == ["T"]


def rss_bytes(pid):
    fields = stat(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def threads(pid):
    fields = stat(pid)
    return int(fields[17]) if fields else 0


def descriptors(pid):
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def descendants(root):
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if fields := stat(folder.name):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, at_hand = set(), [root]
    while at_hand:
        at_hand = [child for pid in at_hand for child in children.get(pid, ()) if child not in found]
        found.update(at_hand)
    return found


def cpu_seconds(pid):
    """User and system time of the process with all its threads, the ended ones too, in nanoseconds' precision: the
    clock that clock_getcpuclockid(3) names. /proc/<pid>/stat counts in hundredths of a second."""
    return time.clock_gettime((~pid << 3) | 2)


def family_cpu_seconds(pid):
    """Of the process and all that descend from it, the ended ones too; in hundredths of a second. For Postgres, which
    has a process for each connection."""
    ticks = sum(int(field) for each in (pid, *descendants(pid)) for field in stat(each)[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")
