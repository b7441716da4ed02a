"""Golden rows: generated rows that an artifact keeps, with the exact bits of their features.

A program that loads the artifact can compute the features again, which reveals a machine, a version
or a kernel that gives other bits. The features that are kept come from the reference backend, which
is slow, or from the CPU backend if many keys were learnt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import (
    ArtifactError,
    BackendUnavailable,
    FastfeatError,
    InvalidPlan,
    NoGoldenRows,
    counted,
    warn,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.transform import transform
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.differences import bits_text, first_difference
from fastfeat.ir.node import postorder
from fastfeat.keep.artifact import read_artifact
from fastfeat.trust.quality.golden.generated_rows import GeneratedRows, Odd, generate_rows

N_ROWS = 64
FORMAT = 1
_TABLE = "table "
_MOST_VALUES = 1 << 14
"""Limit on feature values: plans of more than 256 features have fewer golden rows than 64."""
_LEAST_ROWS = 8
SEED = 0
_ODD: tuple[Odd, ...] = "everywhere", "in rows", "nowhere"
"""Placements of odd values, tried in this order until enough rows can be computed."""
MOST_WORK = 1 << 26
"""Up to this many nodes times rows times learnt keys, `save` adds golden rows by default."""
_MOST_OF_REFERENCE = 1 << 23
"""Up to this much work the reference computes golden rows, at 384 bytes per key; else the CPU."""


@dataclass(frozen=True, slots=True)
class GoldenRows:
    """Generated rows, with their features.

    Args:
        made_up: The rows, with the history and tables that their features read.
        features: Feature columns as they were computed before the artifact was saved; `n_rows`
            long.
    """

    made_up: GeneratedRows
    features: Table

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.features.num_rows

    def to_bytes(self) -> bytes:
        """Return the rows as JSON and Arrow IPC streams; equal rows give equal bytes."""
        made = self.made_up
        tables = {"rows": made.rows, "features": self.features}
        if made.history is not None:
            tables["history"] = made.history
        tables |= {f"{_TABLE}{name}": table for name, table in made.tables.items()}
        parts = {name: _table_bytes(table) for name, table in tables.items()}
        listed = [[name, tables[name].num_rows, len(part)] for name, part in parts.items()]
        head = json.dumps({"golden": FORMAT, "parts": listed}, separators=(",", ":")).encode()
        return b"".join([len(head).to_bytes(4, "little"), head, *parts.values()])

    @staticmethod
    def from_bytes(content: bytes) -> GoldenRows:
        """Return the rows from the bytes of `to_bytes`.

        Raises:
            ArtifactError: The bytes are damaged, or from a newer version.
        """
        try:
            tables = _tables_of(content)
            rows, features = tables.pop("rows"), tables.pop("features")
            history = tables.pop("history", None)
            odd = [name for name in tables if not name.startswith(_TABLE)]
        except ArtifactError:
            raise
        except Exception as error:  # whatever our code raises here, the file is at fault
            raise ArtifactError(f"the golden rows are damaged: {error}") from None
        if odd or rows.num_rows != features.num_rows:
            raise ArtifactError("the golden rows are damaged: rows and features do not match")
        known = {name.removeprefix(_TABLE): table for name, table in tables.items()}
        return GoldenRows(GeneratedRows(rows, history, known), features)


def _table_bytes(table: Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()


def _tables_of(content: bytes) -> dict[str, Table]:
    start = 4 + int.from_bytes(content[:4], "little")
    head = cast("dict[str, Any]", json.loads(content[4:start]))
    if head["golden"] != FORMAT:
        told = f"format {head['golden']!r}, but this version reads format {FORMAT}. Update fastfeat"
        raise ArtifactError(f"the golden rows have {told}")
    tables: dict[str, Table] = {}
    for name, n_rows, n_bytes in head["parts"]:
        part = content[start : start + n_bytes]
        table = pa.ipc.open_stream(pa.py_buffer(part)).read_all()
        table.validate(full=True)
        if len(part) != n_bytes or table.num_rows != n_rows or name in tables:
            raise ArtifactError(f"the golden rows are damaged: the part {name!r} is incomplete")
        tables[str(name)] = table
        start += n_bytes
    if start != len(content):
        raise ArtifactError("the golden rows are damaged: they are followed by extra bytes")
    return tables


def with_golden(fitted: Fitted, wanted: bool | None = None) -> Fitted:
    """Return a fitted plan with its golden rows, with new ones, or without any.

    `wanted=True` generates rows if the plan has none, and False removes them. None acts like True,
    unless that takes more work than `MOST_WORK`: a table of many keys would be built to look up a
    few rows. Warns `NoGoldenRows` if the features of no generated row can be computed.
    """
    if wanted is False:
        return replace(fitted, golden=None)
    if fitted.golden is not None or (wanted is None and work_of(fitted) > MOST_WORK):
        return fitted
    try:
        made = golden_rows(fitted)
        reason = "its features cannot be computed for any generated row"
    except Exception as error:  # our own defect: the artifact is written anyway
        made, reason = None, f"{type(error).__name__}: {error}"
    if made is None:
        warn(
            f"the artifact has no golden rows, so load(check='golden') will refuse it: {reason}. "
            "Call save(path, golden=False) if it should have none",
            NoGoldenRows,
        )
        return fitted
    return replace(fitted, golden=made.to_bytes())


def check_option(check: object) -> None:
    """Raise `InvalidPlan` unless the `check` option of `load` is "golden"."""
    if check != "golden":
        raise InvalidPlan(f'check={check!r}: write check="golden", or None')


def checked_artifact(path: str | os.PathLike[str]) -> Fitted:
    """Return the fitted plan of a file after a check of its golden rows; raises like `ff.load`."""
    fitted = read_artifact(path)
    try:
        check_golden(fitted)
    except ArtifactError as error:
        raise ArtifactError(f"{os.fspath(path)}: {error}") from error.__cause__
    return fitted


@with_ieee_arithmetic
def golden_rows(
    fitted: Fitted, n_rows: int = N_ROWS, backend: str | None = None
) -> GoldenRows | None:
    """Return generated rows with their features; None if no row can be computed.

    Rows with a feature that cannot be computed, such as an integer sum beyond 64 bits, are left
    out. Wide plans try fewer than `n_rows`. `backend=None` chooses the reference backend, or the
    CPU backend if many keys were learnt.
    """
    n_rows = _n_rows_of(fitted, n_rows)
    most: GoldenRows | None = None
    sees_more = bool(fitted.declaration.past_columns or fitted.tables)
    for odd in _ODD if sees_more else _ODD[::2]:
        made = generate_rows(fitted, n_rows, SEED, odd)
        found = _computable_rows(fitted, made, backend or _backend_for(fitted))
        if found is not None and 4 * len(found) >= n_rows:  # the share of rows without odd values
            return found
        most = max(most, found, key=lambda made: 0 if made is None else len(made))
    return most if most is not None and len(most) else None


def _backend_for(fitted: Fitted) -> str:
    return "cpu" if work_of(fitted) > _MOST_OF_REFERENCE else "reference"


def _computable_rows(fitted: Fitted, made: GeneratedRows, backend: str) -> GoldenRows | None:
    """Return the generated rows with features that can be computed; None if there are none."""

    def tried(places: list[int]) -> GoldenRows | FastfeatError:
        rows = made.rows.take(pa.array(places, pa.int64())).combine_chunks()
        some = GeneratedRows(rows, made.history, made.tables)
        try:
            return GoldenRows(some, _features(fitted, some, backend))
        except FastfeatError as error:
            return error

    def compute(places: list[int]) -> GoldenRows | None:
        found = tried(places)
        return found if isinstance(found, GoldenRows) else None

    places = list(range(made.rows.num_rows))
    while places:  # an error names all rows that fail, so few attempts are needed
        found = tried(places)
        if isinstance(found, GoldenRows):
            return found
        failing = set(found.rows)
        left = [place for k, place in enumerate(places) if k not in failing]
        if len(left) == len(places):
            break
        places = left
    first = tried(places[:1]) if places else None
    if first is None or (isinstance(first, FastfeatError) and not first.rows):
        return None  # the cause is something that all rows see
    blocks = _blocks(places, compute)
    together = compute([place for block in blocks for place in block]) if blocks else None
    return together or compute(max([list[int](), *blocks], key=len))


def _blocks(places: list[int], compute: Callable[[list[int]], object]) -> list[list[int]]:
    """Return lists of row numbers; the rows of each list can be computed together.

    `compute` returns None for rows that fail.
    """
    half = len(places) // 2
    found: list[list[int]] = []
    for part in (places[:half], places[half:]):
        if part and compute(part) is not None:
            found.append(part)
        elif len(part) > 1:
            found += _blocks(part, compute)
    return found


def work_of(fitted: Fitted) -> int:
    """Return the work of computing golden rows: nodes times rows times learnt keys.

    It is counted and never timed, so that the choice does not depend on the machine.
    """
    n_nodes = sum(1 for _ in postorder(fitted.declaration.nodes.values()))
    learnt = (value for value in fitted.constants.values() if isinstance(value, Vocabulary))
    return n_nodes * _n_rows_of(fitted) * max(1, sum(map(len, learnt)))


def _n_rows_of(fitted: Fitted, most: int = N_ROWS) -> int:
    """Return the number of rows to generate, which is smaller for plans with many features."""
    return min(most, max(_LEAST_ROWS, _MOST_VALUES // max(1, len(fitted.nodes))))


def _features(fitted: Fitted, made: GeneratedRows, backend: str) -> Table:
    """Return a table of the features of generated rows, without columns that are passed through."""
    rows = CallRows(made.rows, None, made.history, made.tables, backend)
    with fitted.told.suppress_warnings():  # a generated id may equal one from training
        features = transform(fitted, rows)
    names = fitted.feature_names
    return features.select(names).replace_schema_metadata(None).combine_chunks()


def check_golden(fitted: Fitted, backend: str = "cpu") -> int:
    """Compute the features of the golden rows again and compare bits; return the number of rows.

    Raises:
        ArtifactError: There are no golden rows, or a feature differs. The message names the feature
            and the row.
    """
    if fitted.golden is None:
        raise ArtifactError(
            "there are no golden rows to check: the artifact was saved without them. Save it again "
            "with fitted.save(path)"
        )
    kept = GoldenRows.from_bytes(fitted.golden)
    names = fitted.feature_names
    if kept.features.column_names != names:
        raise ArtifactError(
            "the artifact is damaged: its golden rows have other features than its plan"
        )
    try:
        found = _features(fitted, kept.made_up, backend)
    except BackendUnavailable:
        raise
    except FastfeatError as error:
        raise ArtifactError(
            f"the features of the golden rows cannot be computed: {error}"
        ) from error
    for name in names:
        _compare(name, kept.features.column(name), found.column(name), backend)
    return len(kept)


def check_golden_if_any(fitted: Fitted) -> int:
    """Check the golden rows if there are any, like `check_golden`; return their number."""
    return 0 if fitted.golden is None else check_golden(fitted)


def _compare(name: str, kept: Any, found: Any, backend: str) -> None:
    """Raise `ArtifactError` with the first row in which a feature differs from the kept one."""
    if kept.type != found.type:
        raise ArtifactError(
            f"golden rows: feature {name!r} is {found.type} here, but was {kept.type} when the "
            "artifact was saved"
        )
    one, other = kept.combine_chunks(), found.combine_chunks()
    row = first_difference(one, other)
    if row is not None:
        raise ArtifactError(
            f"golden rows: feature {name!r}, row {row}: the artifact has {bits_text(one, row)}, "
            f"but {backend} computes {bits_text(other, row)} here. This is the first difference in "
            f"{counted(len(one), 'row')}. Do not serve this file on this machine; "
            "fitted.verify(data) shows which way of computing is wrong"
        )
