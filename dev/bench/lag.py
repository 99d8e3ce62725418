"""How long events take from their acceptance over HTTP until they are stored and metered, from two counters.

At each look there are so many accepted and so many committed. The processor commits in about the order of acceptance,
so the event that was the n-th to be accepted is taken for the n-th to be committed, at the look at which that was first
seen: an answer that is up to one look too large.
"""

import bisect
import dataclasses

# Of the events that two looks have between them.
PROBES = 16


@dataclasses.dataclass
class Look:
    at: float
    accepted: int
    committed: int


@dataclasses.dataclass
class Lag:
    p50: float
    p99: float
    most: float


def of(looks, first, last):
    """Of the events from the `first` to the `last` accepted, all of them committed by now."""
    found = []
    for before, after in zip(looks, looks[1:], strict=False):
        low, high = max(before.committed, first), min(after.committed, last)
        for probe in range(PROBES if high > low else 0):
            event = low + (high - low) * (probe + 0.5) / PROBES
            found.append((max(0.0, after.at - accepted_at(looks, event)), (high - low) / PROBES))
    found.sort()
    return Lag(quantile(found, 0.5), quantile(found, 0.99), found[-1][0] if found else 0.0)


def accepted_at(looks, event):
    place = bisect.bisect_left(looks, event, key=lambda look: look.accepted)
    if place == 0 or place == len(looks):
        return looks[min(place, len(looks) - 1)].at
    before, after = looks[place - 1], looks[place]
    share = (event - before.accepted) / (after.accepted - before.accepted)
    return before.at + (after.at - before.at) * share


def quantile(found, share):
    """`found`: (lag, events), sorted."""
    wanted, sum_of_events = share * sum(events for _, events in found), 0
    for lag, events in found:
        sum_of_events += events
        if sum_of_events >= wanted:
            return lag
    return 0.0
