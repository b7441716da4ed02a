"""Certificates: an export, run beside its plan on the user's rows and on extremes, bit by bit."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import asdict, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import ArtifactError, FastfeatError, counted
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.feature_subset import select_features
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.transform import transform
from fastfeat.export.c.module import ERRORS, inputs_of
from fastfeat.export.c.native import NativeExport, compile_export, compiler
from fastfeat.export.record import Label
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.decode import plain_table
from fastfeat.io.columns.types import arrow_type
from fastfeat.keep.artifact import fitted_digest
from fastfeat.trust.quality.golden.generated_rows import generate_rows

N_GENERATED = 256
_SEED = 1
_MOST_REFUSED = 20
"""Rows that an export refuses and the plan must refuse too; more are not tried."""


@dataclass(frozen=True, slots=True)
class CertificateCheck:
    """A column of an export, compared with `transform`.

    Args:
        feature: Name of the column.
        label: What the export promises.
        n_rows: Number of compared rows.
        n_different: Number of rows with other bits.
        max_ulp: Largest difference, in units in the last place; inf if one value is missing.
        row: The first row with other bits; None without one. Generated rows follow those of the
            data.
        expected: The value that `transform` gives there.
        found: The value that the export gives there.
    """

    feature: str
    label: Label
    n_rows: int
    n_different: int = 0
    max_ulp: float = 0.0
    row: int | None = None
    expected: float | None = None
    found: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the column keeps its promise."""
        return self.n_different == 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """The result of `certify`.

    Args:
        form: The form of the export.
        engine: The compiler that was used.
        digest: SHA-256 digest of the fitted plan.
        n_rows: Number of compared rows.
        checks: One per column.
        failures: What else is wrong: changed files, a failed self-test, other errors.
    """

    form: str
    engine: str
    digest: str
    n_rows: int
    checks: tuple[CertificateCheck, ...]
    failures: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether all bits are the same, and nothing else is wrong."""
        return not self.failures and all(check.ok for check in self.checks)

    def __str__(self) -> str:
        """Return the result, and a line per column that differs."""
        wrong = [check for check in self.checks if not check.ok]
        head = "same bits" if self.ok else "not certified"
        lines = [
            f"{head}: {counted(len(self.checks), 'column')}, {counted(self.n_rows, 'row')}, "
            f"{self.form} by {self.engine}"
        ]
        lines += self.failures
        lines += [
            f"{one.feature}: {counted(one.n_different, 'row')} differ, the first is row {one.row}: "
            f"transform gives {one.expected!r}, the export {one.found!r}"
            for one in wrong
        ]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return the certificate as JSON."""
        content = {
            "form": self.form,
            "engine": self.engine,
            "digest": self.digest,
            "n_rows": self.n_rows,
            "ok": self.ok,
            "failures": list(self.failures),
            "checks": [asdict(check) for check in self.checks],
        }
        return json.dumps(content, indent=2) + "\n"


def certify_folder(
    folder: Path,
    fitted: Fitted,
    data: Any = None,
    *,
    engine: str | None = None,
    n_rows: int | None = None,
) -> Certificate:
    """Run an export in C beside its plan; see `ff.certify`."""
    name, manifest = _manifest(folder)
    digest = fitted_digest(fitted).hex()
    if manifest["digest"] != digest:
        raise ArtifactError(
            f"{folder} is the export of another fitted plan: its digest is "
            f"{manifest['digest'][:12]}, and that of the plan {digest[:12]}"
        )
    outputs = [str(one["name"]) for one in manifest["outputs"]]
    part = fitted if outputs == fitted.feature_names else select_features(fitted, outputs)
    failures = [
        f"{file} is not the file that was written: its SHA-256 differs"
        for file, told in manifest["files"].items()
        if not (folder / file).is_file()
        or hashlib.sha256((folder / file).read_bytes()).hexdigest() != told
    ]
    with TemporaryDirectory() as place:
        target = Path(place) / f"{name}.so"
        library = compile_export(
            folder / f"{name}.c", target, inputs_of(part), len(outputs), engine=engine
        )
        tested = library.selftest()
        if tested.code:
            feature = outputs[tested.feature] if tested.feature >= 0 else ""
            failures.append(f"the self-test fails in golden row {tested.row}, feature {feature!r}")
        tables = [] if data is None else [_read(part, data, n_rows)]
        tables.append(_read(part, generate_rows(part, N_GENERATED, _SEED, "everywhere").rows, None))
        pairs: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]] = []
        first = 0
        for table in tables:
            expected, found, rows, told = _compared(part, library, table)
            pairs.append((expected, found, rows + first))
            failures += told
            first += table.num_rows
    checks = tuple(_check(column, k, pairs) for k, column in enumerate(outputs))
    n_compared = sum(len(rows) for _, _, rows in pairs)
    return Certificate("c", compiler(engine), digest, n_compared, checks, tuple(failures))


