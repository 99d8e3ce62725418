"""A file system of its own for weir's log or a store, which can be full, and from which the power can be cut.

An ext4 in a file, mounted where only this process and its children see it. `EXT4_IOC_SHUTDOWN` without a flush of its
journal is what a power cut leaves: what was not synced is gone. Needs root, a loop device and mkfs.ext4.
"""

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import struct
import time

from console import Problem, output_of

BYTES = 700 << 20
NEW_MOUNTS = 0x20000
SHUTDOWN = 0x8004587D
WITHOUT_FLUSH = struct.pack("I", 2)
FREE_SECONDS = 10


class CannotMount(Problem):
    """This machine does not let us."""


@functools.cache
def own_mounts():
    """Leaves the mounts of all others alone, from now on."""
    if os.geteuid() != 0:
        raise CannotMount("a file system of its own needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS) != 0:
        raise CannotMount(f"no mounts of its own: {os.strerror(ctypes.get_errno())}")
    attempt("mount", "--make-rprivate", "/")


def attempt(*argv):
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    try:
        output_of(argv, f"{' '.join(map(str, argv))} failed", env={**os.environ, "PATH": path})
    except Problem as problem:
        raise CannotMount(f"{problem}: {problem.detail}") from None


class Disk:
    def __init__(self, folder):
        own_mounts()
        self.image, self.folder = folder.with_suffix(".image"), folder
        with open(self.image, "wb") as file:
            file.truncate(BYTES)
        attempt("mkfs.ext4", "-q", "-F", self.image)
        folder.mkdir(parents=True)
        self.mount()

    def mount(self):
        attempt("mount", "-o", "loop", self.image, self.folder)

    def unmount(self):
        deadline = time.monotonic() + FREE_SECONDS
        while True:
            with contextlib.suppress(CannotMount):
                return attempt("umount", self.folder)
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

    @contextlib.contextmanager
    def full(self):
        """Less is left than weir keeps free (eventlog/src/local/config.rs), then nothing at all."""
        filler = self.folder / "filler"
        with open(filler, "wb") as file:
            for piece in (1 << 20, 1 << 12):
                try:
                    while True:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        try:
            yield
        finally:
            filler.unlink()
