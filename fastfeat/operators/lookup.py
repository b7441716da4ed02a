"""`lookup`: what a table, passed beside the data, has for the key of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from fastfeat.arguments import explaining, explaining_methods
from fastfeat.completion import offering
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr
from fastfeat.ir.node import Call, Column, Node, TableColumn
from fastfeat.ir.show import show
from fastfeat.recording import Recipe, recording, recording_methods

By = str | Sequence[str] | Mapping[str, str] | Mapping[Expr, str] | Mapping[str | Expr, str]


@offering()
@recording_methods("Lookup")
@explaining_methods(lambda found: f"ff.lookup({found.table!r}, ...).")
@dataclass(frozen=True, slots=True)
class Lookup:
    """The row of a table that has the key of a row of the data; made by `lookup`.

    Args:
        table: the name of the table.
        row: finds it.
        recipe: how it was written.
    """

    table: str
    row: Node
    recipe: Recipe | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        """Return the lookup as it is written in Python.

        Example:
            >>> ff.lookup("planes", by="tailnum")
            ff.lookup('planes', by='tailnum')
        """
        return show(self.row)

    def col(self, name: str) -> Expr:
        """Return a column of the table, in the row that was found; missing where there is none.

        Args:
            name: of a column of numbers, bools, dates, times or text.

        Example:
            >>> ff.lookup("planes", by="tailnum").col("seats") / 2
            (ff.lookup('planes', by='tailnum').col('seats') / 2)
        """
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise TypeMismatch(f"lookup(...).col() takes the name of a column, got {name!r}")
        return Expr((Call("lookup_value", (self.row, TableColumn(self.table, name)), ()),))


@recording("ff.lookup", always=True)
@explaining
def lookup(table: str, *, by: By) -> Lookup:
    """Return the row of a table that has the key of a row; take its columns with `.col(name)`.

    The table is passed at each call, `plan.fit(data, tables={"planes": planes})`, and never stored;
    the types of its columns are. A missing key, and one that the table lacks, give missing. What
    it holds must be known at the moment of prediction.

    Args:
        table: the name of the table in `tables=`.
        by: the key: the name of a column that both have, a list of them, or a mapping from columns
            of the data, or expressions, to columns of the table. A key that two rows of the table
            have is an error.

    Raises:
        InvalidPlan: no key.
        TypeMismatch: something that is no name.

    Example:
        >>> plan = ff.Plan({"seats": ff.lookup("planes", by={"plane": "id"}).col("seats")})
        >>> tables = {"planes": {"id": ["a", "b"], "seats": [180, 50]}}
        >>> fitted = plan.fit({"plane": ["b"]}, tables=tables)
        >>> fitted.transform({"plane": ["a", "z", None]}, tables=tables)["seats"].to_pylist()
        [180, None, None]
    """
    if not isinstance(table, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(f"lookup() takes the name of a table, got {table!r}")
    pairs = pairs_of(f"lookup({table!r}, by={by!r})", by)
    left = [Column(key) if isinstance(key, str) else key.node for key, _ in pairs]
    right = [TableColumn(table, name) for _, name in pairs]
    return Lookup(table, Call("lookup_row", (*left, *right), ()))


def pairs_of(told: str, by: Any) -> list[tuple[str | Expr, str]]:
    """Return the pairs that are compared: a column of the data, and one of the table.

    Args:
        told: the beginning of the message about anything else.
        by: what the user gave.
    """
    if isinstance(by, Mapping):
        pairs = list(cast("Mapping[Any, Any]", by).items())
    elif isinstance(by, Sequence):
        names = [by] if isinstance(by, str) else list(cast("Sequence[Any]", by))
        pairs = [(name, name) for name in names]
    else:
        raise TypeMismatch(f"{told}: takes a name, a list of names, or a mapping of names")
    for left, right in pairs:
        odd = right if isinstance(left, str | Expr) else left
        if not isinstance(odd, str):
            raise TypeMismatch(f"{told}: {odd!r} is no name of a column")
    if not pairs:
        raise InvalidPlan(f"{told}: names no key")
    return pairs