def _manifest(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the name of an export, and the content of its manifest."""
    for file in sorted(folder.glob("*.json")):
        try:
            content: Any = json.loads(file.read_text("utf-8"))
        except ValueError:
            continue
        if isinstance(content, dict):
            told = cast("dict[str, Any]", content)
            if told.keys() >= {"abi", "digest", "files", "outputs"}:
                return file.stem, told
    raise ArtifactError(f"{folder} holds no export: no NAME.json of one is there")


def _read(fitted: Fitted, data: Any, n_rows: int | None) -> Table:
    """Return the columns that an export reads, times in the units of the plan."""
    columns = inputs_of(fitted)
    table: Any = plain_table(read_columns(data, [one.name for one in columns], ()))
    if n_rows is not None:
        table = table.slice(0, n_rows)
    for one in columns:
        if one.dtype.is_temporal:
            place = table.schema.get_field_index(one.name)
            cast = table.column(one.name).cast(arrow_type(one.dtype))
            table = table.set_column(place, one.name, cast)
    return table


def _features(fitted: Fitted, rows: Table) -> NDArray[np.float64]:
    with fitted.told.suppress_warnings():
        found = transform(fitted, CallRows(rows, None, None, None, "cpu"), to="numpy")
    matrix = np.array(found, np.float64, order="C")
    matrix[np.isnan(matrix)] = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000))[0]
    return matrix


def _compared(
    fitted: Fitted, library: NativeExport, rows: Table
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Return expected and found features of the rows that both compute, their numbers, failures."""
    refused: dict[int, int] = {}
    first = 0
    while first < rows.num_rows:
        _, failure = library.batch(rows.slice(first))
        if not failure.code:
            break
        refused[first + failure.row] = failure.code
        first += failure.row + 1
    told: list[str] = []
    for row, code in [*refused.items()][:_MOST_REFUSED]:
        try:
            _features(fitted, rows.slice(row, 1))
        except FastfeatError:
            continue
        name = ERRORS[code][0]
        told.append(f"row {row}: the export gives the error {name}, transform a result")
    bad = np.array([*refused], np.int64)
    kept: NDArray[np.int64] = np.setdiff1d(np.arange(rows.num_rows, dtype=np.int64), bad)
    both = rows.take(pa.array(kept, pa.int64()))
    found, _ = library.batch(both)
    try:
        return _features(fitted, both), found, kept, told
    except FastfeatError as error:
        told.append(f"transform gives an error where the export gives a result: {error}")
        return found[:0], found[:0], kept[:0], told


def _check(
    column: str,
    place: int,
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]],
) -> CertificateCheck:
    expected = np.concatenate([one[:, place] for one, _, _ in pairs])
    found = np.concatenate([one[:, place] for _, one, _ in pairs])
    rows = np.concatenate([one for _, _, one in pairs])
    wrong = np.flatnonzero(expected.view(np.uint64) != found.view(np.uint64))
    if not len(wrong):
        return CertificateCheck(column, "same bits", len(rows))
    first = int(wrong[0])
    return CertificateCheck(
        column,
        "same bits",
        len(rows),
        len(wrong),
        max(_ulps(float(expected[k]), float(found[k])) for k in wrong),
        int(rows[first]),
        float(expected[first]),
        float(found[first]),
    )


def _ulps(one: float, other: float) -> float:
    """Return the distance of two floats in units in the last place; inf if one is missing."""
    if math.isnan(one) or math.isnan(other):
        return 0.0 if math.isnan(one) and math.isnan(other) else math.inf
    return float(abs(_place(one) - _place(other)))


def _place(x: float) -> int:
    (bits,) = struct.unpack("<q", struct.pack("<d", x))
    return bits if bits >= 0 else -(bits & ((1 << 63) - 1))
