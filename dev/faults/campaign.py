"""`faults`: each fault once under load, everything that was promised looked at after it, and a table of what was seen.

Exit code 1 if an invariant was broken, or with mutants if one was not caught. What happened is kept in `.run/faults`,
a line of JSON for each fault; of a river that broke a promise all of it stays.
"""

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import subprocess

import ports
import running
import workspace
from audit import INVARIANTS
from console import Problem, say
from faults import disk
from faults.catalogue import ALL, CLUSTER, DISK, RUN, SHAPES
from faults.session import Session
from shapes import PORTS, Shape
from stores import clickhouse
from subject import remove
from supervisor import SIGNALS

# In `make test`: two faults at their worst moment, and two rules whose breach they show.
SMOKE = ("kill-at-log.taken", "kill-at-processor.before_commit")
SMOKE_MUTANTS = ("reply-before-durable", "no-read-back")
# Rules broken on purpose: shape and name of each fault that may show it, in the order in which they are tried. A
# campaign that stays green with one of these proves nothing.
MUTANTS = {
    "reply-before-durable": ((RUN, "kill-at-log.taken"), (RUN, "kill-at-log.taken")),
    "commit-before-insert": ((RUN, "kill-at-processor.before_insert"),),
    "no-cas": ((CLUSTER, "zombie-at-processor.before_commit"),),
    "no-dedup": ((RUN, "kill-weir"),),
    "clickhouse-token": ((RUN, "kill-at-processor.before_commit"), (RUN, "kill-at-processor.after_insert")),
    "no-read-back": ((RUN, "kill-at-processor.before_commit"),),
    "now-in-row": ((CLUSTER, "zombie-at-processor.before_insert"),),
    "quota-in-memory": ((RUN, "kill-weir"),),
    "log-without-fsync": ((DISK, "power-cut"), (DISK, "power-cut")),
    "unbounded-queue": ((RUN, "bodies-held-back"),),
}
LEGEND = ", ".join(f"{name}: {what}" for name, what in INVARIANTS.items())


def add_arguments(parser):
    parser.add_argument("--shape", choices=SHAPES, help="faults of this shape only")
    parser.add_argument("--seed", type=int, help="of moments and victims; random, and told, without it")
    parser.add_argument("--fault", help="names, or how they begin, with commas; all of them without it")
    parser.add_argument("--mutant", help="names of rules to break, with commas, or `all`: each must be caught")
    parser.add_argument("--smoke", action="store_true", help="a minute's choice of faults and mutants")


def run(chosen):
    folder = workspace.make_folder(workspace.ROOT / ".run" / "faults")
    with workspace.locked(folder / "lock", "a fault campaign runs here already"):
        campaign = Campaign(folder, chosen)
        if chosen.smoke:
            code = campaign.faults([fault for fault in ALL if fault.shape == RUN and fault.name in SMOKE])
            return campaign.mutants(SMOKE_MUTANTS) or code
        if chosen.mutant:
            return campaign.mutants(list(MUTANTS) if chosen.mutant == "all" else chosen.mutant.split(","))
        return campaign.faults(selected(chosen.fault, chosen.shape))


def selected(names, shape):
    wanted = tuple(names.split(",")) if names else ("",)
    found = [fault for fault in ALL if fault.name.startswith(wanted) and shape in (None, fault.shape)]
    if not found:
        raise Problem(f"there is no such fault: {', '.join(sorted({fault.name for fault in ALL}))}")
    return found


