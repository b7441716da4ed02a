"""The processor of this process, as Linux describes it: asked without a compiler.

The flags are those that programs may use: what the system has turned off is not among them.
"""

from __future__ import annotations

import sys
from functools import cache

_FILE = "/proc/cpuinfo"
_MOST = 1 << 14  # bytes; the description of one processor has 2,000 to 3,000
_NAMES = ("vendor_id", "cpu family", "model", "stepping", "flags")

V2 = frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"})
V3 = V2 | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}
"""What the levels of x86-64 ask for, by the names of Linux. Source: its psABI, section 3.1.1."""


def description() -> str | None:
    """Return the names of all by which two processors differ for a compiler; None if not known."""
    found = _found()
    return None if found is None else ", ".join(f"{name} {found[name]}" for name in _NAMES)


def flags() -> frozenset[str]:
    """Return the instruction sets that programs may use here; none where they are not known."""
    found = _found()
    return frozenset() if found is None else frozenset(found["flags"].split())


@cache
def _found() -> dict[str, str] | None:
    """Return the facts that the system tells of a processor of x86-64; None of another one."""
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
