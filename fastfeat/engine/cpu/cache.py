"""The cache of compiled kernels: object code on disk, named by everything that it depends on.

A recipe is a few lines of Python that make a kernel: imports, and a call with arguments. The name
of a kernel is a hash of its recipe, of the sources of the imported modules, and of the machine.
Nothing has to be rendered to find it.

Hand-written kernels come compiled with the package if their sources, this processor and the
settings match: see `fastfeat_kernels.objects`. All others are kept in a folder.

A file holds a digest of its key and its body. A file that is truncated, altered, or holds another
kernel under the wrong name is compiled again, never run. Files appear whole, by renaming, so
several processes may fill one cache. If several want the same kernel, the others wait for the
first. A folder that cannot be written costs one warning.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastfeat_kernels import objects, processor
from fastfeat_kernels.elf import CodeRefused, UnknownObject
from fastfeat_kernels.load import LoadedKernel, load_known, load_object
from fastfeat_kernels.records import dataclass

from fastfeat.engine.kernel_cache import (
    UsedKernel,
    cache_folder,
    is_observed,
    measure_kernels,
    note,
)
from fastfeat.engine.sources import Import, digest_of, imports_of, package_folders, sources_of
from fastfeat.errors import BackendUnavailable, FastfeatError, KernelsNotKept, reason_of, warn
from fastfeat.io.sinks import atomic
from fastfeat.progress import show_progress

try:
    import fcntl
except ImportError:  # Windows, where each process compiles its own kernels
    fcntl = None

_MAGIC = b"fastfeat kernel 2\n"
_TARGET = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")  # the processor that LLVM generates code for
_SETTINGS = (  # settings of Numba that change the machine code
    *_TARGET,
    "NUMBA_ENABLE_AVX",
    "NUMBA_OPT",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
)
_loaded: dict[str, LoadedKernel] = {}
_lock = threading.RLock()
_warned: set[str] = set()
_BY_NUMBA = """from fastfeat_kernels.compile import compile_entry
from fastfeat_kernels.{folder}.cpu import ENTRIES

code, symbol = compile_entry(ENTRIES["{entry}"])
"""
_WRITTEN = re.compile(
    re.escape(_BY_NUMBA).replace(r"\{folder\}", r"(\w+)").replace(r"\{entry\}", r"(\w+)")
)
_PAUSE = 0.5  # seconds; compilations no further apart are reported as one
_LONGEST_WAIT = 30.0  # seconds, for a process that compiles; it may hang
_ASKED_AGAIN = 0.02  # seconds between two checks

Compile = Callable[[], tuple[bytes, str] | LoadedKernel]


def recipe_of_written(folder: str, entry: str) -> str:
    """Return the recipe of a hand-written kernel: `entry` of `fastfeat_kernels.<folder>.cpu`."""
    return _BY_NUMBA.format(folder=folder, entry=entry)


def cached_kernel(
    recipe: str, compile_kernel: Compile, text: Callable[[], str] | None = None
) -> LoadedKernel:
    """Return the kernel of a recipe: from this process, from disk, or compiled now."""
    key = kernel_key(recipe)
    kernel = _loaded.get(key)
    if kernel is None or is_observed():
        with _lock:
            kernel, is_compiled = _loaded.get(key), False
            if kernel is None or (is_observed() and not _is_kept(key, recipe)):
                with measure_kernels(), _code_allowed():
                    kernel, is_compiled = _load_or_compile(key, recipe, compile_kernel, text)
                _loaded[key] = kernel
            note(key, UsedKernel(_name(recipe), is_compiled, _is_kept(key, recipe)))
    return kernel


def is_compiled(recipe: str) -> bool:
    """Return whether the kernel of a recipe exists, in this process or on disk."""
    key = kernel_key(recipe)
    return key in _loaded or _is_kept(key, recipe)


def object_of(recipe: str, compile_kernel: Callable[[], tuple[bytes, str]]) -> tuple[bytes, str]:
    """Return object code of a recipe and its symbol name, from the cache folder or compiled now."""
    key = kernel_key(recipe)
    path = _path(key)
    stored = None if path is None else _read(path, key)
    if stored is None:
        stored = compile_kernel()
        if path is not None:
            _write(path, key, stored, recipe)
    return stored


def kernel_key(recipe: str) -> str:
    """Return a kernel's key in the cache: a hash of its recipe, its sources, and the machine."""
    is_by_numba = _WRITTEN.fullmatch(recipe) is not None
    content = "\n".join([_machine(is_by_numba), digest_of_sources(recipe), recipe])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:40]


