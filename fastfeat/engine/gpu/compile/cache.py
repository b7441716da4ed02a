"""The cache of compiled GPU modules on disk; a file's name tells whether its content is intact.

A module is a file of compiled kernels, loaded by path. A key is a digest of all inputs of a
compilation. The file's name has the key, and a digest of the key and the compiled content. A
truncated, altered or misnamed file therefore does not match; it is compiled again, never loaded.
Processes may fill one folder at once, because files appear whole and never change.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from fastfeat.engine.kernel_cache import UsedKernel, cache_folder, measure_kernels, note
from fastfeat.errors import BackendUnavailable, FastfeatError, KernelsNotKept, warn
from fastfeat.io.sinks import atomic
from fastfeat.progress import show_progress

_NAME = "device"  # of a module, which has several kernels


def key_of(*parts: str) -> str:
    """Return a digest of everything that a module depends on."""
    content = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:40]


def cached_file(key: str, suffix: str, build: Callable[[], bytes]) -> Path:
    """Return the file of a compiled module; without a valid one in the cache, `build` makes it.

    `key` comes from `key_of`; `suffix` is the end of the file's name, such as ".so". Raises
    BackendUnavailable if there is no folder for it.
    """
    try:
        folder = cache_folder()
    except FastfeatError as error:
        folder = _folder_of_process(str(error))
    known = _known_file(folder, key, suffix)
    if known is not None:
        note(key, UsedKernel(_NAME, is_compiled=False, is_kept=True))
        return known
    with show_progress("compiling kernels for the device", is_event=True), measure_kernels():
        content = build()
    try:
        path = _keep(folder, key, suffix, content)
    except OSError as error:
        reason = f"compiled kernels cannot be kept in {folder} ({error.strerror or error})"
        path = _keep(_folder_of_process(reason), key, suffix, content)
    note(key, UsedKernel(_NAME, is_compiled=True, is_kept=path.parent == cache_folder()))
    return path


def _known_file(folder: Path, key: str, suffix: str) -> Path | None:
    """Return the cached file of a key, if there is a valid one; otherwise None."""
    try:
        digest = (folder / f"{key}{suffix}.digest").read_text("ascii", "replace")
        path = _path(folder, key, suffix, digest)
        content = path.read_bytes()
    except (OSError, ValueError):
        return None
    return path if _digest(key, suffix, content) == digest else None


def _keep(folder: Path, key: str, suffix: str, content: bytes) -> Path:
    digest = _digest(key, suffix, content)
    path = _path(folder, key, suffix, digest)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write_bytes(path, content, private=True)
    atomic.write_bytes(folder / f"{key}{suffix}.digest", digest.encode(), private=True)
    return path


def _digest(key: str, suffix: str, content: bytes) -> str:
    return hashlib.sha256(f"{key}{suffix}\n".encode() + content).hexdigest()


def _path(folder: Path, key: str, suffix: str, digest: str) -> Path:
    return folder / f"{key}-{digest[:16]}{suffix}"


@cache
def _folder_of_process(reason: str) -> Path:
    """Return a temporary folder for compiled modules, removed when the process ends, and warn.

    Raises BackendUnavailable if it cannot be created.
    """
    told = f"{reason}; this process compiles its own. Set FASTFEAT_CACHE_DIR to a writable folder"
    warn(told, KernelsNotKept)
    try:
        _temporary.append(tempfile.TemporaryDirectory(prefix="fastfeat-"))
    except OSError as error:
        raise BackendUnavailable(
            f"{reason}; a temporary folder cannot be created either: {error}. Set "
            "FASTFEAT_CACHE_DIR to a writable folder"
        ) from None
    return Path(_temporary[-1].name)


_temporary: list[tempfile.TemporaryDirectory[str]] = []
