"""The tables of growth, in Markdown, as they stand in benches/README.md."""

import statistics

from bench.growth import BATCHES, CLOSED, PACES
from bench.table import rows, spread

# What an event may cost more than at the smallest size.
GROWTH_MAX = 1.15


def text(growth):
    series = {key[0] for key in growth.found}
    parts = [f"CPU-seconds per million events, median of {growth.rounds} (least to most); a ratio is the median of the rounds'"]
    for name, title in (
        ("tenants", "No cap; 64 connections, closed loop, requests over all keys in turn"),
        ("capped", "Every tenant with a cap; else as before"),
    ):
        if name in series:
            parts += [title, tenants(growth, name)]
    if "first" in series:
        parts += ["The first events of tenants with a cap: 1,000 connections, batch 1, once", first(growth)]
    if "open" in series:
        parts += ["10 tenants; the same requests a second (open loop), batches of 10", open_loop(growth)]
    if "closed" in series:
        parts += ["10 tenants; closed loop, batches of 10", closed_loop(growth)]
    return "\n\n".join(parts)


def tenants(growth, series):
    headings = ["tenants", "keys"]
    for batch in BATCHES:
        headings += [f"batch {batch}", "to the first", "events/s", "p99 ms"]
    headings += ["refused", "RSS MB at start, after", "verdict"]
    lines = []
    for size in growth.sizes:
        line, verdicts, refused = [f"{size.tenants:,}", f"{size.keys:,}"], [], 0
        for batch in BATCHES:
            found, base = (growth.found[series, batch, each] for each in (size, growth.sizes[0]))
            ratios = quotients(found, base)
            verdicts.append(verdict(ratios))
            refused = max([refused, *(sum(figure.refused.values()) for figure in found)])
            line += [spread(cpu(found)), times(ratios), median(found, "rate", "{:,.0f}"), median(found, "p99", "{:.1f}")]
        line += [f"{refused:.1%}", f"{growth.at_start[size]}, {found[-1].rss}", worst(verdicts)]
        lines.append(line)
    return rows(headings, lines)


def first(growth):
    headings = ["tenants", "keys", "weir", "events/s", "p50 ms", "p99 ms"]
    lines = []
    for size in growth.sizes:
        found = growth.found["first", size]
        figures = [median(found, what, "{:,.1f}") for what in ("cpu", "rate", "p50", "p99")]
        lines.append([f"{size.tenants:,}", f"{size.keys:,}", *figures])
    return rows(headings, lines)


def open_loop(growth):
    headings = ["requests/s", "connections", "weir", "body read only"]
    headings += ["weir, to the first", "body read, to the first", "weir's own, to the first", "p99 ms", "RSS MB", "verdict"]
    size = growth.sizes[0]
    lines = []
    for pace, all_connections in PACES.items():
        for connections in all_connections:
            cells = [growth.found["open", pace, connections, who] for who in (size, "floor")]
            bases = [growth.found["open", pace, all_connections[0], who] for who in (size, "floor")]
            lines.append([f"{pace:,}", f"{connections:,}", *beside_floor(cells, bases)])
    return rows(headings, lines)


def closed_loop(growth):
    headings = ["connections", "events/s", "weir", "body read only"]
    headings += ["weir, to the first", "body read, to the first", "weir's own, to the first", "p99 ms", "RSS MB"]
    size = growth.sizes[0]
    lines = []
    for connections in CLOSED:
        cells = [growth.found["closed", connections, who] for who in (size, "floor")]
        bases = [growth.found["closed", CLOSED[0], who] for who in (size, "floor")]
        # No verdict: with more connections more come together, and each costs less.
        lines.append([f"{connections:,}", median(cells[0], "rate", "{:,.0f}"), *beside_floor(cells, bases)[:-1]])
    return rows(headings, lines)


def beside_floor(cells, bases):
    """Cost of both, each by its own at the first size, and what weir takes beyond the other."""
    (weir, floor), (weir_base, floor_base) = cells, bases
    own = [
        (a.cpu - b.cpu) / (c.cpu - d.cpu) for a, b, c, d in zip(weir, floor, weir_base, floor_base, strict=True)
    ]
    ratios = quotients(weir, weir_base)
    return [
        spread(cpu(weir)),
        spread(cpu(floor)),
        times(ratios),
        times(quotients(floor, floor_base)),
        times(own),
        median(weir, "p99", "{:.1f}"),
        str(weir[-1].rss),
        "the floor grows, weir does not" if verdict(ratios) != "flat" and verdict(own) == "flat" else verdict(ratios),
    ]


def cpu(found):
    return [figure.cpu for figure in found]


def quotients(found, base):
    return [a.cpu / b.cpu for a, b in zip(found, base, strict=True)]


def times(values):
    return f"{statistics.median(values):.2f}x ({min(values):.2f}-{max(values):.2f})"


def median(found, what, form):
    return form.format(statistics.median(getattr(figure, what) for figure in found))


def verdict(ratios):
    return "flat" if statistics.median(ratios) <= GROWTH_MAX else "NOT FLAT"


def worst(verdicts):
    return next((each for each in verdicts if each != "flat"), "flat")