@dataclass(slots=True)
class _Burst:
    """Compilations in quick succession, which are reported as one.

    Args:
        began: `time.monotonic()` at the start of the first.
        ended: `time.monotonic()` at the end of the last.
        n: Number of compilations.
    """

    began: float = 0.0
    ended: float = 0.0
    n: int = 0


_burst = _Burst()


def _name(recipe: str) -> str:
    """Return a kernel's name for users: folder and entry, or "features" for generated code."""
    written = _WRITTEN.fullmatch(recipe)
    return f"{written[1]}.{written[2]}" if written else "features"


def _shipped(recipe: str) -> objects.CompiledObject | None:
    """Return the object code of a hand-written kernel that came with the package, or None.

    It is None if there is none for this processor and these sources, or if a setting of Numba asks
    for other code.
    """
    written = _WRITTEN.fullmatch(recipe)
    if written is None or any(os.environ.get(name) for name in _SETTINGS):
        return None
    return objects.found(f"{written[1]}.{written[2]}", digest_of_sources(recipe))


def _is_kept(key: str, recipe: str) -> bool:
    """Return whether the kernel is on disk, so that other processes can load it."""
    if _shipped(recipe) is not None:
        return True
    path = _path(key)
    # pathlib raises for a folder of another user
    return path is not None and os.path.isfile(path)


@contextmanager
def _progress_of(recipe: str) -> Generator[None]:
    """Report that a kernel is being compiled, with its number among recent compilations."""
    now = time.monotonic()
    if now - _burst.ended > _PAUSE:
        _burst.began, _burst.n = now, 0
    _burst.n += 1
    try:
        told = f"compiling kernel {_burst.n} ({_name(recipe)})"
        with show_progress(told, since=_burst.began, is_event=True):
            yield
    finally:
        _burst.ended = time.monotonic()


@contextmanager
def _code_allowed() -> Generator[None]:
    """Raise BackendUnavailable if the system does not let this process run new code."""
    try:
        yield
    except (CodeRefused, PermissionError) as error:  # PermissionError comes from llvmlite
        raise BackendUnavailable(
            "backend='cpu' runs compiled kernels, but the system does not let this process run "
            f"new code ({reason_of(error)}). Allow it (in a systemd unit: "
            "MemoryDenyWriteExecute=no), or use backend='reference', which is slow but compiles "
            "nothing"
        ) from None


def _load_or_compile(
    key: str, recipe: str, compile_kernel: Compile, text: Callable[[], str] | None
) -> tuple[LoadedKernel, bool]:
    """Return a kernel that this process has not loaded yet, and whether it had to be compiled."""
    shipped = _shipped(recipe)
    if shipped is not None:
        with suppress(UnknownObject):
            return load_known(*shipped), False
    path = _path(key)
    stored = None if path is None else _read(path, key)
    is_compiled = stored is None
    if stored is None:
        with _locked(path):
            stored = None if path is None else _read(path, key)
            is_compiled = stored is None
            if stored is None:
                with _progress_of(recipe):
                    stored = compile_kernel()
                if callable(stored):
                    return stored, True
                if path is not None:
                    _write(path, key, stored, recipe, text)
    return load_object(*stored), is_compiled


@contextmanager
def _locked(path: Path | None) -> Generator[None]:
    """Hold a file lock in the `with` block, so that no other process compiles the same kernel."""
    lock = None if path is None else path.with_suffix(".lock")
    descriptor = None if lock is None else _lock_of(lock)
    try:
        yield
    finally:
        if lock is not None and descriptor is not None:
            with suppress(OSError):
                lock.unlink()
            os.close(descriptor)


def _lock_of(path: Path) -> int | None:
    """Return the file descriptor of a lock file, locked; None if that fails or takes too long."""
    if fcntl is None:
        return None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    try:
        if _is_locked(descriptor):
            return descriptor
        with show_progress("waiting for another process to compile a kernel", is_event=True):
            ends = time.monotonic() + _LONGEST_WAIT
            while time.monotonic() < ends:
                time.sleep(_ASKED_AGAIN)
                if _is_locked(descriptor):
                    return descriptor
    except OSError:  # a disk without locks
        pass
    os.close(descriptor)
    return None


def _is_locked(descriptor: int) -> bool:
    """Try to lock a file; return whether this process has the lock now."""
    assert fcntl is not None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _path(key: str) -> Path | None:
    """Return the path of a kernel's file; None if the user has no cache folder."""
    try:
        return cache_folder() / f"{key}.kernel"
    except FastfeatError as error:
        _warn_of_folder("the user's cache folder", error)
        return None


