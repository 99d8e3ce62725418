"""The tables of a processor, in Markdown."""

import statistics

from bench.table import rows

# Our own CPU, as a multiple of the floor's, and in seconds a million events.
GOAL_RATIO = 2.0
GOAL_CPU = 4.0
# That are listed, of those in which most samples were taken.
FUNCTIONS = 16


def text(bench):
    stages = sorted({stage for cell in bench.cells for run in cell.runs for stage in run.stages})
    stores = list(bench.cells[0].runs[0].stores)
    parts = [
        f"CPU-seconds per million, median of {bench.chosen.rounds}: of weir and of the stores per event, of the floor "
        f"per row. Goals: weir at most {GOAL_CPU:.0f}, and at most {GOAL_RATIO:.0f} times what the client takes that "
        "checks types",
        rows(
            ["batch", "duplicates", "events/s", "MB/s", "rows a block", "weir", "floor", "weir / floor"]
            + ["floor, unchecked", *stores, "ClickHouse at the floor", "floor rows/s"],
            (cpu_row(cell, stores) for cell in bench.cells),
        ),
        "Seconds on the clock per million events, by stage, as the processor's own metric has them",
        rows(
            ["batch", "duplicates", *stages, "the shim receives rows", "all, by the clock"],
            (stage_row(cell, stages) for cell in bench.cells),
        ),
    ]
    if bench.chosen.profile:
        parts += ["CPU-seconds per million events, by stage, from samples of its stacks", profile_table(bench)]
        parts += [functions_table(cell) for cell in bench.cells]
    return "\n\n".join(parts)


def cpu_row(cell, stores):
    runs, floors = cell.runs, cell.floors
    weir = [run.cpu / run.events * 1e6 for run in runs]
    checked, unchecked = (
        [f[name]["cpu_ms"] * 1e3 / f[name]["rows"] for f in floors] for name in ("checked", "unchecked")
    )
    payload = cell.filled["payload_bytes"] / 1e6
    return [
        *name(cell),
        f"{statistics.median(run.events / run.elapsed for run in runs):,.0f}",
        f"{statistics.median(payload / run.elapsed for run in runs):.0f}",
        f"{statistics.median(run.stored / max(1, run.batches) for run in runs):,.0f}",
        span(weir),
        span(checked),
        f"{statistics.median(a / b for a, b in zip(weir, checked, strict=True)):.2f}x",
        span(unchecked),
        *(f"{statistics.median(run.stores[store] / run.events * 1e6 for run in runs):.2f}" for store in stores),
        f"{statistics.median(f['checked']['clickhouse'] / f['checked']['rows'] * 1e6 for f in floors):.2f}",
        f"{statistics.median(f['checked']['rows'] * 1e3 / f['checked']['elapsed_ms'] for f in floors):,.0f}",
    ]


def stage_row(cell, stages):
    cells = (statistics.median(run.stages.get(stage, 0) / run.events * 1e6 for run in cell.runs) for stage in stages)
    whole = statistics.median(run.elapsed / run.events * 1e6 for run in cell.runs)
    received = statistics.median(run.received / run.events * 1e6 for run in cell.runs)
    return [*name(cell), *(f"{value:.2f}" for value in cells), f"{received:.2f}", f"{whole:.2f}"]


def profile_table(bench):
    stages = sorted({stage for cell in bench.cells for run in cell.runs for stage in run.profile[0]})
    lines = []
    for cell in bench.cells:
        seconds = (
            statistics.median(run.profile[0].get(stage, 0) / run.events * 1e6 for run in cell.runs) for stage in stages
        )
        lines.append([*name(cell), *(f"{value:.2f}" for value in seconds)])
    return rows(["batch", "duplicates", *stages], lines)


def functions_table(cell):
    run = cell.runs[-1]
    first = sorted(run.profile[1].items(), key=lambda item: -item[1])[:FUNCTIONS]
    lines = ([stage, f"`{function[:90]}`", f"{seconds / run.events * 1e6:.3f}"] for (stage, function), seconds in first)
    return rows(["stage", f"where the CPU was, batches of {cell.batch}", "CPU-s a million"], lines)


def name(cell):
    return [f"{cell.batch:,}", f"{cell.duplicates} %"]


def span(values):
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
