"""The table: a row a fault, a column an invariant; `checks` where it held, `violations/checks` where it did not."""

from faults.invariants import NAMES

LEGEND = ", ".join(f"{name}: {what}" for name, what in NAMES.items())


def of(rounds, skipped):
    lines = [
        f"| fault | shape | acknowledged | unknown at first | lag s | {' | '.join(NAMES)} |",
        f"|---|---|--:|--:|--:|{'--:|' * len(NAMES)}",
    ]
    for each in rounds:
        cells = [cell(*each.found.counts.get(name, (0, 0))) for name in NAMES]
        figures = f"{each.found.acknowledged:,} | {each.found.unknown:,} | {each.found.lag_seconds:.0f}"
        lines.append(f"| {each.name} | {each.shape} | {figures} | {' | '.join(cells)} |")
    lines += [f"| {fault.name} | {fault.shape} | skipped: {why} |" + " |" * (len(NAMES) + 2) for fault, why in skipped]
    totals = [[sum(each.found.counts.get(name, (0, 0))[part] for each in rounds) for part in (0, 1)] for name in NAMES]
    acknowledged, unknown = (sum(getattr(each.found, what) for each in rounds) for what in ("acknowledged", "unknown"))
    lines.append(f"| all | | {acknowledged:,} | {unknown:,} | | {' | '.join(cell(*both) for both in totals)} |")
    return lines


def cell(checks, violations):
    if not checks:
        return "-"
    return f"**{violations}/{checks}**" if violations else f"{checks}"


def of_mutants(verdicts):
    lines = ["| mutant | caught by the fault | with | first violation |", "|---|---|---|---|"]
    for mutant, each in verdicts.items():
        if each is None or not each.found.broken:
            lines.append(f"| {mutant} | **NOT CAUGHT** | | |")
            continue
        counts = each.found.counts
        broken = ", ".join(name for name in NAMES if counts.get(name, (0, 0))[1])
        first = each.found.broken[0].replace("|", "/")[:160]
        lines.append(f"| {mutant} | {each.name} ({each.shape}) | {broken} | {first} |")
    return lines
