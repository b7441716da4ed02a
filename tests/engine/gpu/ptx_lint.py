"""What the assembly of a kernel may not hold, because it would change bits or cost memory."""

from __future__ import annotations

import re

_FORBIDDEN = {
    r"\.ftz\b": "flushes small numbers to zero",
    r"\.(?:approx|full)\b": "approximates",
    r"\b(?:add|sub|mul|div|sqrt)\.f(?:32|64)\b": "may be contracted: it names no rounding",
    # `x > c ? x : c` is a maximum for NaN too, and where c is no zero that -0.0 comes before
    r"\b(?:max\.f64(?!.*, 0d[0-7])|min\.f64(?!.*, 0d(?!0000000000000000|8000000000000000))|"
    r"(?:min|max)(?!\.f64)(?:\.[A-Za-z]+)*\.f(?:16|32|64))\b": "has rules of its own for NaN, -0.0",
    r"\b(?:sin|cos|ex2|lg2|tanh)\.": "is a function of the hardware, approximate",
    r"\.local\b": "is memory of a thread",
    r"^(?:@!?%\w+ )?(?:ld|st|atom|red)\b(?!.*\.(?:global|shared|param)\b)": "leaves memory open",
    r"\.extern\b(?! \.shared\b.*\bff_dynamic_shared\b)": "comes from elsewhere",
}
_MAXIMUM = re.compile(r"max\.f64\s+(%\w+),")
_OWN_FUNCTION = re.compile(r"\b_Z\w*\dff_\w+")
_FMA = re.compile(r"\bfma\.\w+\.f(?:32|64)\b|\bmad\.\w+\.f(?:32|64)\b")
_FUNCTION = re.compile(r"__device__ (__\w+__) \w+ (\w+)\([^)]*\) \{\n(.*?)\n\}", re.DOTALL)
_KERNEL = re.compile(r"__global__ void.*?\n?\w+\([^)]*\) \{\n(.*?)\n\}", re.DOTALL)


def findings(ptx: str, n_fma: int) -> list[str]:
    """Return what is wrong with the assembly of a module, a line each.

    Args:
        ptx: the assembly.
        n_fma: how many fused operations its text spells out.
    """
    found: list[str] = []
    lines = [line.partition("//")[0].strip() for line in ptx.splitlines()]
    for number, code in enumerate(lines, 1):
        if _is_compared_only(lines, number - 1):
            continue
        found += [
            f"line {number}: {code}: {why}"
            for pattern, why in _FORBIDDEN.items()
            if re.search(pattern, code)
        ]
        if code.startswith((".func", "call")) and not _called_is_ours(ptx, number):
            found.append(f"line {number}: {code}: calls what is not ours")
    fused = len(_FMA.findall(ptx))
    if fused > n_fma:
        found.append(f"{fused} fused operations, the text spells out {n_fma}")
    return found


def _is_compared_only(lines: list[str], place: int) -> bool:
    """Whether a line is a maximum that is asked for nothing but whether it is above a number.

    max(x, y) > c is x > c or y > c, for NaN too: the rules of the maximum do not matter then.
    """
    maximum = _MAXIMUM.match(lines[place])
    if maximum is None:
        return False
    start = max((k for k in range(place) if lines[k] in ("{", "}")), default=0)
    end = next((k for k in range(place, len(lines)) if lines[k] == "}"), len(lines))
    register = re.escape(maximum[1])
    compared = re.compile(rf"setp\.gt\.f64\s+%p\d+, {register}, 0d\w+;")
    uses = [line for line in lines[start:end] if re.search(rf"{register}\b", line)]
    return len(uses) > 1 and all(line == lines[place] or compared.match(line) for line in uses)


def _called_is_ours(ptx: str, number: int) -> bool:
    """Whether a call, which may go over several lines, is of one of our functions."""
    text = " ".join(ptx.splitlines()[number - 1 : number + 5]).partition(";")[0]
    return _OWN_FUNCTION.search(text) is not None


def spelled_fma(text: str, prelude: str) -> int:
    """Return how many fused operations a module has at most: those of each function where it goes.

    Args:
        text: generated; functions that are inlined stand before what calls them.
        prelude: what comes before it.
    """
    inlined: dict[str, int] = {}
    n_called = 0
    for kind, name, body in _FUNCTION.findall(prelude + text):
        own = _n_fma(body, inlined)
        if kind == "__forceinline__":
            inlined[name] = own
        else:
            n_called += own
    return n_called + sum(_n_fma(body, inlined) for body in _KERNEL.findall(text))


def _n_fma(body: str, inlined: dict[str, int]) -> int:
    calls = re.findall(r"\b(\w+)\(", body)
    return sum(1 if name == "__fma_rn" else inlined.get(name, 0) for name in calls)
