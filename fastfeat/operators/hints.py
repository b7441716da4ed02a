"""Hints for methods that expressions do not have: what to write in their place.

Users of pandas, Polars and NumPy type the names of the table `hints.txt`. The nearest name is often
that of something else: `square` is near `sqrt`, and `cumsum` near `sum`, which is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fastfeat.errors import did_you_mean

LIKELY = 0.75
"""How near two names must be for one to be the other misspelt: as near as `mena` is to `mean`."""
EXPRESSION = "expression"
NUMPY = "numpy"
NONE = "none "
"""What stands before the place of which a table says why there is nothing to write."""


@cache
def tables() -> Mapping[str, Mapping[str, str]]:
    """Return the texts of `hints.txt`, by where a name is typed and by the name."""
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


def instead_of(name: str, methods: frozenset[str], members: Mapping[str, frozenset[str]]) -> str:
    """Return the end of a message about a method that expressions lack, or nothing.

    Args:
        name: what was typed.
        methods: the methods that there are.
        members: those of namespaces, by namespace.
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


def instead_in(namespace: str, name: str, methods: frozenset[str]) -> str:
    """Return the end of a message about a method that a namespace lacks.

    Args:
        namespace: such as "str".
        name: what was typed.
        methods: the methods that there are.
    """
    hint = _hint(namespace, name) or did_you_mean(name, methods, LIKELY)
    return hint or f" There are: {', '.join(sorted(methods))}"


def _hint(place: str, name: str) -> str:
    """Return the hint of the table for a name that is typed at a place; empty for none."""
    if written := tables()[place].get(name):
        return f" Write {written}"
    reasons = tables()[f"{NONE}{place}"]
    reason = reasons.get(name) or reasons.get(f"{name.partition('_')[0]}_*")
    return f" {reason[0].upper()}{reason[1:]}" if reason else ""
