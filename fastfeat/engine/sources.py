"""The source files behind machine code: the modules that a recipe imports, and those they import.

A recipe is a few lines of Python that make a kernel. The modules are found from import statements.
A fixed list of folders would silently be empty after a folder moved, and code compiled from other
sources would run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec

from fastfeat_kernels.records import dataclass

from fastfeat.errors import FastfeatError

_IMPORT = re.compile(  # begins with text that is rare outside imports, to be found fast
    rb"fastfeat(?:_kernels)?(?:\.\w+)*\b(?![./])"
    rb"(?:[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n]*))?"
)
_COMMENT = re.compile(rb"#[^\n]*")

PackageFolders = Mapping[str, str]  # the folders of `fastfeat` and `fastfeat_kernels`


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement of a module of this project.

    Args:
        module: Name of the module, with dots.
        names: Names imported from it, which may be modules too; () for the module itself.
    """

    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """The file of a module.

    Args:
        content: Content of the file.
        imports: Its statements that import modules of this project.
    """

    content: bytes
    imports: tuple[Import, ...]


def imports_of(source: bytes) -> Iterator[Import]:
    """Yield the imports of this project's modules in a source, including those inside functions.

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


def sources_of(imports: Iterable[Import], places: PackageFolders) -> dict[str, bytes]:
    """Return the source of every module that some imports read, also indirectly, by module name.

    The source of a package is its `__init__` file. Parent packages are left out unless they are
    imported by name.
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
        raise FastfeatError(
            "a compiled kernel cannot be cached, because its code does not come from the package "
            "fastfeat. This is an error of fastfeat: please report it"
        )
    return found


@cache
def source_of(module: str, folder: str) -> ModuleSource:
    """Return the content and the imports of a module's file, read once per process.

    `folder` is the folder of the top-level package, such as `fastfeat`.
    """
    path = _path(module, folder)
    path = f"{path}/__init__.py" if _is_folder(path) else f"{path}.py"
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise FastfeatError(
            f"the source of {module}, by which compiled kernels are found again, cannot be read "
            f"at {path}: {error.strerror or error}. Reinstall fastfeat, with its sources"
        ) from None
    return ModuleSource(content, tuple(imports_of(content)))


def digest_of(sources: Mapping[str, bytes]) -> str:
    """Return a digest of the names and contents of modules."""
    digest = hashlib.sha256()
    for module, content in sorted(sources.items()):
        digest.update(f"{module} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


@cache
def package_folders() -> PackageFolders:
    """Return the folders of the project's packages, by name."""
    places: dict[str, str] = {}
    for name in ("fastfeat", "fastfeat_kernels"):
        spec = find_spec(name)
        folders = None if spec is None else spec.submodule_search_locations
        if not folders:
            raise FastfeatError(f"the package {name} has no folder. Reinstall fastfeat")
        places[name] = folders[0]
    return places


def _names(listed: bytes) -> tuple[str, ...]:
    """Return the names in an import statement's list, without their `as` aliases."""
    parts = _COMMENT.sub(b"", listed).split(b",")
    return tuple([part.split()[0].decode() for part in parts if part.strip()])


@cache
def _modules_of(module: str, names: tuple[str, ...], folder: str) -> tuple[str, ...]:
    """Return the modules that one import statement reads.

    These are the imported names that are modules themselves, and `module` if it defines any other
    of the names, or if there are no names.
    """
    path = _path(module, folder)
    inner: list[str] = []
    if _is_folder(path):
        inner = [name for name in names if _is_module(f"{path}/{name}")]
    own = [module] if len(inner) < max(1, len(names)) else []
    return (*own, *[f"{module}.{name}" for name in inner])


def _modules(statement: Import, places: PackageFolders) -> tuple[str, ...]:
    folder = places[statement.module.partition(".")[0]]
    return _modules_of(statement.module, statement.names, folder)


def _is_module(path: str) -> bool:
    return _is_folder(path) or os.path.isfile(f"{path}.py")


@cache
def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


def _path(module: str, folder: str) -> str:
    """Return the path of a module without its file ending."""
    return "/".join([folder, *module.split(".")[1:]])
