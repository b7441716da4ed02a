"""The write lock of a state: one process holds it at a time, at most until the process ends.

The lock is a kernel lock on a file beside the state. This file names the process and the numbers of
the last committed entry and of its base: a state file with an older commit has lost its write-ahead
log.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from fastfeat.errors import StateError, reason_of

_OWNER = re.compile(rb"process (\d{10}) ")
_NOTE = re.compile(rb"process (\d{10}) commit (\d{20}) of (\d{20})\n")
_open: WeakSet[WriteLock] = WeakSet()


class WriteLock:
    """The write lock of a state, held until it is given back or the process ends.

    Args:
        path: Path of the state file.
        descriptor: Descriptor of the locked file.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        _open.add(self)

    def noted(self) -> tuple[int, int] | None:
        """Return the numbers of the last committed entry and its base; None if they are unknown."""
        found = _NOTE.fullmatch(os.pread(self.descriptor, 128, 0))
        return None if found is None else (int(found[2]), int(found[3]))

    def note(self, seq: int, base: int) -> None:
        """Write this process and the numbers of the last committed entry and its base."""
        self._write(b"commit %020d of %020d\n" % (seq, base))

    def sign(self) -> None:
        """Write this process as the owner into the lock file; keep the numbers of the commit."""
        noted = self.noted()
        if noted is None:
            os.ftruncate(self.descriptor, 0)
        self._write(b"commit %020d of %020d\n" % noted if noted else b"commit unknown\n")

    def _write(self, committed: bytes) -> None:
        with suppress(OSError):  # on a full disk the older note is also right
            os.pwrite(self.descriptor, b"process %010d " % os.getpid() + committed, 0)

    def give_back(self) -> None:
        """Release the lock."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def read_last_commit(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return the numbers of the last committed entry and its base, without taking the lock.

    None if the lock file is missing or has no numbers.
    """
    try:
        found = _NOTE.fullmatch(Path(f"{path}-lock").read_bytes()[:128])
    except OSError:
        return None
    return None if found is None else (int(found[2]), int(found[3]))


def take_write_lock(path: Path) -> WriteLock:
    """Take the write lock of a state for this process, without waiting.

    Raises `StateError` if another process holds it, or the file beside the state cannot be written.
    """
    try:
        import fcntl  # not available on every system; a state in memory needs none
    except ImportError:
        raise StateError(
            f"{path}: this system cannot lock files. Leave path= out to keep the state in memory"
        ) from None
    beside = Path(f"{path}-lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise StateError(
            f"{path}: its lock file {beside.name} cannot be written: {reason}. A state needs a "
            "folder in which this process may write"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = _OWNER.match(os.pread(descriptor, 128, 0))
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            told = f"{path}: its lock file {beside.name} cannot be locked: {error.strerror}"
            raise StateError(told) from None
        number = int(owner[1]) if owner else 0
        who = f"process {number}" if number else "an unknown process"
        who = "this process" if number == os.getpid() else who
        raise StateError(
            f"{path} is in use by {who}, and only one process at a time may write a state. Close "
            "it there, or only read it: fastfeat serve --follow"
        ) from None
    lock = WriteLock(path, descriptor)
    lock.sign()
    return lock


def _close_in_child() -> None:
    """Close locks inherited from a parent process.

    Otherwise this process would go on holding them after the parent's end.
    """
    for lock in list(_open):
        lock.give_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
