"""`Contract`, with what users call: rules that data must hold, checked, kept and shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastfeat import pickles
from fastfeat.calls.arguments import explaining_methods
from fastfeat.calls.completion import offering
from fastfeat.execute.lookup_tables import Tables
from fastfeat.io.arrow import Table
from fastfeat.ir.dtypes import DType
from fastfeat.plan.declare.contract import (
    ContractDeclaration,
    Rule,
    Rules,
    Types,
    declare_contract,
)
from fastfeat.trust.quality.report import CheckReport

if TYPE_CHECKING:
    from fastfeat.io.sinks.manifest import Manifest


@offering("rules", "types", "clock")
@explaining_methods(lambda contract: "contract.")
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Contract:
    """Rules that data must hold, by name.

    A row breaks a rule where it is false or missing: `(x > 0) | x.is_null()` lets missing values
    pass. An expression with aggregates is of the rows that are checked: `x.max() < 9` is one
    statement of all of them, `x.count(by="id") == 1` judges each row among them.

    Args:
        rules: bool expressions by name, or `Rule`, which says besides what becomes of rows that
            break it, and how many may.
        types: the type of columns by name, such as `{"x": "int64"}`. A column is of that type where
            it has it, a narrower one of its kind, or another unit of time; floats may be integers,
            and integers whole floats. A column of missing values alone is of any.
        clock: the name by which rules read the time of a check:
            `col("now") - col("t").max() < timedelta(days=1)`.

    Raises:
        InvalidPlan: no rules, a rule that reads no column, a name that is none.
        TypeMismatch: a rule is no expression, or a type is none.

    Example:
        >>> contract = ff.Contract({"size": col("size") > 0, "id": col("id").count(by="id") == 1})
        >>> report = contract.check({"id": ["a", "b", "a"], "size": [1.0, None, 2.0]})
        >>> report.ok, report.counts
        (False, {'size': 1, 'id': 2})
        >>> report.rows("size").to_pylist()
        [{'row': 1, 'size': None}]
    """

    declaration: ContractDeclaration

    def __init__(
        self, rules: Rules, *, types: Types | None = None, clock: str | None = None
    ) -> None:
        """Check the rules; see the class for the arguments."""
        object.__setattr__(self, "declaration", declare_contract(rules, types, clock))

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rules by name."""
        return self.declaration.rules

    @property
    def types(self) -> Mapping[str, DType]:
        """The types that columns must have."""
        return self.declaration.types

    @property
    def clock(self) -> str | None:
        """The name by which rules read the time of a check."""
        return self.declaration.clock

    def check(
        self,
        data: Any,
        *,
        history: Any = None,
        tables: Tables = None,
        clock: Any = None,
        backend: str = "cpu",
        memory: str | int | None = None,
    ) -> CheckReport:
        """Return a report of the rules that rows hold, and of those that they break.

        A rule that cannot be judged, since a column is not there, has another type or a value that
        an expression cannot take, is a finding.

        Args:
            data: as in `Plan.fit`. Rows that break a rule are looked for when they are asked for:
                the report keeps the columns that rules read.
            history: earlier rows, which windows in rules see.
            tables: as in `Plan.fit`.
            clock: the time of the check, where rules read one: a datetime, or a number.
            backend: as in `Plan.fit`.
            memory: as in `Plan.fit`: data is read in passes then.

        Raises:
            InvalidPlan: a rule reads the clock, which is not given, or the data has a column of its
                name.
            TypeMismatch: a rule is no bool expression.
            UnknownColumn: a table is not there.
            FastfeatError: data that cannot be read.
        """
        from fastfeat.execute.call_rows import call_rows  # imports the engine
        from fastfeat.trust.quality.checking import check_rows

        rows = call_rows(data, None, history, tables, backend, memory)
        return check_rows(self.declaration, rows, clock=clock)[1]

    def quarantine(self, data: Any, *, tables: Tables = None) -> tuple[Table, Table]:
        """Return the rows that hold the rules, and those that do not, in their order.

        Rules that judge a row by itself do so; those with aggregates, windows, `at_most=` or the
        clock are for `check`. Rows that break only rules that warn are accepted.

        Args:
            data: as in `Plan.fit`.
            tables: as in `Plan.fit`.

        Returns:
            Two tables with the columns of the data; the second has besides "row", the number of
            each row, and "violations", the names of the rules that it breaks.

        Raises:
            FastfeatError: as `check`; a rule that cannot be decided.

        Warns:
            RowsBreakRule: rows break a rule that only warns.

        Example:
            >>> contract = ff.Contract({"size": col("size") > 0})
            >>> good, bad = contract.quarantine({"size": [1, -2, 3]})
            >>> good.to_pydict(), bad.to_pydict()
            ({'size': [1, 3]}, {'row': [1], 'size': [-2], 'violations': [['size']]})
        """
        from fastfeat.trust.quality.quarantine import quarantine  # imports the engine

        return quarantine(self.declaration, data, tables)

    def quarantine_to(
        self,
        data: Any,
        accepted: str | os.PathLike[str],
        quarantined: str | os.PathLike[str],
        *,
        tables: Tables = None,
        memory: str | int | None = None,
    ) -> tuple[Manifest, Manifest]:
        """Write the rows that hold the rules, and those that do not, as `quarantine` divides them.

        Data is read a piece at a time, and three times: to judge it, in the columns of rules alone,
        and for each of the outputs. A file is there whole or not at all, and a folder that was
        interrupted goes on behind its parts, as of `FittedPlan.transform_to`.

        Args:
            data: as in `Plan.fit`; files or a function that opens a reader for more than memory.
            accepted: the file, or the folder, of the rows that hold the rules.
            quarantined: that of the others, with "row" and "violations": a list of names, and in
                CSV one text.
            tables: as in `Plan.fit`.
            memory: as in `Plan.fit`.

        Returns:
            The lists of the files of both.

        Raises:
            FastfeatError: as `quarantine`; data that can be read once alone.
            OutputError: as of `FittedPlan.transform_to`; both go to one place.

        Warns:
            RowsBreakRule: as `quarantine`.

        Example:
            >>> from tempfile import mkdtemp
            >>> folder = mkdtemp()
            >>> contract = ff.Contract({"size": col("size") > 0})
            >>> out = folder + "/good.parquet", folder + "/bad.parquet"
            >>> good, bad = contract.quarantine_to({"size": [1, -2, 3]}, *out)
            >>> good.n_rows, bad.n_rows
            (2, 1)
        """
        from fastfeat.execute.layout import layout_of  # imports the engine
        from fastfeat.trust.quality.quarantine import quarantine_to

        layouts = layout_of(accepted), layout_of(quarantined)
        return quarantine_to(self.declaration, self._text, data, *layouts, tables, memory)

    def to_json(self) -> str:
        """Return the contract as JSON that people can read: equal contracts give equal text."""
        return self._text

    @cached_property
    def _text(self) -> str:
        from fastfeat.keep.contract import contract_text  # imports the engine

        return contract_text(self.declaration)

    @staticmethod
    def from_json(text: str | bytes) -> Contract:
        """Return the contract of a JSON text.

        Raises:
            ArtifactError: it is no contract, or has what this version does not know.
            InvalidPlan, TypeMismatch: as of a contract that is written in Python.
        """
        from fastfeat.keep.contract import contract_of_text  # imports the engine

        return contract_face(contract_of_text(text))

    def __eq__(self, other: object) -> bool:
        """Return whether the other is a contract of the same JSON."""
        if not isinstance(other, Contract):
            return NotImplemented
        return self is other or self._text == other._text

    def __hash__(self) -> int:
        """Return a number that equal contracts have in common."""
        return hash(self._text)

    def __copy__(self) -> Contract:
        """Return the contract itself: it never changes."""
        return self

    def __deepcopy__(self, memo: Any) -> Contract:
        """Return the contract itself: it never changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the call by which pickle makes the contract again: from its JSON."""
        return pickles.contract_of, (self.to_json(),)

    def __repr__(self) -> str:
        """Return one line a rule."""
        lines = [f"  {name}: {rule!r}" for name, rule in self.rules.items()]
        lines += [f"  {column} is {dtype}" for column, dtype in self.types.items()]
        return "\n".join(["Contract", *lines])


def contract_face(declared: ContractDeclaration) -> Contract:
    """Return the face of a contract."""
    contract = object.__new__(Contract)
    object.__setattr__(contract, "declaration", declared)
    return contract
