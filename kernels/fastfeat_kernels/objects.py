"""Precompiled hand-written kernels: from the wheel, or compiled once in a checkout.

A manifest names each by its entry, with a digest of its sources and a digest of the object. An
object that was altered, swapped, or compiled from other sources is not found.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from fastfeat_kernels import processor

FOLDER = Path(__file__).parent / "objects"
MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
TARGETS: Final = {"x86-64-v4": processor.V4, "x86-64-v3": processor.V3}
"""The flags that each target needs, by its name in LLVM, the fastest first.

A processor gets the first target that it can run and that the kernel was compiled for.
"""


class CompiledObject(NamedTuple):
    """A compiled kernel.

    Args:
        code: The object file.
        symbol: Name of its function.
    """

    code: bytes
    symbol: str


def file_of(entry: str, target: str, folder: Path) -> Path:
    """Return the file of an object in the folder of objects.

    `entry` is the folder and entry of the kernel, such as "windows.compute"; `target` is a name
    such as "x86-64-v3".
    """
    return folder / target / f"{entry}.o"


def found(entry: str, sources: str) -> CompiledObject | None:
    """Return the object of a kernel for this processor, if there is one.

    `entry` is the folder and entry of the kernel, `sources` a digest of its sources.
    """
    folder = FOLDER
    listed: Any = manifest_of(folder).get(entry)
    if listed is None or listed["sources"] != sources:
        return None
    known = listed["targets"]
    objects = (
        read(entry, target, known[target], folder) for target in targets() if target in known
    )
    return next((one for one in objects if one is not None), None)


def targets() -> list[str]:
    """Return the targets that this processor can run, the fastest first."""
    return [target for target, needed in TARGETS.items() if needed <= processor.flags()]


def entry_of(code: bytes, symbol: str) -> dict[str, str]:
    """Return the symbol and the digest of an object, for the manifest."""
    return {"symbol": symbol, "digest": hashlib.sha256(code).hexdigest()}


@cache
def manifest_of(folder: Path) -> dict[str, Any]:
    """Return the entries of a manifest; empty without a complete one."""
    try:
        with open(folder / MANIFEST, "rb") as file:
            content = json.loads(file.read())
        return _checked(content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _checked(content: Any) -> dict[str, Any]:
    """Return the entries of a manifest."""
    if content["format"] != FORMAT:
        raise ValueError(f"the manifest has format {content['format']}, not {FORMAT}")
    for entry, listed in content["kernels"].items():
        told = [one[name] for one in listed["targets"].values() for name in ("symbol", "digest")]
        if not all(isinstance(part, str) for part in (entry, listed["sources"], *told)):
            raise TypeError("the names and digests in the manifest must be text")
    return content["kernels"]


def read(entry: str, target: str, listed: dict[str, str], folder: Path) -> CompiledObject | None:
    """Return an object of the manifest; None if its file does not match the manifest.

    `listed` is the entry of the manifest.
    """
    try:
        with open(file_of(entry, target, folder), "rb") as file:
            code = file.read()
    except OSError:
        return None
    is_whole = hashlib.sha256(code).hexdigest() == listed["digest"]
    return CompiledObject(code, listed["symbol"]) if is_whole else None
