"""A first plan from a raw table: `infer_plan`, and the record of its choices."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.first_features import NoteKind, candidates, features_of_past
from fastfeat.api.plan import Plan
from fastfeat.calls.arguments import with_argument_errors
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch, UnknownColumn, did_you_mean
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.guard import as_rereadable
from fastfeat.expr import Expr, col
from fastfeat.io.arrow import Array, Table, call, pa
from fastfeat.io.sources.read import column_names
from fastfeat.ir.dtypes import DType
from fastfeat.trust.quality.column_facts import codes_of_label, facts_of, sample_of
from fastfeat.trust.quality.rows import read_rows_to_check


@dataclass(frozen=True, slots=True)
class InferenceNote:
    """A choice of `infer_plan` about a column.

    Args:
        kind: "kept" for a column with features, "left out" for one without, "leak?" for one that
            was left out because it may tell the label.
        column: Name of the column.
        text: The reason.
    """

    kind: NoteKind
    column: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class InferredPlan:
    """A first plan, with a note on each column.

    Args:
        plan: The plan.
        notes: Notes on the columns, in their order; later ones on windows.
        n_rows: Number of rows in the sample that the plan was inferred from.
    """

    plan: Plan
    notes: tuple[InferenceNote, ...]
    n_rows: int

    def to_python(self) -> str:
        """Return the plan as Python source, with the notes as comments.

        A column that may tell the label is a line that is commented out: remove the `#` if the
        column is known at the time of the prediction. The text without comments is that of
        `plan.to_python()`.
        """
        source = self.plan.to_python()
        head = [f"# Inferred from {self.n_rows:,} rows. Read each line before you use it."]
        head += [
            f"# {note.kind}: {note.column!r}: {note.text}"
            for note in self.notes
            if note.kind != "kept"
        ]
        leaks = [
            f"        # {note.column!r}: col({note.column!r}),  # {note.text}\n"
            for note in self.notes
            if note.kind == "leak?"
        ]
        start = source.index("plan = ff.Plan(")
        features = source[start:].replace("    {\n", "    {\n" + "".join(leaks), 1)
        return "\n".join(head) + "\n" + source[:start] + features

    def __repr__(self) -> str:
        """Return a line for each note."""
        lines = [f"{note.kind:<8}  {note.column}: {note.text}" for note in self.notes]
        n_features = len(self.plan.declaration.features)
        return "\n".join([f"plan of {n_features} features from {self.n_rows:,} rows", *lines])

    def _repr_html_(self) -> str:
        """Return the notes as a table, for notebooks."""
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td style='text-align:left'>{html.escape(cell)}</td>"
                for cell in (note.column, note.kind, note.text)
            )
            + "</tr>"
            for note in self.notes
        )
        return f"<table><tr><th>column</th><th></th><th>reason</th></tr>{rows}</table>"


@with_argument_errors
@with_ieee_arithmetic
def infer_plan(
    table: Any,
    *,
    label: str | None = None,
    time: str | None = None,
    entity: str | None = None,
    exclude: Collection[str] = (),
    seed: int = 0,
) -> InferredPlan:
    """Infer a first plan from a raw table: one to read, to edit, and to beat.

    The choices are made from at most 16,384 rows:

    - numbers stay as they are; amounts of money are `log1p` of it; text that holds numbers is read;
      later text without a number or a date becomes missing;
    - dates and times, in text too, become year, month, day, weekday and hour, where these vary,
      and days since 1970;
    - text with at most 40 distinct values is one-hot encoded; text with more, and ids that repeat,
      become counts, and with a label of numbers or of two values means of the label, out of fold;
    - free text (three words and more) becomes counts of its words in 32 buckets, and its length;
    - with `time` and `entity`: the time since the entity's last row, and for the first three
      numbers the previous value and the mean of the last ten;
    - constants, ids that are all distinct, and columns of other types are left out.

    A column is left out as "leak?" if its name contains the name of the label, if its correlation
    with the label is 1 or -1, if one number of it separates the two labels, or if its values
    determine the label. Windows read no label, because the time when it is known is not given.

    Args:
        table: Rows to learn from: pyarrow, pandas, Polars, a dict of NumPy arrays, a list of dicts,
            any Arrow producer; or files: a path, a folder, a pattern, an address.
        label: Column that a model is to predict. Text with two values becomes whether it is the
            greater of them.
        time: Column with the time of a row: a timestamp, a date, or integers.
        entity: Column with the entity of a row, such as a customer. It needs `time`.
        exclude: Columns to leave out.
        seed: Seed of the hashes of words.

    Returns:
        The plan, with a note on each column.

    Raises:
        UnknownColumn: `label`, `time`, `entity` or `exclude` names a column that the table lacks.
        InvalidData: The table has no rows, no column gives a feature, or all labels are equal or
            missing.
        InvalidPlan: `entity` without `time`, or one column in two roles.
        TypeMismatch: `time` is no clock, or `label` is of a type that no model predicts.

    Example:
        >>> import fastfeat as ff
        >>> data = {"age": [31, 46, 25, 60], "city": ["x", "y", "x", "y"], "left": [0, 1, 0, 0]}
        >>> inferred = ff.infer_plan(data, label="left")
        >>> list(inferred.plan.declaration.features)
        ['age', 'city']
    """
    rows = as_rereadable(table)
    names = column_names(rows) or read_rows_to_check(CallRows(rows), (), ()).data.column_names
    roles = {"label": label, "time": time, "entity": entity}
    _check_roles(roles, exclude, names)
    wanted = [name for name in names if name not in exclude]
    read = read_rows_to_check(CallRows(rows), wanted, ())
    if read.n_rows == 0 or not wanted:
        raise InvalidData("the table has no rows, or no columns, so no plan can be inferred")
    sample = sample_of(read, wanted)
    label_type = None if label is None else _label_type(label, sample.schema[label])
    codes = None if label is None else codes_of_label(sample.data, label)
    if time is not None:
        _check_clock(time, sample.schema[time])
    own = [name for name in wanted if name not in (label, entity)]
    facts = facts_of(sample, own, codes)
    has_means = codes is not None and _gives_means(label_type, codes)
    found = [
        candidate
        for name in own
        for candidate in candidates(name, facts[name], label, has_means=has_means, seed=seed)
    ]
    if time is not None and entity is not None:
        found += features_of_past(facts, found, time, entity)
    notes = tuple(InferenceNote(one.kind, one.column, one.text) for one in found)
    features = _named([(name, of) for one in found for name, of in one.features], set(wanted))
    if not features:
        reasons = "; ".join(f"{note.column}: {note.text}" for note in notes[:5])
        raise InvalidData(f"no column of the table gives a feature: {reasons}")
    plan = Plan(features, label=_label(label, label_type, sample.data))
    return InferredPlan(plan, notes, sample.n_rows)


def _check_roles(
    roles: dict[str, str | None], exclude: Collection[str], names: Sequence[str]
) -> None:
    given = {role: name for role, name in roles.items() if name is not None}
    for name in (*given.values(), *exclude):
        if name not in names:
            raise UnknownColumn(f"the table has no column {name!r}.{did_you_mean(name, names)}")
    for role, name in given.items():
        if name in exclude:
            raise InvalidPlan(f"{role}={name!r}: exclude= names the column too. Remove it there")
        other = next((r for r, n in given.items() if n == name and r != role), None)
        if other is not None:
            raise InvalidPlan(f"{role}={name!r}: the column is {other}= too. Name another column")
    if roles["entity"] is not None and roles["time"] is None:
        raise InvalidPlan(
            f"entity={roles['entity']!r}: features of an entity's past need the time of each row. "
            "Pass time=, the name of that column"
        )


def _check_clock(time: str, dtype: object) -> None:
    is_clock = isinstance(dtype, DType) and (
        dtype.is_integer or dtype.name == "timestamp" or dtype.name.startswith("date")
    )
    if not is_clock:
        raise TypeMismatch(
            f"time={time!r}: the column is {dtype}; a clock is a timestamp, a date, or integers. "
            "Convert it first, or leave time= out"
        )


def _label_type(label: str, dtype: object) -> DType:
    if isinstance(dtype, DType):
        is_value = dtype.is_float or dtype.is_integer or dtype.name in ("bool", "utf8")
        if is_value:
            return dtype
    raise TypeMismatch(
        f"label={label!r}: the column is {dtype}; a label is of numbers, bools or text. Name "
        "another column, or convert it first"
    )


def _gives_means(dtype: DType | None, codes: Array) -> bool:
    """Return whether means of the label make sense: of numbers, bools, or one of two texts."""
    assert dtype is not None
    return dtype.name != "utf8" or len(call("unique", codes.drop_null())) == 2


def _label(label: str | None, dtype: DType | None, sample: Table) -> Any:
    """Return the label of the plan: the column, or whether it is the greater of two texts."""
    if label is None or dtype is None:
        return None
    if dtype.name != "utf8":
        return label
    values = sample[label].combine_chunks()
    values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    distinct = sorted(value for value in call("unique", values).to_pylist() if value is not None)
    return {label: col(label) == distinct[1]} if len(distinct) == 2 else label


def _named(features: Sequence[tuple[str, Expr]], columns: set[str]) -> dict[str, Expr]:
    """Return features with distinct names; a name of a column is kept for that column."""
    taken: dict[str, Expr] = {}
    for name, of in features:
        name = name or "column"
        unique, number = name, 2
        while unique in taken or (number > 2 and unique in columns):
            unique, number = f"{name}_{number}", number + 1
        taken[unique] = of
    return taken
