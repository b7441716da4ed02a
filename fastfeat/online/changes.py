"""Changes of a state: what each call of `Live` asks for, as it is applied, written and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from fastfeat.io.arrow import Array, Table

Kind = Literal["process", "update", "outcomes", "correct", "forget", "table", "sweep", "plans"]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a state, applied whole or not at all; it depends on the state alone.

    Args:
        kind: what it does; "process" asks for the features of its rows first, "update" does not.
        rows: the rows, as the columns that the plans read; of "forget" the values, of "sweep"
            and "plans", which puts other plans over the log, none.
        name: of "table" the table, of "forget" the column.
        source: where the rows come from, such as "events:0"; empty where the caller did not say.
        first: the offset of the first row in the source.
        end: the offset after the last one.
        time_ns: when it was asked for, in nanoseconds since 1970, by this machine's clock.
    """

    kind: Kind
    rows: Table
    name: str = ""
    source: str = ""
    first: int = 0
    end: int = 0
    time_ns: int = 0


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a change gave.

    Args:
        features: by plan, the features of the rows of "process", as Arrow; empty for others.
        stored: of each row whether it is a new row of the log, shape (n_rows,): repeated and
            dropped ones are not.
        kept: what functions over windows that others read gave for each row, by their name in
            `LivePlan.kept`: it stands in the log beside the row.
    """

    features: Mapping[str, Table]
    stored: NDArray[Any]
    kept: Mapping[str, Array] = field(default_factory=dict[str, Array])
