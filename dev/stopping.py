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
    folders = {"test": "stores-*", "crash": "*-*", "faults": "*-*-*"}
    others = [home for name, homes in folders.items() for home in (workspace.RUN / name).glob(homes)]
    for home in [workspace.RUN, *others]:
        if home != workspace.RUN and workspace.is_locked(home / "lock"):
            raise Problem("tests, `make stores`, `make crash` or `make faults` are running here: end them first")
        end_leftovers(home)
        postgres_place.remove(home / "postgres")
    with step("deleting .run and the builds"):
        for folder in (workspace.RUN, workspace.ROOT / "target"):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)
