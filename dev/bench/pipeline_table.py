"""The table of a pipeline, in Markdown."""

from bench.table import rows

# Events a second in requests of a hundred.
GOAL_RATE, GOAL_BATCH = 150_000, 100


def text(shape, found):
    """`found`: what each batch's highest rate came to."""
    processes = list(next(iter(found.values())).cpu)
    lines = (line(batch, each, processes) for batch, each in found.items())
    headings = ["batch", "goal", "events/s", "lag p50 s", "p99", "most", "HTTP p99 ms", *processes, "all", "cores busy"]
    return "\n\n".join(
        [
            f"{shape}: the highest rate at which every event was stored and metered soon after its acceptance, and "
            "CPU-seconds per million events of each process",
            rows(headings, lines),
        ]
    )


def line(batch, found, processes):
    return [
        f"{batch:,}",
        f"{GOAL_RATE:,}" if batch == GOAL_BATCH else "",
        f"{found.accepted_per_second:,.0f}" if found.holds else f"less than {found.rate:,}",
        *(f"{value:.2f}" for value in (found.lag.p50, found.lag.p99, found.lag.most)),
        f"{found.p99_ms:.0f}",
        *(f"{found.cpu[name]:.2f}" for name in processes),
        # A name with a space is a part of the one before it.
        f"{sum(seconds for name, seconds in found.cpu.items() if ' ' not in name):.2f}",
        f"{found.cores:.1f}",
    ]
