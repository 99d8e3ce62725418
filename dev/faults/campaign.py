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
import weir
import workspace
from audit import INVARIANTS
from console import Problem, say
from faults import disk
from faults.session import Round, Session
from faults.catalogue import ALL, BY_PLACE, CLUSTER, DISK, MUTANTS, SHAPES, SMOKE, SMOKE_MUTANTS
from figures import table
from processes import SIGNALS
from shapes import PORTS
from stores import clickhouse
from subject import remove

LEGEND = ", ".join(f"{name}: {what}" for name, what in INVARIANTS.items())
HEADINGS = ["fault", "shape", "acknowledged", "unknown at first", "lag s", *INVARIANTS]


def add_arguments(parser):
    parser.add_argument("--shape", choices=SHAPES, help="faults of this shape only")
    parser.add_argument("--seed", type=int, help="of moments and victims; without it random, and printed")
    parser.add_argument("--fault", default="", help="names, or how they begin, with commas; all of them without it")
    parser.add_argument("--mutant", help="names of rules to break, with commas, or `all`: each must be caught")
    parser.add_argument("--smoke", action="store_true", help="a minute's choice of faults and mutants")


def run(chosen):
    folder = workspace.make_folder(workspace.ROOT / ".run" / "faults")
    with workspace.locked(folder / "lock", "a fault campaign runs here already"):
        campaign = Campaign(folder, chosen)
        if chosen.smoke:
            code = campaign.faults([BY_PLACE[place] for place in SMOKE])
            return campaign.mutants(SMOKE_MUTANTS) or code
        if chosen.mutant:
            return campaign.mutants(list(MUTANTS) if chosen.mutant == "all" else chosen.mutant.split(","))
        wanted = tuple(chosen.fault.split(","))
        found = [each for each in ALL if each.name.startswith(wanted) and chosen.shape in (None, each.shape)]
        if not found:
            raise Problem(f"there is no such fault: {', '.join(sorted({each.name for each in ALL}))}")
        return campaign.faults(found)


