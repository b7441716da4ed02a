"""The sources that machine code is made from: the modules that a text imports, and theirs.

They are found in the import statements of the files themselves, wherever these stand. A list of
folders would be empty once a folder moves, and code that was compiled from other sources would run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from fastfeat.errors import FastfeatError

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
