"""Temporary files without a name: the system removes them, however the process ends."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError, OutputError, reason_of


@dataclass(slots=True, eq=False, weakref_slot=True)
class UnnamedFile:
    """A file that only this process can access; it is removed when nothing refers to it.

    Args:
        file: The unbuffered file.
        n_bytes: Number of bytes written.
    """

    file: Any
    n_bytes: int = 0

    def append(self, content: Any) -> int:
        """Append bytes and return their offset."""
        first = self.n_bytes
        self.put(first, content)
        return first

    def put(self, first: int, content: Any) -> None:
        """Write bytes at an offset; a gap after the previous end is filled with zeros."""
        view, n_done = memoryview(content).cast("B"), 0
        self.file.seek(first)
        while n_done < len(view):
            n_done += self.file.write(view[n_done : n_done + _MOST])
        self.n_bytes = max(self.n_bytes, first + len(view))

    def read(self, first: int, n_bytes: int) -> bytearray:
        """Return `n_bytes` bytes from an offset."""
        content, n_done = bytearray(n_bytes), 0
        self.file.seek(first)
        while n_done < n_bytes:
            n = self.file.readinto(memoryview(content)[n_done : n_done + _MOST])
            if not n:
                raise OSError(f"a temporary file was cut off after {first + n_done:,} bytes")
            n_done += n
        return content


def unnamed_file(folder: Path) -> UnnamedFile:
    """Return a new unnamed file on the disk that holds `folder`."""
    file: Any = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - open as long as it is there
    found = UnnamedFile(file)
    weakref.finalize(found, file.close)
    return found


@contextmanager
def open_unnamed(folder: str | os.PathLike[str] | None) -> Generator[IO[bytes]]:
    """Yield a new buffered file, which is removed when it is closed.

    None for `folder` uses the folder of temporary files.
    """
    file = TemporaryFile(dir=folder)  # noqa: SIM115 - a full disk may make an error of its end
    try:
        yield file
    finally:
        with suppress(OSError):  # data that a full disk did not take is useless to everyone
            file.close()


@contextmanager
def explain_write_errors(folder: Path | None, rows: str = "parts of the rows") -> Generator[None]:
    """Raise errors about a temporary file as OutputError with its folder and what it was to hold.

    `rows` names the contents. None for `folder` is the folder of temporary files.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, FastfeatError):
            raise
        where = folder or gettempdir()
        raise OutputError(
            f"{rows} cannot be written to {where}: {reason_of(error)}. They need about as much "
            "space as the columns that are read"
        ) from error


def map_file(file: UnnamedFile, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a file's content as a memory-mapped array of a type, shape (n_values,).

    Its memory can be reclaimed, see `drop_pages`. The file itself need not be kept.
    """
    if not file.n_bytes:
        return np.zeros(0, dtype)
    pages = mmap.mmap(file.file.fileno(), file.n_bytes, access=mmap.ACCESS_READ)
    _maps.add(pages)
    return np.frombuffer(pages, dtype)


def drop_pages() -> None:
    """Let pages of mapped files leave this process's memory; they are read again if needed."""
    for pages in list(_maps):
        if hasattr(mmap, "MADV_DONTNEED"):  # not available on Windows
            pages.madvise(mmap.MADV_DONTNEED)


_maps = weakref.WeakSet[mmap.mmap]()
_MOST = 1 << 30
"""Bytes per call: systems accept at most 2 GiB less one page."""
