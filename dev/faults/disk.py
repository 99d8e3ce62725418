"""A file system of its own for weir's log or a store, which can be full, and from which the power can be cut.

An ext4 in a file, mounted where only this process and its children see it. `EXT4_IOC_SHUTDOWN` without a flush of its
journal is what a power cut leaves: what was not synced is gone. Needs root, a loop device and mkfs.ext4.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time

from console import Problem, run_quietly

BYTES = 700 << 20
# What weir keeps free; see eventlog/src/local/config.rs.
KEPT_FREE = 256 << 20
NEW_MOUNTS = 0x20000
SHUTDOWN = 0x8004587D
WITHOUT_FLUSH = struct.pack("I", 2)
FREE_SECONDS = 10


class CannotMount(Problem):
    """This machine does not let us."""


def has_own_mounts():
    """Leaves the mounts of all others alone, from now on."""
    if os.geteuid() != 0:
        raise CannotMount("a file system of its own needs root")
    for tool in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            raise CannotMount(f"{tool} is missing")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS) != 0:
        raise CannotMount(f"no mounts of its own: {os.strerror(ctypes.get_errno())}")
    attempt(["mount", "--make-rprivate", "/"])


def attempt(argv):
    try:
        run_quietly(argv, f"{' '.join(map(str, argv))} failed")
    except Problem as problem:
        raise CannotMount(f"{problem}: {problem.detail}") from None


class Disk:
    def __init__(self, image, folder):
        self.image, self.folder = image, folder
        with open(image, "wb") as file:
            file.truncate(BYTES)
        attempt(["mkfs.ext4", "-q", "-F", image])
        folder.mkdir(parents=True)
        self.mount()

    def mount(self):
        attempt(["mount", "-o", "loop", self.image, self.folder])

    def unmount(self):
        deadline = time.monotonic() + FREE_SECONDS
        while subprocess.run(["umount", self.folder], capture_output=True).returncode != 0:
            if time.monotonic() > deadline:
                raise Problem(f"{self.folder} can't be unmounted")
            time.sleep(0.05)

    def cut_power(self):
        """From here on nothing that was not synced can be. Returns whether that is so."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, WITHOUT_FLUSH)
        finally:
            os.close(descriptor)
        try:
            (self.folder / "after").touch()
        except OSError:
            return True
        return False

    def power_on(self):
        self.unmount()
        self.mount()

    def fill(self):
        """Leaves less than weir keeps free, then nothing at all. Returns the file that does it."""
        filler = self.folder / "filler"
        with open(filler, "wb") as file:
            for piece in (1 << 20, 1 << 12):
                while True:
                    try:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, piece)
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        break
        return filler
