"""Files that appear whole or not at all: written beside their final path, and then moved there."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import IO

TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.partial")
"""Names of temporary files; a killed process may leave one behind."""


@contextmanager
def replace_file(target: Path) -> Generator[Path]:
    """Yield the path of a new file, which replaces the target at the end of the `with`.

    After an error the new file is removed, and the target is unchanged.
    """
    if "\0" in str(target):  # Python's own ValueError says no more than this
        raise OSError("its name contains a NUL character")
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
    """Yield a new file in a folder, open for writing, and its path. An error inside removes it.

    No other user can read it. Without an error it stays until a caller removes it. `suffix` is the
    end of its name.
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
    """Write a file, whole or not at all; an existing file is replaced."""
    mode = 0o600 if private else 0o666

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, mode)

    with replace_file(target) as partial, open(partial, "xb", opener=opener) as file:
        file.writelines([content] if isinstance(content, bytes) else content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Sync a file or a folder to disk; raises OSError if that fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_below(folder: Path) -> None:
    """Sync a folder and the files directly in it to disk; raises OSError if that fails."""
    for path in folder.iterdir():
        sync(path)
    sync(folder)
