"""Blocks: rows for a training loop, as a dict of arrays (features, codes, bags, label, ...).

The keys are pairs such as ("dense", "") or ("keep", "id"). Each array has one entry per row: NumPy
arrays, or Arrow arrays for kept columns that are not numbers. Codes are numbers of categories, for
embeddings. A bag is a feature with several columns of codes: the codes of a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.api.plan import FittedPlan, as_fitted_plan
from fastfeat.errors import (
    InvalidData,
    InvalidPlan,
    TypeMismatch,
    UnknownColumn,
    counted,
    did_you_mean,
    shortened,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.feature_subset import select_features
from fastfeat.execute.guard import guarded_columns
from fastfeat.execute.inputs import read_columns
from fastfeat.integrations.batches.columns import LABEL, Block, kept_array, label_array
from fastfeat.io.arrow import ChunkedArray, Table, cast, pa

DENSE, CODES = ("dense", ""), ("codes", "")
Float = Literal["float32", "float64"]
_SAMPLE = 64
PLANS_LABEL = True
"""The marker of the plan's own label in `BlockContents.label`."""


@dataclass(frozen=True, slots=True)
class BlockContents:
    """The columns that blocks contain, and the plans that compute them.

    Args:
        fitted: The fitted plan.
        dense: The plan with only the features that are numbers; None if there are none.
        codes: The plan with only the columns of codes, bags last; None without codes.
        n_codes: The number of codes of each column outside bags, by name.
        bags: The columns of each bag, by name.
        n_bag_codes: The number of codes of each bag, by name.
        label: The name of a column; True for the plan's own label; None for no label.
        keep: The columns that are passed through.
        dtype: The float type of the features.
    """

    fitted: FittedPlan
    dense: FittedPlan | None
    codes: FittedPlan | None
    n_codes: dict[str, int]
    bags: dict[str, tuple[str, ...]]
    n_bag_codes: dict[str, int]
    label: str | bool | None
    keep: tuple[str, ...]
    dtype: Float

    @property
    def label_columns(self) -> list[str]:
        """The columns of the data that the label is computed from."""
        if self.label is None:
            return []
        return (
            self.fitted.plan.declaration.label_sources
            if self.label is PLANS_LABEL
            else [str(self.label)]
        )

    @property
    def label_is_ahead(self) -> bool:
        """Whether the label is computed from later rows, so that some rows may lack it."""
        return self.label is PLANS_LABEL and self.fitted.plan.declaration.looks_ahead

    @property
    def columns(self) -> list[str]:
        """The columns that the data must have."""
        judged = guarded_columns(self.fitted.record)
        of_rows = self.fitted.plan.declaration.row_columns
        read = [*of_rows, *judged, *self.keep, *self.label_columns]
        return list(dict.fromkeys(read))

    @property
    def optional_columns(self) -> list[str]:
        """The columns that are read if the data has them: those that windows see, and row ids."""
        plan = self.fitted.plan
        further = [*plan.declaration.past_columns, *plan.declaration.row_ids]
        return [name for name in dict.fromkeys(further) if name not in set(self.columns)]


def contents_of(
    fitted: FittedPlan,
    *,
    codes: Mapping[str, int] | None,
    bags: Sequence[str],
    label: str | bool | None,
    keep: Sequence[str] | None,
    dtype: Float,
    as_matrix: bool,
) -> BlockContents:
    """Return the columns of blocks for the arguments of a user, after checking them.

    `codes` are numbers of codes by column; None for the plan's ordinal encodings. `label` is a
    column name, None for the plan's own label, or False for none. `as_matrix` puts codes among the
    numbers.

    Raises:
        InvalidPlan: An unknown feature, a bag that is not a list of codes, or an invalid label.
    """
    if as_matrix and (codes or bags or keep):
        raise InvalidPlan("a matrix has only features: codes=, bags= and keep= need form='dict'")
    counts = {} if as_matrix else dict(fitted.record.n_codes if codes is None else codes)
    _check_counts(fitted, counts)
    columns = {name: _bag_columns(fitted, name, counts) for name in bags}
    in_bags = [column for of_bag in columns.values() for column in of_bag]
    alone = {name: n for name, n in counts.items() if name not in set(in_bags)}
    dense = [name for name in fitted.feature_names if name not in counts]
    coded = [*alone, *in_bags]
    if not dense and not coded:
        raise InvalidPlan(
            "the fitted plan has no feature columns: fit found no categories, each of which would "
            "have been a column"
        )
    return BlockContents(
        fitted,
        as_fitted_plan(select_features(fitted.record, dense, dtype=dtype)) if dense else None,
        as_fitted_plan(select_features(fitted.record, coded)) if coded else None,
        alone,
        columns,
        {name: counts[of_bag[0]] for name, of_bag in columns.items()},
        _label_given(fitted, label),
        tuple(() if as_matrix else fitted.plan.keep if keep is None else keep),
        dtype,
    )


