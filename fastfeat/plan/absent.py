"""What to do about a column that the data lacks: a misspelling, an index, another separator."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from fastfeat.errors import did_you_mean
from fastfeat.io.read import column_names
from fastfeat.ir.node import Node
from fastfeat.plan.columns_read import columns_of

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def absence_hint(
    name: str,
    data: Any,
    features: Mapping[str, Node] | None = None,
    label: Mapping[str, Node] | None = None,
) -> str:
    """Return the end of a message about a column that the data lacks.

    Args:
        name: that of the column.
        data: as `fit` was given it.
        features: the plan's features, by name.
        label: the plan's label, by name, where that is an expression.
    """
    names = column_names(data) or []
    return (
        _pandas_hint(name, data)
        or _separator_hint(names)
        or _made_hint(name, features or {}, "a feature")
        or _made_hint(name, label or {}, "the label")
        or did_you_mean(name, names)
        or (f" There are: {_listed(names)}" if names else "")
    )


def _listed(names: Collection[object]) -> str:
    shown = ", ".join(map(repr, islice(names, 10)))
    return shown + (", ..." if len(names) > 10 else "")


def _pandas_hint(name: str, data: Any) -> str:
    """Return what is to be said of the index and the labels of a pandas frame."""
    labels: Any = getattr(data, "columns", None)
    index: Any = getattr(data, "index", None)
    if not hasattr(labels, "nlevels") or not hasattr(index, "names"):
        return ""
    if name in index.names:
        return f" {name!r} is the index of the frame, which is not read: pass frame.reset_index()"
    if labels.nlevels > 1:
        return (
            " The columns of the frame have several levels. Give them one: frame.columns = "
            "['_'.join(map(str, label)) for label in frame.columns]"
        )
    if any(str(label) == name for label in labels):
        return (
            " The frame has a column of that name that is no text. Pass frame.rename(columns=str)"
        )
    if len(labels) and not any(isinstance(label, str) for label in labels):
        return (
            f" The names of the frame's columns are no text: {_listed(labels)}. "
            "Pass frame.rename(columns=str)"
        )
    return ""


def _separator_hint(names: list[str]) -> str:
    """Return what is to be said of a file whose header was read as one name."""
    found = [word for mark, word in _SEPARATORS.items() if len(names) == 1 and mark in names[0]]
    if not found:
        return ""
    return (
        f" The only column is {names[0]!r}: its fields seem to be separated by {found[0]}. A .csv "
        "has commas, a .tsv tabs: read other files yourself, with pandas.read_csv(..., sep=...)"
    )


def _made_hint(name: str, made: Mapping[str, Node], what: str) -> str:
    """Return what to do where what a plan makes was meant; if named as its column it was not."""
    if name not in made or name in columns_of([made[name]]):
        return ""
    return (
        f" {name!r} is {what} of this plan, and expressions read columns of the data only. "
        "Keep its expression in a variable, and use that"
    )
