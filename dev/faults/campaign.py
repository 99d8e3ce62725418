"""`faults`: each fault once under load, everything that was promised looked at after it, and a table of what was seen.

Exit code 1 if an invariant was broken, or with mutants if one was not caught. What happened is kept in `.run/faults`,
a line of JSON for each fault; of a river that broke a promise all of it stays.
"""

import contextlib
import os
import secrets
import shutil
import subprocess

import ports
import workspace
from checks import check_cargo, check_python
from console import Problem, run_visibly, say, step
from faults import catalogue, disk, mutants, table
from faults.catalogue import ALL, CLUSTER, DISK, RUN
from faults.session import Session, noted
from faults.subject import River
from shapes import HIGHEST_OFFSET, Shape
from stores import clickhouse, kafka, postgres_place, redis
from supervisor import SIGNALS

SHAPES = (RUN, DISK, CLUSTER)
PORTS = HIGHEST_OFFSET + 1
# In `make test`: two faults at their worst moment, and two rules whose breach they show.
SMOKE = ("kill-at-log.taken", "kill-at-processor.before_commit")
SMOKE_MUTANTS = ("reply-before-durable", "no-read-back")


def add_arguments(group):
    group.add_argument("--fault", help="names, or how they begin, with commas; all of them without it")
    group.add_argument("--mutant", help="names of rules to break, with commas, or `all`: each must be caught")
    group.add_argument("--smoke", action="store_true", help="a minute's choice of faults and mutants")


def run(chosen, port):
    """On ports from `port` on, or where there is room."""
    port = port or ports.choose_block(PORTS)
    seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
    check_cargo()
    check_python()
    folder = workspace.make_folder(workspace.ROOT / ".run" / "faults")
    with workspace.locked(folder / "lock", "a fault campaign runs here already"):
        campaign = Campaign(folder, seed, port)
        if chosen.smoke:
            return campaign.smoke()
        if chosen.mutant:
            names = list(mutants.SHOWN_BY) if chosen.mutant == "all" else chosen.mutant.split(",")
            return campaign.mutants(names)
        return campaign.faults(selected(chosen.fault, chosen.shape))


def selected(names, shape):
    wanted = tuple(names.split(",")) if names else ("",)
    found = [fault for fault in ALL if fault.name.startswith(wanted) and shape in (None, fault.shape)]
    if not found:
        raise Problem(f"there is no such fault: {', '.join(sorted({fault.name for fault in ALL}))}")
    return found


class Campaign:
    def __init__(self, folder, seed, port):
        self.folder, self.seed, self.port = folder, seed, port
        self.binary = None
        self.rounds, self.skipped = [], []
        self.rivers = 0
        self.notes = folder / f"{seed}.jsonl"
        self.has_own_mounts = False

    def build(self):
        """With the feature, in the profile of tests: only weir's own crates are built again."""
        say("- building weir with its fail points and mutants")
        argv = ["cargo", "build", "-p", "weir", "--features", "faults"]
        if run_visibly(argv, cwd=workspace.ROOT) != 0:
            raise Problem("weir could not be built; cargo's message stands above")
        target = workspace.target_folder() / "debug" / "weir"
        # A copy: the next build of the same name has no fail points.
        self.binary = shutil.copy2(target, self.folder / "weir")
        check_that_it_says_so(self.binary)

    # What is run

    def faults(self, faults):
        self.begin(faults)
        for shape in SHAPES:
            self.of_shape(shape, [fault for fault in faults if fault.shape == shape])
        lines = table.of(self.rounds, self.skipped)
        self.tell(lines, "faults")
        broken = [each for each in self.rounds if each.found.broken]
        if broken:
            say(f"PROMISES WERE BROKEN, seed {self.seed}: {', '.join(each.name for each in broken)}")
            return 1
        say(f"every promise was kept, seed {self.seed}")
        return 0

    def mutants(self, names):
        unknown = [name for name in names if name not in mutants.SHOWN_BY]
        if unknown:
            raise Problem(f"no such mutant: {', '.join(unknown)}; there are {', '.join(mutants.SHOWN_BY)}")
        self.begin([fault for fault in ALL for name in names if (fault.shape, fault.name) in mutants.SHOWN_BY[name]])
        verdicts = {name: self.caught(name) for name in names}
        self.tell(table.of_mutants(verdicts), "mutants")
        escaped = [name for name, each in verdicts.items() if each is None or not each.found.broken]
        if escaped:
            say(f"NOT CAUGHT, seed {self.seed}: {', '.join(escaped)}")
            return 1
        say(f"each of {len(names)} mutants was caught, seed {self.seed}")
        return 0

    def smoke(self):
        code = self.faults([fault for fault in ALL if fault.shape == RUN and fault.name in SMOKE])
        return self.mutants(list(SMOKE_MUTANTS)) or code

    # How

    def begin(self, faults):
        if self.binary is None:
            self.build()
        if any(fault.shape == CLUSTER for fault in faults):
            kafka.check_tools()
            redis.check_tools()
        say(f"seed {self.seed}, {len(faults)} faults; notes in {workspace.shown(self.notes)}")

    def of_shape(self, shape, faults):
        """All of them on one river, as long as it keeps its promises."""
        at_hand = list(faults)
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

    def caught(self, mutant):
        """The round that has shown the mutant, or the last one that has not."""
        each = None
        for shape, name in mutants.SHOWN_BY[mutant]:
            (fault,) = (fault for fault in ALL if (fault.shape, fault.name) == (shape, name))
            say(f"- mutant {mutant}")
            with self.session(shape, mutant) as session:
                each = session.round(fault)
                self.note(each, mutant)
                # A fault that did not take place has shown nothing.
                if any(violations for name, (_, violations) in each.found.counts.items() if name != "F"):
                    return each
        return each

    @contextlib.contextmanager
    def session(self, shape_name, mutant=None):
        shape = Shape(shape_name == CLUSTER, self.port)
        shape.starts_postgres = shape.starts_clickhouse = True
        shape.has_proxies = True
        shape.starts_kafka = shape.starts_redis = shape.is_cluster
        ports.check_free({self.port + offset: "the campaign" for offset in range(PORTS)})
        self.rivers += 1
        folder = self.folder / f"{self.seed}-{self.rivers}-{mutant or shape_name}"
        remove(folder)
        for name in ("log", "journals"):
            workspace.make_folder(folder / name)
        own = self.own_disks(folder) if shape_name == DISK else ()
        session = Session(River(folder, shape, self.binary, mutant), self.seed, own, mutant)
        before = len(self.rounds)
        try:
            with step(f"starting a river: {shape_name}"):
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
        with open(self.notes, "a") as file:
            file.write(noted(each, self.seed, mutant) + "\n")

    def tell(self, lines, what):
        say()
        for line in [*lines, "", table.LEGEND]:
            say(line)
        text = "\n".join([*lines, "", table.LEGEND, ""])
        workspace.write_atomically(self.folder / f"{self.seed}-{what}.md", text, mode=0o644)


def check_that_it_says_so(binary):
    """Nobody is to run such a build by mistake."""
    env = {name: value for name, value in os.environ.items() if name != "WEIR_FAULTS"}
    words = "--version", "config"
    version, config = (subprocess.run([binary, word], env=env, capture_output=True, text=True) for word in words)
    if "with faults" not in version.stdout or config.returncode != 64 or "WEIR_FAULTS" not in config.stderr:
        raise Problem(f"a build with fail points passes for another: {version.stdout}", config.stderr)


def remove(folder):
    postgres_place.remove(folder / "postgres")
    shutil.rmtree(folder, ignore_errors=True)