def _read(path: Path, key: str) -> tuple[bytes, str] | None:
    """Return object code and symbol name from a file; None unless it is intact and has this key."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    magic, digest, body = (
        content[: len(_MAGIC)],
        content[len(_MAGIC) :][:64],
        content[len(_MAGIC) + 64 :],
    )
    if magic != _MAGIC or _digest(key, body) != digest:
        return None
    symbol, _, code = body.partition(b"\n")
    return code, symbol.decode()


def _digest(key: str, body: bytes) -> bytes:
    """Return the digest of a file, including its key, because restoring files may mix up names.

    Without the key, the intact code of `x - y` would run in place of `x + y`.
    """
    return hashlib.sha256(key.encode() + b"\n" + body).hexdigest().encode()


def _write(
    path: Path,
    key: str,
    stored: tuple[bytes, str],
    recipe: str,
    text: Callable[[], str] | None = None,
) -> None:
    """Write object code to a file, and beside it a text about it for people to read."""
    ending, beside = (".py", recipe) if text is None else (".ll", text())
    code, symbol = stored
    body = symbol.encode() + b"\n" + code
    content = _MAGIC + _digest(key, body) + body
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic.write_bytes(path.with_suffix(ending), beside.encode(), private=True)
        atomic.write_bytes(path, content, private=True)
    except OSError as error:
        _warn_of_folder(str(path.parent), error)


def warn_once(about: str, message: str) -> None:
    """Warn at the line of the user's code, once per process and subject `about`."""
    if about not in _warned:
        _warned.add(about)
        warn(message, KernelsNotKept)


def _warn_of_folder(folder: str, error: Exception) -> None:
    reason = reason_of(error)
    warn_once(
        folder,
        f"compiled kernels cannot be kept in {folder} ({reason}), so each process compiles its "
        "own. Set FASTFEAT_CACHE_DIR to a writable folder",
    )


# A fork waits for a compilation to end: in the child, nobody would release the locks of LLVM.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _lock.acquire(),
        after_in_parent=lambda: _lock.release(),
        after_in_child=lambda: _lock.release(),
    )


@cache
def _machine(is_by_numba: bool) -> str:
    """Return all that object code depends on besides sources, as text: compilers and CPU."""
    compilers = [_version("llvmlite"), sys.platform]
    if is_by_numba:
        compilers += [_version("numba"), sys.implementation.cache_tag]
    names = _SETTINGS if is_by_numba else _TARGET
    settings = [f"{name}={os.environ.get(name)}" for name in names]
    return ", ".join([*compilers, processor.description() or _host_of_llvm(), *settings])


def _host_of_llvm() -> str:
    """Return the processor's name and features as LLVM gives them.

    It is used if the system does not describe the processor.
    """
    from llvmlite import binding  # pyright: ignore[reportMissingTypeStubs]  # it has no stubs

    features = binding.get_host_cpu_features().flatten()
    return f"{binding.get_process_triple()}, {binding.get_host_cpu_name()}, {features}"


def _version(package: str) -> str:
    """Return the version of an installed package, from the name of its metadata folder.

    `importlib.metadata` gives the same, but importing it takes 30 ms.
    """
    spec = find_spec(package)
    if spec is not None and spec.origin is not None:
        for folder in Path(spec.origin).parent.parent.glob(f"{package}-*.dist-info"):
            return folder.name.removesuffix(".dist-info")
    from importlib.metadata import version

    return f"{package}-{version(package)}"


def digest_of_sources(recipe: str) -> str:
    """Return a digest of the sources of all modules that a recipe imports, also indirectly."""
    return _digest_of_sources(tuple(imports_of(recipe.encode("utf-8", "surrogatepass"))))


@cache
def _digest_of_sources(imports: tuple[Import, ...]) -> str:
    return digest_of(sources_of(imports, package_folders()))


def tell_not_kept(why: str, todo: str) -> None:
    """Warn, once per process, that compiled kernels are lost when this process ends."""
    warn_once(
        "kernels that cannot be kept",
        f"compiled kernels cannot be kept for other processes ({why}), so each process compiles "
        f"its own. Results are the same. {todo}",
    )


def tell_foreign(needed: Exception) -> None:
    """Warn that compiled kernels are not kept, since their machine code calls library functions."""
    tell_not_kept(
        f"on this processor they call functions of other libraries: {needed}",
        "If NUMBA_CPU_NAME or NUMBA_CPU_FEATURES is set, remove it",
    )
