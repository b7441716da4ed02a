"""`Contract`, the public class: rules that data must meet, checked, stored and shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat import pickles
from fastfeat.calls.arguments import with_method_errors
from fastfeat.calls.completion import with_completion
from fastfeat.execute.lookup_tables import Tables
from fastfeat.io.arrow import Table
from fastfeat.ir.dtypes import DType
from fastfeat.plan.declare.contract import (
    ContractDeclaration,
    ContractTypes,
    Rule,
    Rules,
    declare_contract,
)
from fastfeat.trust.quality.report import CheckReport

if TYPE_CHECKING:
    from fastfeat.io.sinks.manifest import Manifest


@with_completion("rules", "types", "clock")
@with_method_errors(lambda contract: "contract.")
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Contract:
    """Rules that data must meet, by name.

    A row breaks a rule if the rule's expression is false or missing: write `(x > 0) | x.is_null()`
    to accept missing values. An aggregate covers all rows of the check: `x.max() < 9` is one
    condition on the whole data, `x.count(by="id") == 1` judges each row among the others.

    Args:
        rules: Boolean expressions by name. A `Rule` instead of an expression also sets the effect
            of broken rows, and the share of rows that may break it.
        types: Required types by column name, such as `{"x": "int64"}`. A column also meets its type
            with a narrower type of the same kind, or another unit of time. Integers are accepted as
            floats, and floats as integers if all values are whole. A column with only missing
            values meets any type.
        clock: Name by which rules read the time of a check, as if it were a column:
            `col("now") - col("t").max() < timedelta(days=1)`.

    Raises:
        InvalidPlan: There are no rules, a rule reads no column, or a name is not valid.
        TypeMismatch: A rule is not an expression, or a type is unknown.

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
        self, rules: Rules, *, types: ContractTypes | None = None, clock: str | None = None
    ) -> None:
        """Check and store the rules; the class describes the arguments."""
        object.__setattr__(self, "declaration", declare_contract(rules, types, clock))

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rules by name."""
        return self.declaration.rules

    @property
    def types(self) -> Mapping[str, DType]:
        """The required type of each column by name."""
        return self.declaration.types

    @property
    def clock(self) -> str | None:
        """The name by which rules read the time of a check; None if no rule does."""
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
        """Return a report on the rules that the rows meet and the rules that they break.

        A rule that cannot be judged is reported, not raised: its column is absent, has an
        unsuitable type, or holds a value that the expression rejects.

        Args:
            data: Rows to check: pyarrow, pandas, Polars, a dict of NumPy arrays, a list of dicts,
                any Arrow producer; or files: a path, a folder, a pattern such as "logs/*.parquet",
                an address, or a list of these. The report keeps the columns that rules read and
                looks up the rows that break a rule only on request.
            history: Earlier rows for the windows in rules, in any form of `data`. They are not
                checked.
            tables: Lookup tables by name, for rules that read any; each in any form of `data`.
            clock: Time of the check, if rules read it: a datetime, or a number.
            backend: "cpu", "gpu" or "reference"; "emulated" runs CUDA kernels by g++.
            memory: Most memory that this process may use, such as "600MiB", or a number of bytes.
                The data is then read in passes, a few rows at a time. None reads it whole.

        Raises:
            InvalidPlan: A rule reads the clock and `clock` was not given, or the data has a column
                with the name of the clock.
            TypeMismatch: A rule's expression is not boolean.
            UnknownColumn: A lookup table is missing from `tables`.
            FastfeatError: The data cannot be read.

        Example:
            >>> contract = ff.Contract({"positive": col("x") > 0})
            >>> contract.check({"x": [1, -1, 2]}).broken
            ['positive']
        """
        from fastfeat.execute.call_rows import checked_call_rows  # imports the engine
        from fastfeat.trust.quality.checking import check_rows

        rows = checked_call_rows(data, None, history, tables, backend, memory)
        return check_rows(self.declaration, rows, clock=clock)[1]

    def quarantine(self, data: Any, *, tables: Tables = None) -> tuple[Table, Table]:
        """Return the rows that meet the rules, and the rows that break any, in their order.

        Only rules that judge a row by itself apply. Rules with aggregates, windows, `at_most=` or
        the clock are ignored here; use `check` for them. Rows that break only rules that warn are
        accepted.

        Args:
            data: Rows to divide: pyarrow, pandas, Polars, a dict of NumPy arrays, a list of dicts,
                any Arrow producer, or files.
            tables: Lookup tables by name, for rules that read any; each in any form of `data`.

        Returns:
            Two tables with the columns of the data: accepted rows and quarantined rows. The second
            also has "row", the row number in `data`, and "violations", a list of the broken rules'
            names.

        Raises:
            FastfeatError: The data cannot be read, or a rule cannot be decided.

        Warns:
            RowsBreakRule: Accepted rows break a rule that only warns.

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
        """Write the rows that meet the rules, and the rows that break any, to two files or folders.

        Rules and rows are treated like in `quarantine`: only rules that judge a row by itself
        apply, and rows that break only rules that warn are accepted.

        The data is read in pieces, and three times: to judge it, which reads only the columns of
        rules, and once per output. A file appears complete or not at all. A folder is written in
        parts: after an interruption, the same call continues after the finished parts.

        Args:
            data: Rows to divide, in any form that `quarantine` takes. Data larger than memory must
                be in files, or a function that opens a reader.
            accepted: File or folder for the rows that meet the rules.
            quarantined: File or folder for the other rows. It adds "row", the row number in `data`,
                and "violations", a list of the broken rules' names, which CSV stores as one text.
            tables: Lookup tables by name, for rules that read any.
            memory: Most memory that this process may use, such as "600MiB", or a number of bytes.

        Returns:
            The manifests, which list the written files: of `accepted`, then of `quarantined`.

        Raises:
            InvalidData: The data can be read only once.
            OutputError: Both outputs are the same place, a disk is full, or a folder holds other
                files.
            FastfeatError: The data cannot be read, or a rule cannot be decided.

        Warns:
            RowsBreakRule: Accepted rows break a rule that only warns.

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
        """Return the contract as readable JSON; equal contracts give equal text.

        Example:
            >>> contract = ff.Contract({"positive": col("x") > 0})
            >>> ff.Contract.from_json(contract.to_json()) == contract
            True
        """
        return self._text

    @cached_property
    def _text(self) -> str:
        from fastfeat.keep.contract import contract_text  # imports the engine

        return contract_text(self.declaration)

    @staticmethod
    def from_json(text: str | bytes) -> Contract:
        """Return the contract of a JSON text, as `to_json` writes it.

        Raises:
            ArtifactError: The text is not a contract, or a newer version wrote it.
            InvalidPlan: A rule is not valid.
            TypeMismatch: A rule is not an expression, or a type is unknown.

        Example:
            >>> text = ff.Contract({"positive": col("x") > 0}).to_json()
            >>> list(ff.Contract.from_json(text).rules)
            ['positive']
        """
        from fastfeat.keep.contract import contract_of_text  # imports the engine

        return contract_face(contract_of_text(text))

    def __eq__(self, other: object) -> bool:
        """Return whether the other object is a contract with the same JSON."""
        if not isinstance(other, Contract):
            return NotImplemented
        return self is other or self._text == other._text

    def __hash__(self) -> int:
        """Return a hash; equal contracts have equal hashes."""
        return hash(self._text)

    def __copy__(self) -> Contract:
        """Return the contract itself, because it is immutable."""
        return self

    def __deepcopy__(self, memo: Any) -> Contract:
        """Return the contract itself, because it is immutable."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the call by which pickle rebuilds the contract from its JSON."""
        return pickles.contract_of, (self.to_json(),)

    def __repr__(self) -> str:
        """Return one line per rule and per required type."""
        lines = [f"  {name}: {rule!r}" for name, rule in self.rules.items()]
        lines += [f"  {column} is {dtype}" for column, dtype in self.types.items()]
        return "\n".join(["Contract", *lines])


def contract_face(declared: ContractDeclaration) -> Contract:
    """Return the public `Contract` for a declaration."""
    contract = object.__new__(Contract)
    object.__setattr__(contract, "declaration", declared)
    return contract
