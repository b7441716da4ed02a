"""Files without a name: the system removes them, whatever ends the process that has them."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError, OutputError, reason_of


@dataclass(slots=True, eq=False, weakref_slot=True)
class UnnamedFile:
    """A file that only this process reads and writes; it is gone once nothing refers to it.

    Args:
        file: it, without a buffer.
        n_bytes: how many are written.
    """

    file: Any
    n_bytes: int = 0

    def append(self, content: Any) -> int:
        """Return the place of bytes that are written behind all others.

        Raises:
            OSError: the disk is full, or gives an error; what was written before stays.
        """
        first = self.n_bytes
        self.put(first, content)
        return first

    def put(self, first: int, content: Any) -> None:
        """Write bytes from a place on, which may be behind all others: between them are zeros.

        Raises:
            OSError: as of `append`.
        """
        view, n_done = memoryview(content).cast("B"), 0
        self.file.seek(first)
        while n_done < len(view):
            n_done += self.file.write(view[n_done : n_done + _MOST])
        self.n_bytes = max(self.n_bytes, first + len(view))

    def read(self, first: int, n_bytes: int) -> bytearray:
        """Return bytes from a place on.

        Raises:
            OSError: the disk gives an error.
        """
        content, n_done = bytearray(n_bytes), 0
        self.file.seek(first)
        while n_done < n_bytes:
            n = self.file.readinto(memoryview(content)[n_done : n_done + _MOST])
            if not n:
                raise OSError(f"a file on the way ends after {first + n_done:,} bytes")
            n_done += n
        return content


def unnamed_file(folder: Path) -> UnnamedFile:
    """Return a new file on the disk of a folder.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    file: Any = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - open as long as it is there
    found = UnnamedFile(file)
    weakref.finalize(found, file.close)
    return found


@contextmanager
def nameless(folder: str | os.PathLike[str] | None) -> Generator[IO[bytes]]:
    """Give a new file with a buffer, which is gone when it is closed.

    Args:
        folder: on whose disk it is; None for that of temporary files.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    file = TemporaryFile(dir=folder)  # noqa: SIM115 - a full disk may make an error of its end
    try:
        yield file
    finally:
        with suppress(OSError):  # what a full disk did not take is of no use to anybody
            file.close()


@contextmanager
def told_full(folder: Path | None, rows: str = "shares of the rows") -> Generator[None]:
    """Raise what the system says of a file without a name with the folder that it is in.

    Args:
        folder: None for that of temporary files.
        rows: what is written.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, FastfeatError):
            raise
        where = folder or gettempdir()
        raise OutputError(
            f"{rows} cannot be written to {where}: {reason_of(error)}. They take what "
            "is read of the data"
        ) from error


def mapped(file: UnnamedFile, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the content of a file as an array, whose memory the system can take: see `drop_pages`.

    Args:
        file: it may be forgotten.
        dtype: of the array.
    """
    if not file.n_bytes:
        return np.zeros(0, dtype)
    pages = mmap.mmap(file.file.fileno(), file.n_bytes, access=mmap.ACCESS_READ)
    _maps.add(pages)
    return np.frombuffer(pages, dtype)


def drop_pages() -> None:
    """Let pages of mapped files leave the memory of this process: they are read again if needed."""
    for pages in list(_maps):
        if hasattr(mmap, "MADV_DONTNEED"):  # none on Windows
            pages.madvise(mmap.MADV_DONTNEED)


_maps = weakref.WeakSet[mmap.mmap]()
_MOST = 1 << 30
"""Bytes of one call: systems take 2 GiB less a page at most."""
