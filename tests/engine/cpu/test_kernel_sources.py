"""What names a kernel: every source that shapes its machine code, and no other."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from fastfeat_kernels import compile as kernel_compile
from fastfeat_kernels import llvm, records
from fastfeat_kernels.rows import cpu as rows_on_cpu

from fastfeat.api import plan
from fastfeat.engine import sources
from fastfeat.engine.cpu import compiled, kernels, render
from fastfeat.engine.cpu.cache import kernel_key, recipe_of_written
from fastfeat.engine.sources import Import, digest_of, imports_of, package_folders, sources_of
from fastfeat.errors import FastfeatError
from fastfeat.scalars import primitives

GENERATED = compiled._BY_LLVM


def module_of(path: Path, places: Mapping[str, str]) -> str:
    """Return the name of the module in a file."""
    for package, folder in places.items():
        if path.is_relative_to(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            return ".".join([package, *(part for part in parts if part != "__init__")])
    raise AssertionError(path)


def modules(places: Mapping[str, str]) -> dict[str, Path]:
    """Return the file of every module of both packages."""
    files = [path for folder in places.values() for path in Path(folder).rglob("*.py")]
    return {module_of(path, places): path for path in files}


@cache
def texts() -> dict[str, str]:
    """Return a recipe for each family of kernels: the generated, and each folder with entries."""
    written = [
        module.split(".")[1]
        for module, path in modules(package_folders()).items()
        if re.search(r"^ENTRIES\b", path.read_text(), re.MULTILINE)
    ]
    assert len(written) > 10, written
    return {"generated": GENERATED, **{name: recipe_of_written(name, "any") for name in written}}


def sources_of_text(text: str, places: Mapping[str, str]) -> dict[str, bytes]:
    return sources_of(tuple(imports_of(text.encode())), places)


def forget() -> None:
    """Read sources anew, as another process does."""
    for remembered in (sources.source_of, sources._modules_of, sources._is_folder):
        remembered.cache_clear()


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Return the folders of a copy of both packages, which a test may edit."""
    ignored = shutil.ignore_patterns("__pycache__", "objects")
    for package, folder in package_folders().items():
        shutil.copytree(folder, tmp_path / package, ignore=ignored)
    yield {package: str(tmp_path / package) for package in package_folders()}
    forget()


@cache
def parsed(content: bytes) -> set[Import]:
    """Return the imports that a parser finds."""
    ours = re.compile(r"fastfeat(_kernels)?(\.|$)")
    found: set[Import] = set()
    for node in ast.walk(ast.parse(content)):
        match node:
            case ast.Import():
                found |= {Import(a.name) for a in node.names if ours.match(a.name)}
            case ast.ImportFrom(module=str(module), level=0) if ours.match(module):
                found.add(Import(module, tuple(a.name for a in node.names)))
            case ast.ImportFrom():
                assert not node.level, "a relative import, which imports_of does not read"
            case _:
                pass
    return found


def test_imports_are_those_that_a_parser_finds() -> None:
    found = modules(package_folders())
    assert len(found) > 200
    of_kernels = set[str]().union(
        *(sources_of_text(t, package_folders()) for t in texts().values())
    )
    for module, path in found.items():
        content = path.read_bytes()
        expected = parsed(content)
        assert set(imports_of(content)) >= expected, module
        if module in of_kernels:  # elsewhere examples in docstrings begin so too
            assert set(imports_of(content)) == expected, module


def test_nothing_is_compiled_from_a_file_that_no_statement_imports() -> None:
    """A module that reads files or imports by a name made at run time hides what it depends on."""
    hidden = re.compile(rb"__file__|importlib|__import__|\bopen\(|read_text|read_bytes|exec\(")
    for name, text in texts().items():
        for module, content in sources_of_text(text, package_folders()).items():
            found = hidden.findall(content)
            if module == records.__name__:  # the text of `__init__` has names of fields, no import
                found.remove(b"exec(")
            assert not found, (name, module, found)


