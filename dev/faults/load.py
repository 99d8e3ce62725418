"""Who sends while a fault lasts: single events, batches of 50 for many tenants, batches of 1,000, one tenant that
crosses its cap, and one that sends more than its rate lets through."""

import dataclasses

from crash import load

# After the last batch is begun, until the last answer.
GRACE_SECONDS = 90
MANY = 16


@dataclasses.dataclass(frozen=True)
class Lane:
    name: str
    rate: int
    batch: int
    connections: int
    gzip: bool = False
    # Percent of its events that are sent again on purpose.
    retry_share: int = 10
    # What may be said to it, besides 202.
    refusals: tuple = ()


LANES = (
    Lane("singles", 60, 1, 8),
    # Each request has another tenant's key, so nothing may be sent again under the next.
    Lane("many", 600, 50, 4, gzip=True, retry_share=0),
    Lane("bulk", 1_000, 1_000, 2, gzip=True),
    Lane("capped", 300, 20, 4, refusals=("402", "202 quota_exceeded")),
    Lane("greedy", 300, 10, 2, refusals=("429",)),
)
# What "greedy" may send in a second.
GREEDY_RATE = 100
# Of what "capped" sends while a fault lasts, about so much is beyond its cap.
CAP_SHARE = 0.6


class Load(load.Load):
    def __init__(self, river, lane, key, label, seconds, seed):
        self.lane = lane
        self.OPTIONS = ("--retry", "--retry-share", lane.retry_share)
        options = ["--duration", f"{int(seconds * 1000)}ms", "--grace", f"{GRACE_SECONDS}s", "--seed", seed]
        options += ["--rate", lane.rate, "--batch", lane.batch, "--connections", lane.connections]
        options += ["--gzip"] if lane.gzip else []
        # `key` is a file of keys, where there are several.
        options += [] if isinstance(key, str) else ["--keys-file", key]
        super().__init__(river, lane.name, key if isinstance(key, str) else "", label, *options)


def make_tenants(river):
    """By lane, the key or the file of keys."""
    names = {"singles": [], "bulk": [], "capped": ["--quota", "0"], "greedy": ["--rate", str(GREEDY_RATE)]}
    keys = {}
    for name, limits in names.items():
        keys[name] = make_tenant(river, name, *limits)
    keys["many"] = river.folder / "keys"
    lines = [make_tenant(river, f"many-{number}") for number in range(MANY)]
    keys["many"].touch(mode=0o600)
    keys["many"].write_text("\n".join(lines) + "\n")
    return keys


def make_tenant(river, name, *limits):
    river.weir_now("tenant", "create", name, "--plan", "unlimited", *limits)
    return river.weir_now("key", "create", name)["key"]


def start(river, keys, label, seconds, chance):
    # Journals are checked by ids alone: no two lanes may have the same.
    labels = {lane: f"{label}-{lane.name}" for lane in LANES}
    return [Load(river, lane, keys[lane.name], labels[lane], seconds, chance.getrandbits(60)) for lane in LANES]


def cap_step(seconds):
    """How far the cap is raised for a load of so many seconds."""
    (capped,) = (lane for lane in LANES if lane.name == "capped")
    return int(capped.rate * seconds * CAP_SHARE)