def _check_counts(fitted: FittedPlan, counts: Mapping[str, int]) -> None:
    names = fitted.feature_names
    for name, n in counts.items():
        if name not in names:
            raise InvalidPlan(
                f"codes={{{name!r}: ...}}: no column has this name.{_near(name, names)}"
            )
        if type(n) is not int or n < 1:
            raise InvalidPlan(f"codes={{{name!r}: {n!r}}}: takes the number of codes, from 1")


def _bag_columns(fitted: FittedPlan, name: str, counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return the columns of a bag: all columns of one feature, which share one list of codes."""
    expressions = fitted.plan.features
    if name not in expressions:
        raise InvalidPlan(f"bags=[{name!r}]: no feature has this name.{_near(name, expressions)}")
    columns = tuple(name + suffix for suffix in expressions[name].suffixes)
    lacking = [column for column in columns if column not in counts]
    if lacking or not columns:
        raise InvalidPlan(
            f"bags=[{name!r}]: takes a feature of codes, but these columns of it have none: "
            f"{shortened(lacking)}. Create them with col(...).list.ordinal_encode(width=...), or "
            "pass their number of codes in codes="
        )
    n_codes = sorted({counts[column] for column in columns})
    if len(n_codes) > 1:
        raise InvalidPlan(
            f"bags=[{name!r}]: the columns of a bag need the same number of codes, but have "
            f"{' and '.join(map(str, n_codes))}. Pass the same number for each of them in codes="
        )
    return columns


def _label_given(fitted: FittedPlan, label: str | bool | None) -> str | bool | None:
    plan = fitted.plan
    match label:
        case None:
            return PLANS_LABEL if plan.declaration.label_nodes else None
        case False:
            return None
        case str():
            return PLANS_LABEL if label in plan.declaration.label_nodes else label
        case _:
            raise InvalidPlan(
                f"label={_shown(label)}: takes the name of a column of the data, None for the "
                "plan's label, or False for no label. Put a label of your own into a column"
            )


def _shown(given: object) -> str:
    return repr(given) if isinstance(given, int | float) else f"<{type(given).__name__}>"


def _near(name: object, known: Iterable[str]) -> str:
    return did_you_mean(str(name), known)


def block_of(
    contents: BlockContents,
    rows: CallRows,
    *,
    out: NDArray[Any] | None = None,
    leaves_out: bool = False,
) -> Block:
    """Return the features, label and kept columns of some rows as a block.

    `out` is the array for the numbers, shape (n_rows, n_numbers); None allocates one. `leaves_out`
    drops rows that lack the label, if it is computed from later rows.

    Raises:
        UnknownColumn: The rows lack a column.
    """
    there = rows.data.column_names
    lacking = [name for name in contents.label_columns if name not in there]
    if lacking:
        raise UnknownColumn(
            f"the data lacks {shortened(lacking)}, which the label is computed from. For rows to "
            "predict, pass label=False"
        )
    table = read_columns(rows.data, contents.columns, contents.optional_columns)
    block: Block = {}
    if contents.dense is not None:
        shape = (table.num_rows, len(contents.dense.feature_names))
        out = np.empty(shape, contents.dtype) if out is None else out
        block[DENSE] = contents.dense.transform(table, to="numpy", out=out, **rows.beside)
    if contents.codes is not None:
        made = contents.codes.transform(table, **rows.beside)
        block |= _codes(contents, made)
    block |= {("keep", name): kept_array(table.column(name), name) for name in contents.keep}
    if contents.label is None:
        return block
    label = _label(contents, rows._replace(data=table))
    if leaves_out and contents.label_is_ahead and label.null_count:
        known = np.flatnonzero(label.is_valid().to_numpy())
        block, label = take_rows(block, known), label.drop_null()
    return block | {LABEL: label_array(label)}


def _label(contents: BlockContents, rows: CallRows) -> ChunkedArray:
    """Return the label of rows: computed by the plan, or a column of the data."""
    if contents.label is PLANS_LABEL:
        return contents.fitted.label(rows.data, **rows.beside)
    return rows.data.column(contents.label)


def features_block(contents: BlockContents, features: Table, label: Any = None) -> Block:
    """Return features that were computed before, with kept columns and a label, as a block.

    Raises:
        TypeMismatch: A feature is not a number.
        InvalidData: The label has another length.
    """
    block: Block = {}
    if contents.dense is not None:
        names = contents.dense.feature_names
        dense = np.empty((features.num_rows, len(names)), contents.dtype)
        for k, name in enumerate(names):
            dense[:, k] = _floats(features.column(name), name, contents.dtype)
        block[DENSE] = dense
    if contents.codes is not None:
        block |= _codes(contents, features)
    if label is not None:
        block[LABEL] = label_array(label)
        if len(block[LABEL]) != features.num_rows:
            raise InvalidData(
                f"the label has {counted(len(block[LABEL]), 'value')}, but the features have "
                f"{counted(features.num_rows, 'row')}"
            )
    return block | {
        ("keep", name): kept_array(features.column(name), name) for name in contents.keep
    }


def _floats(column: ChunkedArray, name: str, dtype: Float) -> NDArray[Any]:
    """Return a feature as a NumPy array of floats; NaN is missing."""
    try:
        return cast(column, pa.type_for_alias(dtype)).to_numpy()
    except pa.ArrowException as error:
        raise TypeMismatch(f"feature {name!r} is {column.type}, not {dtype}: {error}") from error


def _codes(contents: BlockContents, features: Table) -> Block:
    """Return a block of codes: an array of shape (n_rows, n_columns), and one more for each bag."""
    wanted = {CODES: tuple(contents.n_codes)} if contents.n_codes else {}
    wanted |= {("bags", name): columns for name, columns in contents.bags.items()}
    block: Block = {}
    for key, names in wanted.items():
        codes = np.empty((features.num_rows, len(names)), np.int64)
        for k, name in enumerate(names):
            column = features.column(name)
            if column.null_count:
                raise InvalidData(
                    f"feature {name!r} is missing in {counted(column.null_count, 'row')}, but a "
                    "code cannot be missing. If it is a number, leave it out of codes="
                )
            codes[:, k] = column.to_numpy()
        _check_codes(codes, names, key[1], contents)
        block[key] = codes
    return block


def _check_codes(
    codes: NDArray[np.int64], names: Sequence[str], bag: str, contents: BlockContents
) -> None:
    """Raise if a code is too large for the declared number of codes (the size of an embedding)."""
    for k, name in enumerate(names):
        n = contents.n_bag_codes[bag] if bag else contents.n_codes[name]
        beyond = codes[(codes[:, k] < 0) | (codes[:, k] >= n), k]
        if len(beyond):
            raise InvalidData(
                f"feature {name!r} has the code {beyond[0]}, but codes= allows codes from 0 to "
                f"{n - 1:,}. Pass fitted.encoding(name).n_codes, or the largest code plus one"
            )


def take_rows(block: Block, rows: NDArray[np.int64]) -> Block:
    """Return some rows of a block, in the given order."""
    return {
        key: array.take(rows, axis=0) if isinstance(array, np.ndarray) else array.take(rows)
        for key, array in block.items()
    }


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Return one block with the rows of all given blocks, in order."""
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0]
    return {
        key: (np.concatenate if isinstance(first[key], np.ndarray) else pa.concat_arrays)(
            [block[key] for block in blocks]
        )
        for key in first
    }


def sample_bytes(block: Block) -> bytes:
    """Return bytes that differ between blocks: keys, number of rows, and values of some rows."""
    n = n_rows_of(block)
    rows = np.arange(0, n, max(1, n // _SAMPLE), dtype=np.int64)
    values = {key: of.tolist() for key, of in take_rows(block, rows).items()}
    return ascii((n, values)).encode()


def n_rows_of(block: Block) -> int:
    """Return the number of rows of a block."""
    return len(next(iter(block.values())))
