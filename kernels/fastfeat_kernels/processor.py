"""The processor of this process, from Linux's description, without a compiler.

The flags are those that programs may use, without those that the system has turned off.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

_FILE = "/proc/cpuinfo"
_MOST = 1 << 14  # bytes; the description of one processor has 2,000 to 3,000
_NAMES = ("vendor_id", "cpu family", "model", "stepping", "flags")

V2 = frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"})
V3 = V2 | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
"""Flags of the levels V2, V3 and V4 of x86-64, by their names in Linux. Source: psABI, 3.1.1."""


def description() -> str | None:
    """Return all names that distinguish processors for a compiler; None if unknown."""
    found = _found()
    return None if found is None else ", ".join(f"{name} {found[name]}" for name in _NAMES)


def flags() -> frozenset[str]:
    """Return the instruction sets that programs may use here; empty if unknown."""
    found = _found()
    return frozenset() if found is None else frozenset(found["flags"].split())


@cache
def lanes() -> int:
    """Return the number of float64 in a vector register of this processor."""
    known = flags() if description() is not None else _flags_of_llvm()
    return 8 if "avx512f" in known else 4 if "avx" in known else 2


def _flags_of_llvm() -> frozenset[str]:
    """Return the instruction sets that LLVM finds; its vector sets of x86-64 have Linux's names."""
    import llvmlite.binding as llvmlite_binding  # pyright: ignore[reportMissingTypeStubs]

    binding: Any = llvmlite_binding  # it has no types
    found: dict[str, bool] = binding.get_host_cpu_features()
    return frozenset(name for name, is_there in found.items() if is_there)


@cache
def _found() -> dict[str, str] | None:
    """Return the system's facts about an x86-64 processor; None for another one."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return None
    try:
        with open(_FILE, "rb") as file:
            text = file.read(_MOST).partition(b"\n\n")[0].decode("utf-8", "replace")
    except OSError:
        return None
    lines = (line.partition(":") for line in text.splitlines())
    found = {name.strip(): value.strip() for name, _, value in lines}
    return found if all(name in found for name in _NAMES) else None
