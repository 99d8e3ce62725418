"""The verdict: the last third of the samples against the second; the first is for warming up."""

import statistics

# What the last third may have more than the second.
GROWTH_MAX = 0.10
# Below so little a growth is no growth: a descriptor more or less, a page of an allocator.
DESCRIPTORS_SLACK = 3
BYTES_SLACK = 2 << 20
# Seconds of load that may be under way between a reply and the rows.
BACKLOG_SECONDS_MAX = 10
P99_NAMES = {"passing-1": "batch 1", "passing-10": "batch 10"}


def headings(river):
    names = " ".join(f"{name:>18}" for name, _, _ in river.shape.roles())
    return f"{'s':>5} {'events/s':>9} {'behind':>8} {'p99 ms, batch 1, 10':>20} {names}   (MB/descriptors/threads)"


def line(found, before, begin):
    rate = (found.accepted - before.accepted) / (found.at - before.at)
    p99 = ", ".join(f"{found.p99_ms.get(lane, 0):.0f}" for lane in P99_NAMES)
    cells = " ".join(f"{p.rss >> 20}/{p.descriptors}/{p.threads}".rjust(18) for p in found.processes.values())
    return f"{found.at - begin:>5.0f} {rate:>9,.0f} {found.backlog:>8,} {p99:>20} {cells}"


class Verdict:
    def __init__(self, samples, rate):
        third = len(samples) // 3
        self.second, self.last = samples[third : 2 * third], samples[2 * third :]
        self.rate = rate
        self.broken = []
        self.proof = ""
        self.p99_ms = {}
        self.rows = [self.row(name) for name in samples[-1].processes]
        self.behind = self.backlog()

    def row(self, name):
        # What the ids take is what weir counts, so of a processor that holds many a tenth of all is what can be told apart.
        slack = max(BYTES_SLACK, GROWTH_MAX * self.medians(name, lambda p: p.rss)[0])
        memory = self.compare(name, "memory", lambda p: p.flat_bytes, slack)
        descriptors = self.compare(name, "descriptors", lambda p: p.descriptors, DESCRIPTORS_SLACK)
        threads = self.medians(name, lambda p: p.threads)
        ids, bytes_of_ids = (self.medians(name, get)[1] for get in (lambda p: p.ids, lambda p: p.ids_bytes))
        held = f"{ids:,.0f}: {bytes_of_ids / (1 << 20):.0f} MB, {bytes_of_ids / ids:.0f} B each" if ids else ""
        cells = [
            pair(memory, lambda value: f"{value / (1 << 20):.1f}"),
            pair(descriptors, lambda value: f"{value:.0f}"),
            pair(threads, lambda value: f"{value:.0f}"),
            held,
        ]
        return [name, *cells]

    def compare(self, name, what, get, slack):
        second, last = self.medians(name, get)
        if last > second * (1 + GROWTH_MAX) and last - second > slack:
            self.broken.append(f"{name}: {what} grew from {second:,.0f} to {last:,.0f}")
        return second, last

    def medians(self, name, get):
        return [statistics.median(get(each.processes[name]) for each in third) for third in (self.second, self.last)]

    def backlog(self):
        worst = max(each.backlog for each in [*self.second, *self.last]) / self.rate
        second, last = (statistics.median(each.backlog for each in third) for third in (self.second, self.last))
        if worst > BACKLOG_SECONDS_MAX:
            self.broken.append(f"what was accepted was up to {worst:.1f} s from being processed")
        return f"accepted, not processed yet: {second / self.rate:.2f}, {last / self.rate:.2f} s of load; {worst:.2f} at most"

    def text(self):
        headings = ["process", "RSS without ids, MB", "descriptors", "threads", "ids held (by design)"]
        table = [headings, ["--", *["--:"] * (len(headings) - 1)], *self.rows]
        p99 = ", ".join(f"{name} {value:.1f}" for name, value in sorted(self.p99_ms.items()))
        lines = [
            "Median of the second third of the time, and of the last:",
            "",
            *("| " + " | ".join(row) + " |" for row in table),
            "",
            self.behind,
            f"p99 over all of the time, ms: {p99}",
            self.proof,
            *(f"BROKEN: {text}" for text in self.broken),
            "" if self.broken else "flat, and every event stored once",
        ]
        return "\n".join(lines)


def pair(values, show):
    second, last = values
    change = f" ({(last - second) / second:+.1%})" if second else ""
    return f"{show(second)}, {show(last)}{change}"
