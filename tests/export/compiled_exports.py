"""Exports in the tests: compiled, and compared with `transform` bit for bit."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat.execute.feature_subset import select_features
from fastfeat.export.c import native
from fastfeat.export.c.module import inputs_of
from fastfeat.export.c.native import NativeExport
from fastfeat.export.record import Export

STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")
NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000))[0]
N_ROWS = 20_000


def compiled(export: Export, options: tuple[str, ...] = STRICT) -> NativeExport:
    """Return an export, compiled without warnings."""
    assert export.fitted is not None
    kept = [one.name for one in export.features if one.label != "refused"]
    fitted = select_features(export.fitted, kept)
    (source,) = export.path.glob("*.c")
    target = export.path / f"{abs(hash(options))}.so"
    n_outputs = len(fitted.nodes)
    return native.compile_export(source, target, inputs_of(fitted), n_outputs, options=options)


def failing_rows(library: NativeExport, rows: pa.Table) -> dict[int, int]:
    """Return the rows that an export refuses, each with the number of the output at fault."""
    found: dict[int, int] = {}
    first = 0
    while first < rows.num_rows:
        _, failure = library.batch(rows.slice(first))
        if not failure.code:
            break
        found[first + failure.row] = failure.feature
        first += failure.row + 1
    return found


def assert_same_bits(fitted: ff.FittedPlan, library: NativeExport, rows: pa.Table) -> int:
    """Check that an export has the bits of a plan, and its errors; return the number of rows.

    Rows that the export refuses are tried in the plan one by one, as far as twenty of them.
    """
    failing = failing_rows(library, rows)
    for row, feature in [*failing.items()][:20]:
        with pytest.raises(ff.errors.FastfeatError) as caught:
            fitted.transform(rows.slice(row, 1), to="numpy")
        assert repr(fitted.feature_names[feature]) in str(caught.value)
    known = rows.take(pa.array(np.setdiff1d(np.arange(rows.num_rows), [*failing])))
    expected = fitted.transform(known, to="numpy").astype(np.float64, order="C")
    expected[np.isnan(expected)] = NAN
    out, failure = library.batch(known)
    assert failure.code == 0, failure
    wrong = np.argwhere(out.view(np.uint64) != expected.view(np.uint64))
    assert not len(wrong), [
        (fitted.feature_names[j], known.slice(i, 1).to_pylist(), out[i, j], expected[i, j])
        for i, j in wrong[:3]
    ]
    return known.num_rows


def any_floats(n_rows: int, seed: int) -> Any:
    """Return floats of every kind: ordinary ones, any bits, and the special values."""
    drawn = np.random.default_rng(seed)
    bits = drawn.integers(0, 2**64, n_rows, dtype=np.uint64).view(np.float64)
    plain = drawn.normal(size=n_rows) * 10.0 ** drawn.integers(-5, 6, n_rows)
    special = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -1e-310, 1.7e308, 2.0**52, 2.0**60, 0.5, 2.5]
    )
    kind = drawn.integers(0, 8, n_rows)
    chosen = np.where(kind < 4, plain, bits)
    return np.where(kind == 4, special[drawn.integers(0, len(special), n_rows)], chosen)
