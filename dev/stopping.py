"""`stop` and `clean`: ends what runs in this clone, from another shell, and waits until all of it is gone."""

import contextlib
import os
import shutil
import signal
import time

import workspace
from console import Problem, say, step
from running import LOCK, running_pid
from stores import postgres_place
from supervisor import end_leftovers

STOP_SECONDS = 120


def stop():
    pid = running_pid()
    if pid is None and not (workspace.RUN / "processes").exists():
        say("nothing of weir runs here")
        return
    if pid is not None:
        with step(f"stopping weir and its stores (process {pid})"):
            try:
                os.kill(pid, signal.SIGTERM)
            except PermissionError:
                raise Problem(f"process {pid} belongs to another user, who has to stop it") from None
            except ProcessLookupError:
                pass
            wait_until_unlocked(pid)
    end_leftovers(workspace.RUN)
    workspace.ENV_FILE.unlink(missing_ok=True)


def wait_until_unlocked(pid):
    deadline = time.monotonic() + STOP_SECONDS
    while workspace.is_locked(LOCK):
        if time.monotonic() > deadline:
            raise Problem(
                f"process {pid} does not end; end it with kill -9 {pid}, then `make stop` again for its stores"
            )
        time.sleep(0.05)


def clean():
    if workspace.RUN != workspace.CACHE.parent:
        raise Problem(f"`make clean` deletes .run, not {workspace.RUN}: unset WEIR_RUN_DIR, delete that one yourself")
    stop()
    # Of tests, campaigns and benches; a link to Postgres's data may lead out of `.run`.
    signs = [f"{depth}/{sign}" for depth in ("*", "*/*") for sign in ("processes", "postgres")]
    others = {found.parent for sign in signs for found in workspace.RUN.glob(sign)}
    for home in [workspace.RUN, *others]:
        if any(map(workspace.is_locked, (home / "lock", home.parent / "lock", home.with_suffix(".lock")))):
            raise Problem(f"somebody works in {workspace.shown(home)}: end that first")
        end_leftovers(home)
        postgres_place.remove(home / "postgres")
    with step("deleting .run and the builds"):
        for folder in (workspace.RUN, workspace.ROOT / "target"):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)
