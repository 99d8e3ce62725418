"""Tools that must be on the machine already: one line each for what is missing, before anything is started."""

import importlib.util
import os
import shutil

from console import Problem


class MissingTool(Problem):
    """A program is missing that a package of the system brings."""

    def __init__(self, what, debian_package):
        super().__init__(f"{what} is missing: install it (Debian and Ubuntu: apt-get install {debian_package})")


def in_ci():
    """Whether this is continuous integration, where nothing may be left out."""
    return os.environ.get("CI") == "true"


def check_cargo():
    if shutil.which("cargo") is None:
        raise Problem("cargo is missing: install the Rust toolchain (rustup) and open a new shell")
    if shutil.which("cc") is None:
        raise MissingTool("a C compiler (cc)", "build-essential")


def check_python():
    if importlib.util.find_spec("ensurepip") is None:
        raise MissingTool("Python's venv module", "python3-venv")