def test_each_source_of_a_kernel_changes_its_digest_and_no_other(
    copied: Mapping[str, str],
) -> None:
    forget()
    files = modules(copied)
    whole = {name: sources_of_text(text, copied) for name, text in texts().items()}
    digests = {name: digest_of(found) for name, found in whole.items()}
    used = set[str]().union(*whole.values())
    assert len(used) > 100
    for module in sorted(used):
        content = files[module].read_bytes()
        files[module].write_bytes(content + b"\n")
        forget()
        for name, text in texts().items():
            digest = digest_of(sources_of_text(text, copied))
            assert (digest != digests[name]) == (module in whole[name]), (name, module)
        files[module].write_bytes(content)
    for module in files.keys() - used:
        files[module].write_bytes(b"raise NotImplementedError\n")
    forget()
    assert {n: digest_of(sources_of_text(t, copied)) for n, t in texts().items()} == digests


def test_what_shapes_generated_code_is_among_its_sources() -> None:
    found = sources_of_text(GENERATED, package_folders())
    expected = (render, primitives, llvm)
    assert {module.__name__ for module in expected} <= found.keys()
    unused = ("fastfeat", plan.__name__, kernels.__name__, kernel_compile.__name__)
    assert not found.keys() & set(unused)


def test_a_source_that_has_moved_is_an_error(copied: Mapping[str, str]) -> None:
    forget()
    moved = modules(copied)[primitives.__name__]
    moved.rename(moved.with_name("elsewhere.py"))
    with pytest.raises(FastfeatError, match=r"primitives, by which .* cannot be read at .*"):
        sources_of_text(GENERATED, copied)
    shutil.rmtree(copied["fastfeat_kernels"])
    forget()
    with pytest.raises(FastfeatError, match=r"^the source of fastfeat_kernels\."):
        sources_of_text(recipe_of_written("rows", "blocks"), copied)


def test_no_source_at_all_is_an_error() -> None:
    with pytest.raises(FastfeatError, match="does not come from the package fastfeat"):
        sources_of([], package_folders())
    with pytest.raises(FastfeatError, match=r"the source of fastfeat\.nowhere"):
        kernel_key("from fastfeat.nowhere import *\n")


def test_no_module_imports_the_package_itself() -> None:
    """What it imports would come with one name of it, and would name every kernel."""
    demo = "fastfeat.demo"  # is written as a user writes
    for module, path in modules(package_folders()).items():
        if module == "fastfeat" or module.startswith(demo):
            continue
        for found in parsed(path.read_bytes()):
            named = sources._modules_of(found.module, found.names, package_folders()["fastfeat"])
            assert found.module != "fastfeat" or "fastfeat" not in named, module


PLAN = """
import fastfeat as ff
rows = {"x": [1.0, None, 3.0]}
plan = ff.Plan({"y": (ff.col("x") + 1.25).log1p()})
print(plan.fit(rows, backend="cpu").transform(rows)["y"].to_pylist())
"""


def n_kernels(copied: Mapping[str, str], folder: Path) -> int:
    """Return how many kernels are kept after a process has run a plan by the copied sources."""
    path = os.pathsep.join(dict.fromkeys(str(Path(place).parent) for place in copied.values()))
    variables = {**os.environ, "PYTHONPATH": path, "FASTFEAT_CACHE_DIR": str(folder)}
    command = [sys.executable, "-W", "error", "-c", PLAN]
    done = subprocess.run(
        command, env=variables, cwd=folder.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("[1.17"), done
    return len(list(folder.glob("*.kernel")))


def test_a_process_compiles_anew_what_an_edit_has_changed(
    copied: Mapping[str, str], tmp_path: Path
) -> None:
    folder, files = tmp_path / "kernels", modules(copied)
    whole = n_kernels(copied, folder)
    assert whole >= 2  # the loops, and what drives them
    kept = whole
    for module, n_changed in (
        (plan, 0),
        (primitives, whole - 1),
        (render, whole - 1),
        (rows_on_cpu, 1),
        (kernel_compile, 1),
        (llvm, whole),
    ):
        with files[module.__name__].open("a") as file:
            file.write("\n# an edit\n")
        kept += n_changed
        assert n_kernels(copied, folder) == kept, module
