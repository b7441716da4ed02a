"""Compiled code of this machine: its folder, its files, what it is made from, and who asks for it.

Kernels are noted while somebody looks: that is what `compile` counts.

The sources that machine code is made from are the modules that a text imports, and theirs. They
are found in the import statements of the files themselves, wherever these stand. A list of folders
would be empty once a folder moves, and code that was compiled from other sources would run.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from fastfeat.errors import FastfeatError
from fastfeat.io.sinks.atomic import TEMPORARY

_CODE = re.compile(r"[0-9a-f]{40}(\.kernel|-[0-9a-f]{16}\.[a-z]+)")

_BESIDE_CODE = re.compile(r"[0-9a-f]{40}(\.py|\.[a-z]+\.digest)")


def cache_folder() -> Path:
    """Return the folder of compiled code: FASTFEAT_CACHE_DIR, or the user's cache folder.

    Raises:
        FastfeatError: neither that variable nor the home folder of the user is known.
    """
    chosen = os.environ.get("FASTFEAT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    try:
        return _user_folder()
    except RuntimeError as error:
        raise FastfeatError(f"{error} Set FASTFEAT_CACHE_DIR to a folder for kernels") from None


def _user_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "fastfeat"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fastfeat"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastfeat"


def written_files() -> list[Path]:
    """Return the files in the folder that were written here, never what others keep there."""
    patterns = (_CODE, _BESIDE_CODE, TEMPORARY)
    return [
        path
        for path in cache_folder().glob("*")
        if any(pattern.fullmatch(path.name) for pattern in patterns) and path.is_file()
    ]


def is_code(path: Path) -> bool:
    """Return whether a file is a compiled kernel, not what belongs to one."""
    return _CODE.fullmatch(path.name) is not None


class UsedKernel(NamedTuple):
    """A kernel that was asked for.

    Args:
        name: its folder and entry, such as "windows.compute"; of generated code "features".
        is_compiled: whether it had to be compiled; else it was there already.
        is_kept: whether it is on disk now, for other processes.
    """

    name: str
    is_compiled: bool
    is_kept: bool


_observers: list[dict[str, UsedKernel]] = []


@contextmanager
def observing() -> Generator[dict[str, UsedKernel]]:
    """Give the kernels that a block asks for, by their keys.

    Each is on disk then, if it can be: what this process has loaded, and the file of which is gone,
    is compiled again.
    """
    used: dict[str, UsedKernel] = {}
    _observers.append(used)
    try:
        yield used
    finally:
        _observers[:] = [other for other in _observers if other is not used]


def is_observed() -> bool:
    """Return whether somebody looks."""
    return bool(_observers)


def note(key: str, used: UsedKernel) -> None:
    """Tell whoever looks of a kernel; the first time counts."""
    for seen in _observers:
        seen.setdefault(key, used)


_IMPORT = re.compile(  # begins with what few lines but imports hold, which is found fast
    rb"fastfeat(?:_kernels)?(?:\.\w+)*\b(?![./])"
    rb"(?:[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n]*))?"
)
_COMMENT = re.compile(rb"#[^\n]*")

Places = Mapping[str, str]  # the folders of `fastfeat` and `fastfeat_kernels`


@dataclass(frozen=True, slots=True)
class Import:
    """A statement that imports modules of ours.

    Args:
        module: its name, with dots.
        names: what is taken from it, which may be modules too; () for the module itself.
    """

    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """The file of a module.

    Args:
        content: of the file.
        imports: the statements in it that import modules of ours.
    """

    content: bytes
    imports: tuple[Import, ...]


def imports_of(source: bytes) -> Iterator[Import]:
    """Yield the imports of our modules in a source, those inside functions as well.

    A parser takes ten times as long; a test compares the two on every file.
    """
    for found in _IMPORT.finditer(source):
        start = source.rfind(b"\n", 0, found.start()) + 1
        before, names = source[start : found.start()].split(), found["names"]
        module = found[0].split()[0].decode()
        if before == [b"from"] and names is not None:
            yield Import(module, _names(names.strip(b"()")))
        elif before[:1] == [b"import"]:
            yield Import(module)


def sources_of(imports: Iterable[Import], places: Places) -> dict[str, bytes]:
    """Return the content of every module that is imported, directly or by another, by its name.

    Of a package it is the file that is imported by name, and no package above it.

    Args:
        imports: where to begin.
        places: the folders of our packages.

    Raises:
        FastfeatError: nothing is imported, or the source of a module is not there.
    """
    found: dict[str, bytes] = {}
    waiting = list(imports)
    while waiting:
        for module in _modules(waiting.pop(), places):
            if module not in found:
                source = source_of(module, places[module.partition(".")[0]])
                found[module] = source.content
                waiting.extend(source.imports)
    if not found:
        raise FastfeatError("a kernel is compiled from no module of fastfeat: its name would lie")
    return found


@cache
def source_of(module: str, folder: str) -> Source:
    """Return the source of a module, which a process reads once.

    Args:
        module: its name.
        folder: of its package, such as `fastfeat`.

    Raises:
        FastfeatError: it is not there.
    """
    path = _path(module, folder)
    path = f"{path}/__init__.py" if _is_folder(path) else f"{path}.py"
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise FastfeatError(
            f"the source of {module}, by which compiled kernels are named, cannot be read at "
            f"{path}: {error.strerror or error}. Install fastfeat anew, with its sources"
        ) from None
    return Source(content, tuple(imports_of(content)))


def digest_of(sources: Mapping[str, bytes]) -> str:
    """Return a digest of modules: of their names and contents."""
    digest = hashlib.sha256()
    for module, content in sorted(sources.items()):
        digest.update(f"{module} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


@cache
def installed() -> Places:
    """Return the folders of our packages, by name."""
    places: dict[str, str] = {}
    for name in ("fastfeat", "fastfeat_kernels"):
        spec = find_spec(name)
        folders = None if spec is None else spec.submodule_search_locations
        if not folders:
            raise FastfeatError(f"the package {name} has no folder. Install fastfeat anew")
        places[name] = folders[0]
    return places


def _names(listed: bytes) -> tuple[str, ...]:
    """Return the names in a list of an import statement, less what they are called here."""
    parts = _COMMENT.sub(b"", listed).split(b",")
    return tuple([part.split()[0].decode() for part in parts if part.strip()])


@cache
def _modules_of(module: str, names: tuple[str, ...], folder: str) -> tuple[str, ...]:
    """Return the modules of an import: those among its names, and its own if a name is of that."""
    path = _path(module, folder)
    inner: list[str] = []
    if _is_folder(path):
        inner = [name for name in names if _is_module(f"{path}/{name}")]
    own = [module] if len(inner) < max(1, len(names)) else []
    return (*own, *[f"{module}.{name}" for name in inner])


def _modules(statement: Import, places: Places) -> tuple[str, ...]:
    folder = places[statement.module.partition(".")[0]]
    return _modules_of(statement.module, statement.names, folder)


def _is_module(path: str) -> bool:
    return _is_folder(path) or os.path.isfile(f"{path}.py")


@cache
def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


def _path(module: str, folder: str) -> str:
    """Return the path of a module, less the ending of a file."""
    return "/".join([folder, *module.split(".")[1:]])
