"""Compile the hand-written kernels into the package: `python -m fastfeat.engine.cpu.ship`.

The wheel build does this, and so does `make` in a checkout. Objects of unchanged sources are kept.
On systems other than x86-64 Linux nothing is compiled: there each process compiles the kernels that
it uses, and keeps them in the cache folder.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fastfeat_kernels
from fastfeat_kernels import objects

from fastfeat.engine.cpu.kernels import sources_of_written, written_object
from fastfeat.io.sinks import atomic

V4 = "x86-64-v4"
FASTER_BY_V4 = frozenset(
    {
        "grouped.rows",
        "grouped.sort",
        "lists.sums",
        "moments.floats",
        "text.case",
        "text.len_chars",
        "text.pieces",
        "text.token_count",
        "windows.compute_any",
        "windows.compute_ordered",
    }
)
"""Kernels that are compiled for x86-64-v4 too, which made them 4 to 47 % faster than x86-64-v3.

`python -m bench.shipped --target x86-64-v4` measures it; the table of what is shipped is
`bench/results/shipped.md`.
"""
_EVERY_S = 2.0
"""Seconds between two lines of progress."""


def ship(folder: Path) -> int:
    """Compile the hand-written kernels that a folder lacks, for all targets; return their number.

    `folder` receives the objects and their manifest.

    Raises:
        CalledProcessError: A kernel cannot be compiled; its error was printed.
    """
    wanted: dict[str, str] = {}
    if sys.platform == "linux" and platform.machine() == "x86_64":
        wanted = {f"{name}.{entry}": sources_of_written(name, entry) for name, entry in _entries()}
    else:
        told = "kernels are not compiled in advance, because this is not x86-64 Linux"
        print(told, file=sys.stderr)
    known = objects.manifest_of(folder)
    listed = {name: known[name] for name, s in wanted.items() if _is_there(name, s, folder)}
    missing = sorted(wanted.keys() - listed.keys())
    for target in objects.TARGETS:
        names = [name for name in missing if target in targets_of(name)]
        for name, found in _compiled_by_another(names, target, folder).items():
            made_by = {key: found[key] for key in ("sources", "compiler")}
            entry = listed.setdefault(name, {**made_by, "targets": {}})
            entry["targets"][target] = {key: found[key] for key in ("symbol", "digest")}
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"format": objects.FORMAT, "kernels": listed}, indent=1, sort_keys=True)
    atomic.write_bytes(folder / objects.MANIFEST, content.encode() + b"\n")
    objects.manifest_of.cache_clear()
    kept = {objects.file_of(name, target, folder) for name in wanted for target in targets_of(name)}
    for path in set(folder.glob("*/*.o")) - kept:
        path.unlink()
    return len(missing)


def targets_of(name: str) -> list[str]:
    """Return the processor targets that a kernel is compiled for."""
    return [target for target in objects.TARGETS if target != V4 or name in FASTER_BY_V4]


def _entries() -> list[tuple[str, str]]:
    """Return folder and entry of each hand-written kernel."""
    package = Path(fastfeat_kernels.__file__).parent
    found = [path.parent for path in package.glob("*/cpu.py")]
    found += [path.parent.parent for path in package.glob("*/cpu/__init__.py")]
    names = sorted(path.name for path in found)
    modules = {name: import_module(f"fastfeat_kernels.{name}.cpu") for name in names}
    return [(name, entry) for name, module in modules.items() for entry in module.ENTRIES]


def _is_there(name: str, sources: str, folder: Path) -> bool:
    """Return whether a folder has all objects of a kernel, from these sources and compilers."""
    listed = objects.manifest_of(folder).get(name)
    if listed is None or (listed["sources"], listed.get("compiler")) != (sources, _compiler()):
        return False
    of, wanted = listed["targets"], targets_of(name)
    if of.keys() != set(wanted):
        return False
    return all(objects.read(name, target, of[target], folder) is not None for target in wanted)


def _compiler() -> str:
    """Return the versions of the compilers as text, which an object records for later builds.

    Running the object ignores them, because machine code needs no compiler.
    """
    return ", ".join(f"{name} {version(name)}" for name in ("numba", "llvmlite"))


def _compiled_by_another(names: Sequence[str], target: str, folder: Path) -> dict[str, Any]:
    """Compile kernels in another process; return their objects as the manifest lists them.

    The digest of the sources comes from that process, since they may change while it starts. Numba
    reads its target once, from the environment. The user's other settings of Numba are removed,
    because the code is for everybody.
    """
    if not names:
        return {}
    given = os.environ.get("PYTHONPATH")
    own = str(Path(__file__).parents[3]), str(Path(fastfeat_kernels.__file__).parents[1])
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("NUMBA_")},
        "NUMBA_CPU_NAME": target,
        "NUMBA_CPU_FEATURES": "",
        "PYTHONPATH": os.pathsep.join([*own, *([given] if given else [])]),
    }
    command = [sys.executable, "-m", __spec__.name, target, str(folder)]
    done = subprocess.run(
        command, env=environment, input="\n".join(names), text=True, stdout=subprocess.PIPE
    )
    done.check_returncode()
    return json.loads(done.stdout)


def _compile(names: Sequence[str], target: str, folder: Path) -> dict[str, Any]:
    """Compile kernels in this process, for the target that its environment names.

    `_compiled_by_another` describes the result.
    """
    (folder / target).mkdir(parents=True, exist_ok=True)
    listed: dict[str, Any] = {}
    told = time.monotonic()
    for k, name in enumerate(names, 1):
        sources = sources_of_written(*name.split("."))
        code, symbol = written_object(*name.split("."))
        atomic.write_bytes(objects.file_of(name, target, folder), code)
        made_by = {"sources": sources, "compiler": _compiler()}
        listed[name] = {**objects.entry_of(code, symbol), **made_by}
        if time.monotonic() - told > _EVERY_S or k == len(names):
            told = time.monotonic()
            print(f"compiling kernels for {target}: {k} of {len(names)}", file=sys.stderr)
    return listed


def main(arguments: Sequence[str]) -> None:
    """Compile the missing kernels; with a target and folder, the kernels named on stdin."""
    if len(arguments) == 2:
        names = sys.stdin.read().split()
        print(json.dumps(_compile(names, arguments[0], Path(arguments[1]))))
    else:
        ship(objects.FOLDER)


if __name__ == "__main__":
    main(sys.argv[1:])
