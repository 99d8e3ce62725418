"""`fuzz`: libFuzzer on one target of `fuzz/`, or, as a part of `test`, on each for a few seconds.

Stable Rust, and the dependencies that the tests have built already: only what is fuzzed is compiled with libFuzzer's
counters, by `fuzz/instrument`. libFuzzer itself is C++: without a compiler for that, the corpora are replayed alone.

A target's corpus is `fuzz/corpus/TARGET/`, inputs whose names say what they are, and `fuzz/corpus/TARGET.inputs`, one
archive of those that libFuzzer has found: each its length (four bytes, the lowest first) and its bytes, in the order
of their SHA-1, which is what libFuzzer names a file by. What a longer run finds is kept below `.run/fuzz`; the archive
changes only by hand (`--merge`).
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import tools
import workspace
from console import Problem, run_visibly, say, step, warn

FUZZ = workspace.ROOT / "fuzz"
TARGETS = ["body", "decompressor", "frame", "key", "header", "evidence"]
# What CI runs is the same every time, up to where the seconds end.
SEED = 1
SHORT_SECONDS = 10
# An input takes a millisecond; the timeout is by the clock on the wall, also on a machine that is busy.
LIMITS = ["-max_len=16384", "-rss_limit_mb=1024", "-timeout=60"]
CARGO = ["--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target"]
# Other than what `cargo test` builds, so that neither takes the other's crates, with or without counters, for its own.
FUZZED = ["decode", "evidence", "ingest", "schemas"]
APART = [f"--config=profile.dev.package.{crate}.codegen-units=1" for crate in FUZZED]
BUILD = ["cargo", "build", "--quiet", *CARGO, "--bins", *APART]
COUNTERS = {"RUSTC_WRAPPER": str(FUZZ / "instrument")}
REPLAY = ["cargo", "test", "--quiet", *CARGO, "--no-default-features"]
LINTS = [
    ["cargo", "fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"],
    ["cargo", "clippy", *CARGO, "--no-default-features", "--all-targets", "--", "-D", "warnings"],
]
NO_CXX = "a C++ compiler is missing: install it (Debian and Ubuntu: apt-get install g++)"


def add_arguments(parser):
    parser.add_argument("target", nargs="?", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--merge", action="store_true", help="renew the archive of inputs from what runs have found")


def fuzz(chosen):
    """`make fuzz`: one target for so long, from the committed corpus and what earlier runs have found."""
    tools.check_cargo()
    if chosen.target is None:
        raise Problem(f"name one target with TARGET=...: {', '.join(TARGETS)}")
    if not has_cxx():
        raise Problem(NO_CXX)
    if run_visibly(BUILD, cwd=workspace.ROOT, env={**os.environ, **COUNTERS}) != 0:
        raise Problem("the fuzz targets could not be built")
    found = workspace.make_folder(workspace.RUN / "fuzz" / chosen.target)
    if chosen.merge:
        return merge(chosen.target, found)
    return run(chosen.target, found, [f"-max_total_time={chosen.seconds}"])


def short(perform):
    """Replays the corpora and fuzzes each target a little; `perform` runs a command and returns its exit code."""
    check_locks()
    if not has_cxx():
        warn(NO_CXX, "Without it nothing is fuzzed, the corpora are replayed.")
        return perform(REPLAY)
    code = perform(BUILD, COUNTERS)
    for target in TARGETS if code == 0 else ():
        options = [f"-max_total_time={SHORT_SECONDS}", f"-seed={SEED}"]
        # What is found must not make the next run another one.
        with step(f"fuzzing {target}"), tempfile.TemporaryDirectory() as found, tempfile.TemporaryFile("w+") as output:
            code = run(target, found, options, stdout=output, stderr=subprocess.STDOUT)
            output.seek(0)
            # All from the failure on, or how many inputs there were.
            pattern = r"^stat::number_of_executed_units.*" if code == 0 else r"^[^\n]*(panicked at|ERROR).*\Z"
            shown = re.search(pattern, output.read(), re.MULTILINE | (re.DOTALL if code else 0))
            say(f"  {shown[0] if shown else 'nothing that could be understood'}")
        if code != 0:
            break
    return code


def check_locks():
    """What is fuzzed is what is shipped, and is built once for both."""
    ours, theirs = (versions(folder / "Cargo.lock") for folder in (FUZZ, workspace.ROOT))
    others = sorted(name for name in ours.keys() & theirs.keys() if not ours[name] <= theirs[name])
    if others:
        raise Problem(
            f"fuzz/Cargo.lock has other versions than Cargo.lock, of {', '.join(others)}: copy Cargo.lock to fuzz/ "
            "and let `cargo metadata --manifest-path fuzz/Cargo.toml` add what is missing"
        )


def versions(lock):
    """The versions of each crate."""
    found = {}
    for name, version in re.findall(r'^name = "(.+)"\nversion = "(.+)"$', lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def has_cxx():
    """Whether `cc`, which .cargo/config.toml names as CXX, compiles C++ too: it does where g++ is installed."""
    argv = ["cc", "-x", "c++", "-include", "vector", "-fsyntax-only", os.devnull]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def run(target, found, options, **popen_options):
    failures = workspace.make_folder(workspace.RUN / "fuzz" / "failures")
    words = [f"-dict={FUZZ / 'words.dict'}", f"-artifact_prefix={failures}/{target}-", "-print_final_stats=1"]
    with corpus(target) as inputs:
        argv = [workspace.ROOT / "target/debug" / target, *LIMITS, *words, *options, found, inputs]
        code = run_visibly(argv, cwd=workspace.ROOT, env={**os.environ, "RUST_BACKTRACE": "1"}, **popen_options)
    if code != 0:
        shown = workspace.shown(failures)
        say(f"{target} broke a promise: the input is in {shown}. To see it again:")
        say(f"  target/debug/{target} {shown}/{target}-...")
        say(f"Mend it, and put the input into fuzz/corpus/{target} by a name that says what it is: all runs replay it.")
    return code


def merge(target, found):
    """Replaces the archive by the fewest inputs, of the corpus and of those found, that reach as much."""
    with corpus(target) as inputs, tempfile.TemporaryDirectory() as folder:
        # Counting how often code is reached would keep thousands of inputs, and show little more.
        options = ["-set_cover_merge=1", "-use_counters=0"]
        argv = [workspace.ROOT / "target/debug" / target, *LIMITS, *options, folder, inputs, found]
        if run_visibly(argv, cwd=workspace.ROOT) != 0:
            raise Problem("an input fails: run the target without --merge first")
        seeds = {file.read_bytes() for file in (FUZZ / "corpus" / target).glob("*")}
        kept = {file.read_bytes() for file in Path(folder).iterdir()} - seeds
    # The same bytes for the same inputs.
    ordered = sorted(kept, key=lambda each: hashlib.sha1(each).digest())
    archive(target).write_bytes(b"".join(len(each).to_bytes(4, "little") + each for each in ordered))
    say(f"{workspace.shown(archive(target))} holds {len(kept)} inputs")


def archive(target):
    return FUZZ / "corpus" / f"{target}.inputs"


@contextlib.contextmanager
def corpus(target):
    """A folder with all inputs of the target, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in (FUZZ / "corpus" / target).glob("*"):
            shutil.copy(seed, folder)
        content = archive(target).read_bytes()
        while content:
            length = 4 + int.from_bytes(content[:4], "little")
            each, content = content[4:length], content[length:]
            (Path(folder) / hashlib.sha1(each).hexdigest()).write_bytes(each)
        yield folder
