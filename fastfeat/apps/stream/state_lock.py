"""The lock of a partition's state: only one member of a consumer group holds it at a time."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows the state's own lock must suffice
    fcntl = None


class StateLock:
    """A lock file beside a state, held until it is released or the process ends; the file stays."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    @staticmethod
    def take(path: Path) -> StateLock | None:
        """Return the lock of this file; None while another process holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
        os.truncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
        return StateLock(path, descriptor)

    @staticmethod
    def holder(path: Path) -> str:
        """Return the id of the process that last took the lock, for messages."""
        try:
            return path.read_text("ascii").strip() or "unknown"
        except (OSError, UnicodeDecodeError):
            return "unknown"

    def give_back(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)
