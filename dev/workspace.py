"""The folders and files that belong to the developer's machine, all below `.run/`.

    .run/cache/          downloads (Python packages, Kafka's jars, geo databases), shared by run, cluster and test
    .run/postgres, clickhouse, kafka, redis, data/     what the stores and weir keep between starts
    .run/log/            one log per process
    .run/processes       what runs now, for a later start or `stop` to end what a crash left behind
    .run/test/           stores of test runs, deleted afterwards
    .run/faults/         fault campaigns: their notes and tables, and the rivers that broke a promise
    .run/bench*, soak-*   what is measured, each a `.run` of its own except for the cache; deleted afterwards
    .run/mail/           mails that weir has sent, a Maildir
    .run/env             how to reach what is running; exists only while it is ready
    .run/demo-*.env      the demo tenant's key and its owner's password, which weir shows only once
    .run/operator.token  the operator's token, made once
    .run/accounts.key    what seals people's secrets in the database, made once

WEIR_RUN_DIR names another folder in the place of `.run`, for a second weir on this machine (on other ports); the cache
stays shared.

Files are replaced atomically: a reader sees the old or the new content, never half of it.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shlex
from pathlib import Path

from console import Problem

ROOT = Path(__file__).resolve().parent.parent
DEV = ROOT / "dev"
CACHE = ROOT / ".run" / "cache"
RUN = Path(os.environ.get("WEIR_RUN_DIR") or ROOT / ".run").absolute()
ENV_FILE = RUN / "env"


def make_folder(path):
    """Creates the folder, if it is not there, and returns it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"cannot create {path}: {error.strerror}; give yourself write permission there") from None
    if not os.access(path, os.W_OK):
        raise Problem(f"{path} is not writable for you; was it created by root? `make clean` as root removes it")
    return path


def write_atomically(path, text, mode=0o600):
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.replace(unfinished, path)


def read_if_any(path):
    """The text of a file, or None if there is no such file."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    return None


def write_env(path, values):
    """One NAME=value a line, mode 0600, quoted only where a shell needs it."""
    write_atomically(path, "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items()))


def read_env(path):
    pairs = (line.split("=", 1) for line in (read_if_any(path) or "").splitlines() if "=" in line)
    return {name: "".join(shlex.split(value)) for name, value in pairs}


def operator_token():
    return made_once(RUN / "operator.token", f"wo_{secrets.token_hex(24)}")


def accounts_key():
    return made_once(RUN / "accounts.key", secrets.token_hex(32))


def evidence_key():
    return made_once(RUN / "evidence.key", secrets.token_hex(32))


def made_once(path, secret):
    """What the file holds; the secret, from now on, if there is no such file."""
    if not path.exists():
        write_atomically(path, f"{secret}\n")
    return path.read_text().strip()


@contextlib.contextmanager
def locked(path, problem):
    """Holds an exclusive lock that ends with this process, however it ends. If another process holds it, `problem` is
    raised, or if that is None it is waited for."""
    make_folder(path.parent)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if problem else 0))
        except BlockingIOError:
            raise Problem(problem) from None
        yield


def is_locked(path):
    with contextlib.suppress(FileNotFoundError), open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def shown(path):
    """The path as a user in the clone would type it."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def redact(url):
    """The URL without its password, for lines that people paste into issues."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)
