"""The tables, in Markdown, as they stand in benches/README.md."""

import statistics

# Goals for weir as a multiple of the server that only reads the body, by events in a request.
GOALS = {1: 1.8, 10: 2.4, 100: 4.0}
GOAL_P99_MS = 20


def text(bench):
    parts = [
        f"CPU-seconds per million events, median of {bench.rounds} (least to most); a ratio is the median of the rounds'",
        rows(
            ["batch", "no cap", "capped", "body read only", "no cap / body read", "goal", "capped / body read"],
            (cpu_row(bench, batch) for batch in bench.batches),
        ),
        "Parts of it alone, CPU-seconds per million events: one thread from body to frames; the log fed ready frames at "
        "the same pace",
        rows(
            ["batch", "decode", "identify", "frames", "producer"],
            (parts_row(bench, batch) for batch in bench.batches),
        ),
        "Accepted events/s, median (least to most); in brackets how busy the generator's one thread was",
        rows(
            ["batch", "weir, no cap", "weir, capped", "body read only"],
            (rate_row(bench, batch) for batch in bench.batches),
        ),
        f"Latency at half of that (open loop), ms, median (least to most); goal: weir's p99 under {GOAL_P99_MS}",
        rows(
            ["batch", "events/s", "weir p50", "weir p99", "body read only p50", "body read only p99"],
            (latency_row(bench, batch) for batch in bench.batches),
        ),
    ]
    return "\n\n".join(parts)


def cpu_row(bench, batch):
    cells = [bench.http[name, batch].cpu for name in ("uncapped", "capped", "floor")]
    uncapped, capped = ([a / b for a, b in zip(cells[i], cells[2], strict=True)] for i in (0, 1))
    goal = f"{GOALS[batch]:.1f}x" if batch in GOALS else ""
    return [f"{batch:,}", *map(spread, cells), times(uncapped), goal, times(capped)]


def parts_row(bench, batch):
    steps = ([found[step] / 1000 for found in bench.parse[batch]] for step in ("decode", "identify", "frames"))
    return [f"{batch:,}", *map(spread, steps), spread(bench.producer[batch].cpu)]


def rate_row(bench, batch):
    return [f"{batch:,}", *(rate(bench.http[name, batch]) for name in ("uncapped", "capped", "floor"))]


def latency_row(bench, batch):
    cells = [
        spread([each[quantile] / 1000 for each in found[batch]])
        for found in (bench.latency, bench.floor_latency)
        for quantile in ("p50_us", "p99_us")
    ]
    return [f"{batch:,}", f"{int(statistics.median(bench.http['uncapped', batch].rate) / 2):,}", *cells]


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def times(values):
    return f"{statistics.median(values):.1f}x ({min(values):.1f}-{max(values):.1f})"


def rate(cell):
    busy = statistics.median(cell.generator)
    return f"{statistics.median(cell.rate):,.0f} ({min(cell.rate):,.0f}-{max(cell.rate):,.0f}) [{busy:.0%}]"


def rows(headings, lines):
    lines = [headings, ["--:"] * len(headings), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