class Campaign:
    def __init__(self, folder, chosen):
        self.folder = folder
        self.seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
        self.port = chosen.port or ports.choose_block(PORTS)
        self.notes = folder / f"{self.seed}.jsonl"
        # A line of the table for each fault, and the names of those that broke something.
        self.binary, self.lines, self.counted, self.broken = None, [], [], []
        self.rivers = 0

    def begin(self, faults):
        weir.check_tools(is_cluster=any(fault.shape == CLUSTER for fault in faults))
        if self.binary is None:
            # A copy: the next build of the same name has no fail points.
            self.binary = shutil.copy2(weir.built("debug", "--features", "faults"), self.folder / "weir")
            check_that_it_says_so(self.binary)
        say(f"seed {self.seed}, {len(faults)} faults; notes in {workspace.shown(self.notes)}")

    def faults(self, faults):
        self.begin(faults)
        for shape in SHAPES:
            self.of_shape(shape, [fault for fault in faults if fault.shape == shape])
        self.publish("faults", HEADINGS, [*self.lines, self.sums()])
        return self.verdict("PROMISES WERE BROKEN", self.broken, "every promise was kept")

    def of_shape(self, shape, at_hand):
        """All of them on one river, as long as it keeps its promises."""
        while at_hand:
            try:
                with self.session(shape) as session:
                    while at_hand and not session.is_broken:
                        fault = at_hand.pop(0)
                        self.note(Round(session, fault).found, fault, session)
                    if not session.is_broken:
                        self.note(session.last_look(), None, session)
            except disk.CannotMount as why:
                say(f"! skipped, because {why}: {', '.join(fault.name for fault in at_hand)}")
                self.lines += [[fault.name, fault.shape, f"skipped: {why}"] for fault in at_hand]
                return

    def mutants(self, names):
        unknown = [name for name in names if name not in MUTANTS]
        if unknown:
            raise Problem(f"no such mutant: {', '.join(unknown)}; there are {', '.join(MUTANTS)}")
        shown_by = {name: [BY_PLACE[place] for place in MUTANTS[name]] for name in names}
        self.begin([fault for faults in shown_by.values() for fault in faults])
        lines = [self.caught(name, faults) for name, faults in shown_by.items()]
        self.publish("mutants", ["mutant", "caught by the fault", "with", "first violation"], lines)
        escaped = [line[0] for line in lines if len(line) == 2]
        return self.verdict("NOT CAUGHT", escaped, f"each of {len(names)} mutants was caught")

    def caught(self, mutant, faults):
        """A line of the table."""
        for fault in faults:
            say(f"- mutant {mutant}")
            with self.session(fault.shape, mutant) as session:
                found = Round(session, fault).found
                self.note(found, fault, session)
                broken = [name for name in INVARIANTS if found.counts.get(name, (0, 0))[1]]
                # A fault that did not take place has shown nothing.
                if set(broken) - {"F"}:
                    first = found.broken[0].replace("|", "/")[:160]
                    return [mutant, f"{fault.name} ({fault.shape})", ", ".join(broken), first]
        return [mutant, "**NOT CAUGHT**"]

    @contextlib.contextmanager
    def session(self, shape, mutant=None):
        ports.check_free({self.port + place: "the campaign" for place in range(PORTS)})
        self.rivers += 1
        folder = self.folder / f"{self.seed}-{self.rivers}-{mutant or shape}"
        remove(folder)
        workspace.make_folder(folder / "log")
        places = (folder / "data", clickhouse.data_folder(folder)) if shape == DISK else ()
        disks = [disk.Disk(place) for place in places]
        session = Session(folder, shape == CLUSTER, self.port, self.binary, self.seed, disks, mutant)
        try:
            session.start()
            yield session
        finally:
            SIGNALS.ignore()
            session.end()
            SIGNALS.take()
        if session.is_broken and not mutant:
            say(f"- its river stays in {workspace.shown(folder)}")
        else:
            remove(folder)

    def note(self, found, fault, session):
        """Says and keeps what was found."""
        name, shape = (fault.name, fault.shape) if fault else ("(all of it once more)", "")
        say(
            f"  {name:<36} {shape:<8} {found.acknowledged:>7} acknowledged, {found.unknown:>6} unknown,"
            f" lag {found.lag_seconds:>4.1f} s: {'BROKEN' if found.broken else 'kept'}"
        )
        for text in found.broken[:6]:
            say(f"        {text[:600]}")
        entry = {"seed": self.seed, "mutant": session.mutant, "fault": name, "shape": shape}
        with open(self.notes, "a") as file:
            file.write(json.dumps(entry | dataclasses.asdict(found)) + "\n")
        session.is_broken = bool(found.broken)
        if not session.mutant:
            self.broken += [name] if found.broken else []
            figures = [found.acknowledged, found.unknown, found.lag_seconds]
            counts = [found.counts.get(invariant, (0, 0)) for invariant in INVARIANTS]
            self.lines.append([name, shape, *cells(figures, counts)])
            self.counted.append((figures, counts))

    def sums(self):
        """The table's last line."""
        figures, counts = zip(*self.counted, strict=True) if self.counted else ([], [])
        sums = [tuple(map(sum, zip(*of_one, strict=True))) for of_one in zip(*counts, strict=True)]
        return ["all", "", *cells([sum(each) for each in zip(*figures, strict=True)], sums)]

    def verdict(self, bad, names, good):
        say(f"{bad}, seed {self.seed}: {', '.join(names)}" if names else f"{good}, seed {self.seed}")
        return 1 if names else 0

    def publish(self, what, headings, lines):
        text = f"{table(headings, lines)}\n\n{LEGEND}\n"
        say(f"\n{text}")
        workspace.write_atomically(self.folder / f"{self.seed}-{what}.md", text, mode=0o644)


def cells(figures, counts):
    """Of an invariant `checks` where it held, `violations/checks` where it did not."""
    shown = [f"{each:,.0f}" for each in figures]
    return shown + [f"**{broken}/{checks}**" if broken else str(checks or "-") for checks, broken in counts]


def check_that_it_says_so(binary):
    """Nobody is to run such a build by mistake."""
    env = {name: value for name, value in os.environ.items() if name != "WEIR_FAULTS"}
    words = "--version", "config"
    version, config = (subprocess.run([binary, word], env=env, capture_output=True, text=True) for word in words)
    if "with faults" not in version.stdout or config.returncode != 64 or "WEIR_FAULTS" not in config.stderr:
        raise Problem(f"a build with fail points passes for another: {version.stdout}", config.stderr)
