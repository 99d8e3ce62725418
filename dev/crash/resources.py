"""What the river takes and leaves behind: memory, descriptors, rows, disk. Figures for a person to look at."""

import contextlib
import os
from pathlib import Path

from crash.subject import descendants

LEFTOVER_TABLES = ("ingest_node", "quota_lease", "quota_period", "processor_node", "batch_ledger", "dead_letter")


def of(river):
    pids = river.pids()
    sessions = len(descendants(pids["postgres"])) if "postgres" in pids else 0
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in LEFTOVER_TABLES)
    return {
        "memory_mb": {name: memory_mb(pid) for name, pid in pids.items()},
        "descriptors": {name: descriptors(pid) for name, pid in pids.items()},
        "postgres_processes": sessions,
        "rows": dict(zip(LEFTOVER_TABLES, map(int, river.sql(f"SELECT {counts}")[0]))),
        "parts": int(river.clickhouse("SELECT count() FROM system.parts WHERE active AND table = 'events'")[0][0]),
        "disk_mb": disk_mb(river.folder),
    }


def memory_mb(pid):
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) >> 10
    return 0


def descriptors(pid):
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def disk_mb(folder):
    total = 0
    for root, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, file)).st_blocks * 512
    return total >> 20


def text(found):
    def pairs(values):
        return " ".join(f"{name} {value}" for name, value in values.items() if value)

    return (
        f"memory MB: {pairs(found['memory_mb'])} | descriptors: {pairs(found['descriptors'])}"
        f" | Postgres sessions {found['postgres_processes']} | rows: {pairs(found['rows'])}"
        f" | parts {found['parts']} | disk MB {found['disk_mb']}"
    )