class Campaign:
    def __init__(self, folder, chosen):
        self.folder = folder
        self.seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
        self.port = chosen.port or ports.choose_block(PORTS)
        self.binary = None
        self.rounds, self.skipped = [], []
        self.rivers = 0
        self.notes = folder / f"{self.seed}.jsonl"
        self.has_own_mounts = False

    def begin(self, faults):
        has_cluster = any(fault.shape == CLUSTER for fault in faults)
        running.check_tools(has_cluster, has_cluster)
        if self.binary is None:
            say("- building weir with its fail points and mutants")
            built = running.cargo_build("debug", "--features", "faults")
            # A copy: the next build of the same name has no fail points.
            self.binary = shutil.copy2(built, self.folder / "weir")
            check_that_it_says_so(self.binary)
        say(f"seed {self.seed}, {len(faults)} faults; notes in {workspace.shown(self.notes)}")

    def faults(self, faults):
        self.begin(faults)
        for shape in SHAPES:
            self.of_shape(shape, [fault for fault in faults if fault.shape == shape])
        self.tell(table(self.rounds, self.skipped), "faults")
        broken = [each for each in self.rounds if each.found.broken]
        if broken:
            say(f"PROMISES WERE BROKEN, seed {self.seed}: {', '.join(each.name for each in broken)}")
            return 1
        say(f"every promise was kept, seed {self.seed}")
        return 0

    def of_shape(self, shape, at_hand):
        """All of them on one river, as long as it keeps its promises."""
        while at_hand:
            try:
                with self.session(shape) as session:
                    while at_hand:
                        self.note(session.round(at_hand.pop(0)))
                        if self.rounds[-1].found.broken:
                            break
                    else:
                        self.note(session.last_look())
            except disk.CannotMount as why:
                self.skipped += [(fault, str(why)) for fault in at_hand]
                say(f"! skipped, because {why}: {', '.join(fault.name for fault in at_hand)}")
                return

    def mutants(self, names):
        unknown = [name for name in names if name not in MUTANTS]
        if unknown:
            raise Problem(f"no such mutant: {', '.join(unknown)}; there are {', '.join(MUTANTS)}")
        by_name = {(fault.shape, fault.name): fault for fault in ALL}
        shown_by = {name: [by_name[place] for place in MUTANTS[name]] for name in names}
        self.begin([fault for faults in shown_by.values() for fault in faults])
        verdicts = {name: self.caught(name, faults) for name, faults in shown_by.items()}
        self.tell(table_of_mutants(verdicts), "mutants")
        escaped = [name for name, each in verdicts.items() if each is None]
        if escaped:
            say(f"NOT CAUGHT, seed {self.seed}: {', '.join(escaped)}")
            return 1
        say(f"each of {len(names)} mutants was caught, seed {self.seed}")
        return 0

    def caught(self, mutant, faults):
        """The round that has shown the mutant."""
        for fault in faults:
            say(f"- mutant {mutant}")
            with self.session(fault.shape, mutant) as session:
                each = session.round(fault)
                self.note(each, mutant)
                # A fault that did not take place has shown nothing.
                if any(violations for name, (_, violations) in each.found.counts.items() if name != "F"):
                    return each
        return None

    @contextlib.contextmanager
    def session(self, shape_name, mutant=None):
        shape = Shape.of_its_own(shape_name == CLUSTER, self.port, has_proxies=True)
        ports.check_free({self.port + offset: "the campaign" for offset in range(PORTS)})
        self.rivers += 1
        folder = self.folder / f"{self.seed}-{self.rivers}-{mutant or shape_name}"
        remove(folder)
        workspace.make_folder(folder / "log")
        disks = self.own_disks(folder) if shape_name == DISK else ()
        session = Session(folder, shape, self.binary, self.seed, disks, mutant)
        before = len(self.rounds)
        try:
            session.start()
            yield session
        finally:
            SIGNALS.ignore()
            session.end()
            SIGNALS.take()
        if mutant or not any(each.found.broken for each in self.rounds[before:]):
            remove(folder)
        else:
            say(f"- its river stays in {workspace.shown(folder)}")

    def own_disks(self, folder):
        if not self.has_own_mounts:
            disk.has_own_mounts()
            self.has_own_mounts = True
        places = "data", clickhouse.data_folder(folder).name
        return [disk.Disk(folder / f"{place}.image", folder / place) for place in places]

    def note(self, each, mutant=None):
        if mutant is None:
            self.rounds.append(each)
        found = each.found
        verdict = "BROKEN" if found.broken else "kept"
        say(
            f"  {each.name:<36} {each.shape:<8} {found.acknowledged:>7} acknowledged, {found.unknown:>6} unknown,"
            f" lag {found.lag_seconds:>4.1f} s, {each.took_seconds:>4.0f} s in all: {verdict}"
        )
        for text in found.broken[:6]:
            say(f"        {text[:600]}")
        entry = {"seed": self.seed, "mutant": mutant, "fault": each.name, "shape": each.shape}
        entry |= {"seconds": round(each.took_seconds, 1), **dataclasses.asdict(found)}
        with open(self.notes, "a") as file:
            file.write(json.dumps(entry) + "\n")

    def tell(self, lines, what):
        text = "\n".join([*lines, "", LEGEND, ""])
        say(f"\n{text}")
        workspace.write_atomically(self.folder / f"{self.seed}-{what}.md", text, mode=0o644)


def check_that_it_says_so(binary):
    """Nobody is to run such a build by mistake."""
    env = {name: value for name, value in os.environ.items() if name != "WEIR_FAULTS"}
    words = "--version", "config"
    version, config = (subprocess.run([binary, word], env=env, capture_output=True, text=True) for word in words)
    if "with faults" not in version.stdout or config.returncode != 64 or "WEIR_FAULTS" not in config.stderr:
        raise Problem(f"a build with fail points passes for another: {version.stdout}", config.stderr)


def table(rounds, skipped):
    """A row a fault, a column an invariant; `checks` where it held, `violations/checks` where it did not."""
    lines = [
        f"| fault | shape | acknowledged | unknown at first | lag s | {' | '.join(INVARIANTS)} |",
        f"|---|---|--:|--:|--:|{'--:|' * len(INVARIANTS)}",
    ]
    for each in rounds:
        cells = [cell(*each.found.counts.get(name, (0, 0))) for name in INVARIANTS]
        figures = f"{each.found.acknowledged:,} | {each.found.unknown:,} | {each.found.lag_seconds:.0f}"
        lines.append(f"| {each.name} | {each.shape} | {figures} | {' | '.join(cells)} |")
    lines += [
        f"| {fault.name} | {fault.shape} | skipped: {why} |" + " |" * (len(INVARIANTS) + 2) for fault, why in skipped
    ]
    totals = [
        map(sum, zip(*(each.found.counts.get(name, (0, 0)) for each in rounds), strict=True)) for name in INVARIANTS
    ]
    acknowledged, unknown = (sum(getattr(each.found, what) for each in rounds) for what in ("acknowledged", "unknown"))
    cells = " | ".join(cell(*both) for both in totals) if rounds else ""
    lines.append(f"| all | | {acknowledged:,} | {unknown:,} | | {cells} |")
    return lines


def cell(checks, violations):
    if not checks:
        return "-"
    return f"**{violations}/{checks}**" if violations else f"{checks}"


def table_of_mutants(verdicts):
    lines = ["| mutant | caught by the fault | with | first violation |", "|---|---|---|---|"]
    for mutant, each in verdicts.items():
        if each is None:
            lines.append(f"| {mutant} | **NOT CAUGHT** | | |")
            continue
        broken = ", ".join(name for name in INVARIANTS if each.found.counts.get(name, (0, 0))[1])
        first = each.found.broken[0].replace("|", "/")[:160]
        lines.append(f"| {mutant} | {each.name} ({each.shape}) | {broken} | {first} |")
    return lines
