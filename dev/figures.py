"""Figures as people read them: where and how often they were measured, and tables in Markdown, as in benches/README."""

import contextlib
import os
import platform
import statistics
import sys
from pathlib import Path

import workspace
from console import Problem, output_of, say


def headline():
    """Without the place figures are worth nothing."""
    models = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    cpu = next(models, "unknown").rpartition(":")[2].strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    rustc, commit = one_line("rustc", "--version"), one_line("git", "describe", "--always", "--dirty")
    say(f"\nMachine: {cpu}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, {rustc}")
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    say(f"Load average (1, 5, 15 minutes) before the first figure: {busy}")
    say(f"weir: {os.environ.get('WEIR_BIN') or commit + ', release build'}")
    say(f"Command: dev/river.py {' '.join(sys.argv[1:])}")


def one_line(*argv):
    with contextlib.suppress(Problem):
        return output_of(argv, "", cwd=workspace.ROOT).strip()
    return "unknown"


def measured(title, rounds, cells, measure):
    """Measures each cell so often, in turn, so that a noisy minute hits all alike, and prints a table: a row a cell, a
    column a figure, of all rounds the median, and least to most. `cells` has the arguments by heading; `measure` takes
    them and returns figures by heading. A ratio is made in its round."""
    found = {cell: [] for cell in cells}
    for number in range(rounds):
        for cell, figures in found.items():
            figures.append(measure(*cell))
            shown = ", ".join(f"{name} {number_of(value)}" for name, value in figures[-1].items())
            say(f"- round {number + 1} of {rounds}, {' '.join(map(str, cell))}: {shown}")
    # What never happened in a run, a stage say, is not among its figures.
    names = list(dict.fromkeys(name for figures in found.values() for each in figures for name in each))
    lines = (
        [*map(str, cell), *(spread([each.get(name, 0.0) for each in figures]) for name in names)]
        for cell, figures in found.items()
    )
    say(f"\n{title[0]}; median of {rounds} (least to most)\n\n{table([*title[1:], *names], lines)}")
    return found


def table(headings, lines):
    width = len(headings)
    rows = [headings, ["--:"] * width, *([*line, *[""] * (width - len(line))] for line in lines)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def spread(values):
    if len(values) == 1 or isinstance(values[0], str):
        return number_of(values[-1])
    return f"{number_of(statistics.median(values))} ({number_of(min(values))}-{number_of(max(values))})"


def number_of(value):
    """With about three digits that mean something."""
    return value if isinstance(value, str) else f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def thirds(values):
    """The medians of the second third, and of the last: in the first all is allocated that is allocated once."""
    third = len(values) // 3
    return statistics.median(values[third : 2 * third] or values), statistics.median(values[2 * third :])


def numbers(text):
    """Of an option."""
    return [int(each) for each in text.split(",")]
