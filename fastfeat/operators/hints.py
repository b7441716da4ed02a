"""Hints in errors for methods that expressions lack, but pandas, Polars or NumPy have.

The table `hints.txt` says what to write for such a name. The most similar name is often wrong:
`square` is near `sqrt`, and `cumsum` is near `sum`, which is learnt. A section of the table holds
the names of methods of expressions, or of one namespace (`.str`, `.dt`, `.list`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fastfeat.errors import did_you_mean

LIKELY = 0.75
"""Least similarity of two names for a misspelling: that of `mena` and `mean`."""
EXPRESSION = "expression"
NUMPY = "numpy"
NONE = "none "
"""Prefix of the sections of the table with names that have no replacement, and why."""


@cache
def read_hints() -> Mapping[str, Mapping[str, str]]:
    """Return the hints of `hints.txt`: section to method name to hint."""
    found, text, place = dict[str, dict[str, str]](), list[str](), ""
    is_after_names = True
    for line in Path(__file__).with_name("hints.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            place = line[1:-1]
            found[place] = {}
        elif line.startswith(" "):
            told, is_after_names = " ".join(text), True
            found[place] |= {name: told.replace("{name}", name) for name in line.split()}
        elif line and not line.startswith("#"):
            text = [line] if is_after_names else [*text, line]
            is_after_names = False
    return found


def hint_for_method(
    name: str, methods: frozenset[str], members: Mapping[str, frozenset[str]]
) -> str:
    """Return a hint, to end the error about a method that expressions lack; empty if there is none.

    `methods` are the existing methods, `members` those in each namespace.
    """
    if told := _hint(EXPRESSION, name):
        return told
    for namespace, names in members.items():
        if name in names:
            return f" Write .{namespace}.{name}()"
    for namespace in members:
        if told := _hint(namespace, name):
            return told
    bare = name.removeprefix("nan")
    if bare != name and bare in methods:
        return f" Write .{bare}(): a NaN is a missing value here, and skipped"
    return did_you_mean(name, methods, LIKELY)


def hint_in_namespace(namespace: str, name: str, methods: frozenset[str]) -> str:
    """Return a hint, to end the error about a method that a namespace such as "str" lacks."""
    hint = _hint(namespace, name) or did_you_mean(name, methods, LIKELY)
    return hint or f" There are: {', '.join(sorted(methods))}"


def _hint(place: str, name: str) -> str:
    """Return the hint for a method name from a section (`place`) of the table; empty if none."""
    if written := read_hints()[place].get(name):
        return f" Write {written}"
    reasons = read_hints()[f"{NONE}{place}"]
    reason = reasons.get(name) or reasons.get(f"{name.partition('_')[0]}_*")
    return f" {reason[0].upper()}{reason[1:]}" if reason else ""
