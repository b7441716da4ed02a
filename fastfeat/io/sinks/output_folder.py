"""An output folder of features that appears whole or not at all, and resumes after an interruption.

It is written part by part as `.NAME.unfinished` beside its final path, and renamed once all parts
are there. If the process ends before that, the finished parts and a manifest of them remain. The
next run of the same plan over the same files continues after these parts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path

from fastfeat.errors import OutputError, reason_of
from fastfeat.io.sinks import atomic
from fastfeat.io.sinks.manifest import (
    NAME,
    Manifest,
    OutputContents,
    OutputPart,
    check_files,
    read_manifest,
    write_manifest,
)

try:
    import fcntl
except ImportError:  # on Windows nothing detects that two processes write one folder
    fcntl = None

_DIFFERENCES = {
    "plan": "of another fitted plan",
    "tables": "computed with other lookup tables",
    "source": "computed from other data, or from files that have changed since",
    "file_format": "in another format",
    "part_rows": "in parts with another number of rows",
    "partition_by": "partitioned by other columns",
    "training": "of another kind (rows of fit, each encoded without its own label, or other rows)",
}


def read_finished(target: Path, contents: OutputContents) -> Manifest | None:
    """Return the manifest of an output folder that is already complete; None if it must be written.

    Raises:
        OutputError: The target is a file, holds other files or features of other inputs, or the
            data is not in files, so that a later run cannot recognise it.
    """
    if not target.exists():
        return None
    if not target.is_dir():
        raise OutputError(
            f"{target} is a file. Name a folder, or a file with the suffix of a format"
        )
    found = read_manifest(target)
    if found is None:
        if any(target.iterdir()):
            raise OutputError(f"{target} contains other files: name a new folder, or empty it")
        return None
    if contents.source is None:
        raise OutputError(
            f"{target} already has features. Whether they are those of this data can be checked "
            "only if the data is in files: remove the folder, or name another"
        )
    _check_alike(target, found.contents, contents, f"remove {target}, or name another folder")
    if not found.is_whole:
        raise OutputError(
            f"{target} is incomplete: it was moved here before all of its features were written. "
            "Remove it, or name another folder"
        )
    check_files(target, found)
    return found


@contextmanager
def open_unfinished(target: Path, contents: OutputContents) -> Generator[tuple[Path, Manifest]]:
    """Yield the folder in which features are written, and the manifest of its finished parts.

    The folder is locked for this process until the end of the `with`. After an error it remains, so
    that a later run can continue; it is removed if the data is not in files, and so cannot be
    recognised then. `publish` moves the folder to its final path.

    Raises:
        OutputError: Another process writes the folder, its parts come from other inputs or are
            damaged, or it cannot be written.
    """
    folder = target.with_name(f".{target.name}.unfinished")
    descriptor = _lock_folder(folder, target)
    try:
        yield folder, _open_manifest(folder, target, contents)
    except BaseException:
        if contents.source is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)


def add_part(folder: Path, manifest: Manifest, part: OutputPart) -> Manifest:
    """Return a manifest with one more part, and write it to disk.

    The files of the part must be on disk already.

    Raises:
        OSError: The disk is full.
    """
    longer = replace(manifest, parts=(*manifest.parts, part))
    write_manifest(folder, longer)
    return longer


def publish(folder: Path, target: Path, manifest: Manifest) -> Manifest:
    """Move a folder with all parts to its final path, and return its final manifest.

    Raises:
        OutputError: The target cannot be replaced.
    """
    whole = replace(manifest, is_whole=True)
    try:
        write_manifest(folder, whole)
        with suppress(FileNotFoundError):
            target.rmdir()  # remove an empty target, because Windows does not rename onto it
        os.rename(folder, target)
        atomic.sync(target.parent)
    except OSError as error:
        raise OutputError(
            f"cannot move {folder} to {target}: {reason_of(error)}. All features are in {folder}"
        ) from error
    return whole


def _lock_folder(folder: Path, target: Path) -> int | None:
    """Return the descriptor of a folder locked for this process, creating a missing folder."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if isinstance(error, FileExistsError) and not os.path.lexists(folder):
                continue  # another process has just moved it
            raise OutputError(f"cannot write {target}: {reason_of(error)}") from error
        if fcntl is None:
            return None
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # another process has just moved it
            continue
        except OSError as error:
            raise OutputError(f"cannot write {target}: {reason_of(error)}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise OutputError(f"{target} is being written by another process") from None
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _open_manifest(folder: Path, target: Path, contents: OutputContents) -> Manifest:
    """Return the manifest of the finished parts in a folder, and remove all its other files."""
    found = read_manifest(folder)
    is_begun = found is not None and (found.parts or found.is_whole)  # otherwise nothing is lost
    if found is not None and is_begun and contents.source is not None:
        advice = f"remove {folder} to start over"
        _check_alike(folder, found.contents, contents, advice)
        check_files(folder, found)
        if found.is_whole:
            return found
    else:
        found = Manifest(contents)
    try:
        _remove_others(folder, {file.name for file in found.files} | {NAME})
        if not found.parts:
            write_manifest(folder, found)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {reason_of(error)}") from error
    return found


def _check_alike(folder: Path, found: OutputContents, wanted: OutputContents, advice: str) -> None:
    for field in fields(OutputContents):
        if getattr(found, field.name) != getattr(wanted, field.name):
            told = _DIFFERENCES[field.name]
            raise OutputError(f"{folder} has features {told}: {advice}")


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove the files that are not in `names`, and folders that become empty."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with suppress(OSError):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in names:
            path.unlink()
