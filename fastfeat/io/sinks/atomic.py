"""Files that appear whole or not at all: written beside their place, and then moved there."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import IO

TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.partial")
"""The names of files on their way; a process that is killed leaves one behind."""


@contextmanager
def replacing(target: Path) -> Generator[Path]:
    """Give the path of a new file, which takes the place of the target at the end of the `with`.

    After any error there is no new file, and the target is as it was.

    Raises:
        OSError: it cannot be moved there; also for a path that no system call takes. It names the
            target, and not the file on its way there.
    """
    if "\0" in str(target):  # Python's ValueError says no more than that
        raise OSError("its name holds a NUL character")
    partial = target.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        yield partial
        os.replace(partial, target)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError) and (error.filename, error.filename2) == (str(partial), None):
            error.filename = str(target)
        raise


@contextmanager
def new_file(folder: Path, suffix: str) -> Generator[tuple[IO[bytes], Path]]:
    """Give a new file in a folder, open to be written, and its path; after any error it is gone.

    No other user may read it. It stays until somebody removes it.

    Args:
        folder: where it is.
        suffix: the end of its name.
    """
    descriptor, name = mkstemp(suffix, dir=folder)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, path
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def write_bytes(
    target: Path,
    content: bytes | Iterable[bytes | memoryview],
    *,
    durable: bool = False,
    private: bool = False,
) -> None:
    """Write a file, whole or not at all.

    Args:
        target: an existing file is replaced.
        content: all of it, or pieces that follow each other.
        durable: whether it is on the disk before it takes its place: a crash of the machine leaves
            the old file or the new one.
        private: whether no other user may read it or write it.

    Raises:
        OSError: the folder is missing or cannot be written, a full disk, a NUL in the path.
    """
    mode = 0o600 if private else 0o666

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, mode)

    with replacing(target) as partial, open(partial, "xb", opener=opener) as file:
        file.writelines([content] if isinstance(content, bytes) else content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Have what a file or a folder holds on the disk.

    Raises:
        OSError: it is not there, or the disk gives an error.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_below(folder: Path) -> None:
    """Have a folder, and the files in it, on the disk.

    Raises:
        OSError: it is not there, or the disk gives an error.
    """
    for path in folder.iterdir():
        sync(path)
    sync(folder)
