"""Inspection of artifacts: parts, sizes, and values of single training rows inside.

A learnt value may come from a single row: a key that occurred once and its mean, the minimum of a
column, a quantile, a bin edge of a profile. Anyone with the file can read them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.keys import Groups, Vocabulary, least_rows
from fastfeat.calls.arguments import with_argument_errors
from fastfeat.calls.completion import with_completion
from fastfeat.errors import ArtifactError, InvalidPlan, counted
from fastfeat.execute.fitted import Fitted
from fastfeat.io.host_memory import as_bytes
from fastfeat.ir.node import Aggregate, Literal, Node, postorder
from fastfeat.ir.show import show
from fastfeat.keep.artifact import ArtifactContents, read_contents
from fastfeat.keep.parts import OPTIONAL_PARTS
from fastfeat.keep.state import aggregates_of
from fastfeat.markup.html import printable
from fastfeat.plan.lower import codes as code_plans
from fastfeat.trust.quality.golden.golden_rows import GoldenRows
from fastfeat.trust.quality.profile import ColumnProfile
from fastfeat.trust.quality.profiling import profile_face

FEW = 10
"""Keys with fewer training rows are reported."""
_TABLE = "table "


@dataclass(frozen=True, slots=True)
class HeldValues:
    """Values of single training rows that a part of an artifact contains.

    Args:
        of: Column or expression that has these values.
        n_values: Number of values.
        told: Description of the values.
        remedy: How to avoid them in the next artifact; "" if there is no way.
    """

    of: str
    n_values: int
    told: str
    remedy: str = ""


@with_completion("name", "n_bytes", "says", "held", "holds_rows", "notes")
@dataclass(frozen=True, slots=True)
class PartReport:
    """A part of an artifact.

    Args:
        name: Name of the part.
        n_bytes: Size of the part in the file, in bytes.
        says: Its contents, in words.
        held: Values of single rows in the part.
        notes: Further remarks.
    """

    name: str
    n_bytes: int
    says: str
    held: tuple[HeldValues, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def holds_rows(self) -> bool:
        """Whether the part holds values of single rows."""
        return bool(self.held)

    def __str__(self) -> str:
        """Return a line for the part, and further lines for its values and notes."""
        word = "rows" if self.holds_rows else "    "
        lines = [f"{word} {self.name}, {as_bytes(self.n_bytes)}: {self.says}"]
        lines += [f"       {printable(f'{of.of}: {of.told}')}" for of in self.held[:_MOST_SHOWN]]
        if len(self.held) > _MOST_SHOWN:
            lines.append(f"       and {len(self.held) - _MOST_SHOWN} more")
        remedies = dict.fromkeys(of.remedy for of in self.held if of.remedy)
        return "\n".join([*lines, *(f"       {text}" for text in (*remedies, *self.notes))])


@with_completion("path", "parts", "holds_rows", "format", "written_by", "n_rows", "n_bytes")
@dataclass(frozen=True, slots=True, repr=False)
class Inspection:
    """The parts of an artifact; prints a line each, and marks parts with values of single rows.

    Args:
        path: Path of the file.
        format: Format number of the file.
        written_by: The version of fastfeat that wrote the file.
        n_bytes: Size of the file.
        n_rows: Number of training rows.
        parts: The parts, in the order of the file; the first is the manifest.
    """

    path: str
    format: int
    written_by: str
    n_bytes: int
    n_rows: int
    parts: tuple[PartReport, ...] = field(repr=False)

    @property
    def holds_rows(self) -> bool:
        """Whether any part holds values of single rows."""
        return any(part.holds_rows for part in self.parts)

    def __getitem__(self, part: str) -> PartReport:
        """Return a part by its name.

        Raises:
            InvalidPlan: There is no such part.
        """
        for one in self.parts:
            if one.name == part:
                return one
        known = ", ".join(one.name for one in self.parts)
        raise InvalidPlan(f"the report has no part {part!r}. The parts are {known}")

    @property
    def summary(self) -> str:
        """One line: the file, its format, writer, size and number of training rows."""
        fitted = f"fitted on {counted(self.n_rows, 'row')}"
        by = f"format {self.format}, written by fastfeat {self.written_by}"
        return f"{self.path}: {by}, {as_bytes(self.n_bytes)}, {fitted}"

    def __repr__(self) -> str:
        """Return the summary, then the lines of each part."""
        return "\n".join([self.summary, *map(str, self.parts)])


@with_argument_errors
def inspect(path: str | os.PathLike[str], *, few: int = FEW) -> Inspection:
    """Inspect the parts of an artifact: their sizes, and the values of single training rows inside.

    Such values are keys, categories and groups with fewer than `few` training rows, minima and
    maxima, quantiles, and the bin edges of a profile. With `min_rows=`, encoders and `by=` leave
    keys of few rows out of the next artifact.

    Args:
        path: A file that `save` wrote.
        few: Report keys with fewer training rows than this; at least 1.

    Returns:
        An `Inspection`: its `parts`, each with `name`, `n_bytes`, `says`, `holds_rows` and `held`.

    Raises:
        ArtifactError: The file cannot be read, is damaged, or was written by a newer version.
        InvalidPlan: `few` is not a whole number from 1.

    Example:
        >>> import tempfile, os
        >>> plan = ff.Plan({"mean": col("x").mean(by="k")})
        >>> path = os.path.join(tempfile.mkdtemp(), "means.fastfeat")
        >>> plan.fit({"k": [*"aab"], "x": [1.0, 2.0, 3.0]}).save(path)
        >>> [(part.name, part.holds_rows) for part in ff.inspect(path).parts][:3]
        [('manifest', False), ('plan', False), ('state', False)]
        >>> print(ff.inspect(path, few=2)["table 0"].held[0].told)
        1 of 2 keys occurred in 1 row
    """
    if type(few) is not int or few < 1:
        raise InvalidPlan(f"few={few!r}: must be a whole number of rows, at least 1")
    contents, name = read_contents(path), os.fspath(path)
    try:
        return inspection_of(name, contents, few)
    except ArtifactError as error:
        raise ArtifactError(f"{name}: {error}") from error.__cause__


def inspection_of(path: str, contents: ArtifactContents, few: int) -> Inspection:
    """Return the inspection of an artifact's contents; raises ArtifactError if a part is damaged.

    `few` is the number of training rows below which keys are reported.
    """
    fitted = contents.fitted
    of_parts = sum(contents.parts.values())
    manifest = PartReport(
        "manifest", contents.n_bytes - of_parts, "format, types of columns, digests of all parts"
    )
    parts = (_part(fitted, name, n_bytes, few) for name, n_bytes in contents.parts.items())
    of_file = (path, contents.format, contents.written_by, contents.n_bytes, fitted.n_rows)
    return Inspection(*of_file, (manifest, *parts))


def _part(fitted: Fitted, name: str, n_bytes: int, few: int) -> PartReport:
    if name.startswith(_TABLE):
        return _of_keys(fitted, name, n_bytes, few)
    says, held, notes = _PARTS[name]
    told = next((part.says for part in OPTIONAL_PARTS if part.name == name), says)
    return PartReport(name, n_bytes, told, tuple(held(fitted, few)), tuple(notes(fitted)))


def _nothing(fitted: Fitted, few: int) -> Iterator[HeldValues]:
    return iter(())


def _no_notes(fitted: Fitted) -> Sequence[str]:
    return ()


def _of_plan(fitted: Fitted) -> Sequence[str]:
    literals = [n for n in postorder(fitted.declaration.nodes.values()) if isinstance(n, Literal)]
    return [f"{counted(len(literals), 'literal')}, stored as written"]


def _of_state(fitted: Fitted, few: int) -> Iterator[HeldValues]:
    """Yield the values learnt from all rows together that may equal a value of a single row."""
    for node in aggregates_of(fitted.declaration.nodes.values()):
        value, primitives = fitted.learnt[node], AGGREGATES[node.function].primitives
        if isinstance(value, Vocabulary | Groups) or value is None:
            continue
        n_values = len(value) if isinstance(value, tuple) else 1
        if "order" in primitives:
            told = f"{counted(n_values, 'quantile')}: values of rows, or between the values of two"
            yield HeldValues(show(node), n_values, told)
        elif primitives & {"min", "max"}:
            ends = " and ".join(_ENDS[word] for word in ("min", "max") if word in primitives)
            yield HeldValues(
                show(node), len(primitives & {"min", "max"}), f"{ends} value of all rows"
            )
        elif node.function == "mode":
            yield HeldValues(show(node), 1, "the most frequent value")
        elif fitted.n_rows < few:
            yield HeldValues(show(node), 1, f"learnt from {counted(fitted.n_rows, 'row')}")


def _of_keys(fitted: Fitted, name: str, n_bytes: int, few: int) -> PartReport:
    """Return the report on an artifact's part with learnt keys, or with one learnt value per key.

    `name` is the part, such as "table 3", and `few` the row count below which keys are reported.
    """
    number = int(name.removeprefix(_TABLE))
    node = aggregates_of(fitted.declaration.nodes.values())[number]
    value = fitted.learnt[node]
    of_values = isinstance(value, Groups)
    vocabulary = _vocabulary_of(fitted, node)
    says = f"one value per key, {show(node)}" if of_values else f"the keys of {_keys_text(node)}"
    if vocabulary is None:
        return PartReport(name, n_bytes, says)
    counts = vocabulary.counts
    n_one, n_few = int((counts == 1).sum()), int((counts < few).sum())
    n_none = 0 if vocabulary.held is None else int((counts == 0).sum())
    held: list[HeldValues] = []
    keys = _learns_keys(node)
    least = least_rows(keys.params) if isinstance(keys, Aggregate) else 1
    remedy = "" if least >= few else f"{_bound_of(fitted, node)}={few} leaves such keys out"
    if n_one:
        alone = ", so its value is of that row alone" if of_values else ""
        told = f"{n_one:,} of {counted(len(counts), 'key')} occurred in 1 row{alone}"
        held.append(HeldValues(_keys_text(node), n_one, told, remedy))
    if n_none:
        told = f"{n_none:,} of {counted(len(counts), 'key')} occurred in no row, and kept a code"
        held.append(
            HeldValues(_keys_text(node), n_none, told, "fit without stable= to leave them out")
        )
    if n_few > n_one + n_none:
        told = f"{n_few:,} of {counted(len(counts), 'key')} occurred in fewer than {few} rows"
        held.append(HeldValues(_keys_text(node), n_few, told, remedy))
    if of_values and AGGREGATES[node.function].primitives & {"min", "max", "order"}:
        told = "each value is from a row with the key, or between the values of two"
        held.append(HeldValues(show(node), len(counts), told))
    kept = [] if least == 1 else [f"keys with fewer than {least} rows were left out"]
    return PartReport(name, n_bytes, says, tuple(held), tuple(kept))


def _vocabulary_of(fitted: Fitted, node: Aggregate) -> Vocabulary | None:
    """Return the learnt keys of an aggregate; None if its keys are not learnt."""
    found: Any = fitted.learnt.get(_learns_keys(node))
    return found if isinstance(found, Vocabulary) else None


def _learns_keys(node: Aggregate) -> Node:
    """Return the aggregate that learnt the keys of `node`, possibly `node` itself."""
    return node if node.function == "vocabulary" else node.args[1].args[-1]


def _bound_of(fitted: Fitted, node: Aggregate) -> str:
    """Return the name of the parameter that drops rare keys: "min_frequency" or "min_rows".

    The first one is for encoders that return codes.
    """
    shown = code_plans.visible_codes(fitted.declaration.nodes.values())
    return "min_frequency" if any(codes.args[-1] == node for codes in shown) else "min_rows"


def _keys_text(node: Aggregate) -> str:
    keys = _learns_keys(node)
    return ", ".join(map(show, keys.args)) if isinstance(keys, Aggregate) else show(keys)


def _of_profile(fitted: Fitted, few: int) -> Iterator[HeldValues]:
    """Yield the bin edges, extremes and rare categories of each column in the profile."""
    known = profile_face(fitted)
    if known is None:
        return
    columns = [("input", column) for column in known.inputs.values()]
    columns += [("feature", column) for column in known.features.values()]
    for kind, column in columns:
        told = _of_column(column, few)
        if told is not None:
            n_values, words = told
            remedy = "fit without profile= leaves the profile out"
            yield HeldValues(f"{kind} {column.name}", n_values, words, remedy)


def _of_column(column: ColumnProfile, few: int) -> tuple[int, str] | None:
    if column.has_bins:
        ends = 2 if np.isfinite(column.least) else 0
        n_values = len(column.edges) + ends
        if not n_values:
            return None
        edges = counted(len(column.edges), "bin edge")
        return n_values, f"{edges}, the least and the greatest value: values of rows"
    n_few = int((column.counts < few).sum())
    if not n_few:
        return None
    return n_few, f"{n_few:,} of {len(column.counts):,} categories had fewer than {few} rows"


def _of_golden(fitted: Fitted) -> Sequence[str]:
    kept = GoldenRows.from_bytes(fitted.golden or b"")
    return [
        f"{counted(len(kept), 'row')}, generated column by column, without rare keys; bin edges "
        "among their values are also in the state or in the profile"
    ]


_Says = tuple[str, Callable[[Fitted, int], Iterator[HeldValues]], Callable[[Fitted], Sequence[str]]]
_PARTS: dict[str, _Says] = {
    "plan": ("the features, as JSON", _nothing, _of_plan),
    "state": ("the values learnt from all rows, one per line", _of_state, _no_notes),
    "zones": ("the rules of time zones", _nothing, _no_notes),
    "contract": (
        "",
        _nothing,
        lambda fitted: [
            "its bounds and categories are as written, or as infer_contract found them"
        ],
    ),
    "profile": ("", _of_profile, _no_notes),
    "golden": ("", _nothing, _of_golden),
}
"""For each part: contents unless `OPTIONAL_PARTS` describes them, values of rows, and notes."""
_ENDS = {"min": "the least", "max": "the greatest"}
_MOST_SHOWN = 8
