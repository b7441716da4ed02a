"""Frames of Polars: every type is read as it is, or refused with the name of its column."""

from __future__ import annotations

import datetime as dt
import importlib
from decimal import Decimal

import polars as pl
import pytest

import fastfeat as ff
from fastfeat.errors import TypeMismatch
from fastfeat.io.columns.types import schema_of
from fastfeat.io.sources.read import read_table


def test_polars_types_are_read():
    frame = pl.DataFrame(
        {
            "t": [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)],
            "d": [dt.date(2020, 1, 1)],
            "c": pl.Series(["a"], dtype=pl.Categorical),
            "e": pl.Series(["a"], dtype=pl.Enum(["a", "b"])),
            "n": pl.Series([Decimal("1.5")], dtype=pl.Decimal(10, 2)),
            "l": [[1]],
            "u": [None],
        }
    )
    found = {name: str(dtype) for name, dtype in schema_of(read_table(frame)).items()}
    assert found.pop("l").startswith("list[")
    assert found == {
        "t": "timestamp[us, UTC]",
        "d": "date32",
        "c": "utf8",
        "e": "utf8",
        "n": "decimal",
        "u": "null",
    }


class Thing:
    """What Arrow has no type for."""


UNREADABLE = {
    "Object": pl.Series("bad", [Thing(), Thing()], dtype=pl.Object),
    "numbers in Object": pl.Series("bad", [1, 2], dtype=pl.Object),
    "Int128": pl.Series("bad", [1, 2], dtype=pl.Int128),
    "Int128 in a list": pl.Series("bad", [[1], [2]], dtype=pl.List(pl.Int128)),
    "Int128 in a struct": pl.Series("bad", [{"a": 1}] * 2, dtype=pl.Struct({"a": pl.Int128})),
    "UInt128": pl.Series("bad", [1, 2]).cast(getattr(pl, "UInt128", pl.Int128)),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_arrow_has_no_type_for_in_polars_is_refused_by_name(kind):
    bad = UNREADABLE[kind]
    frame = pl.DataFrame([pl.Series("x", [1.0, 2.0]), bad, pl.Series("y", [1, 2])])
    told = r"^col\(\"bad\"\): Polars' .* has no Arrow type: "
    plan = ff.Plan({"f": ff.col("x") + 1}, keep=["bad"])
    for run in (plan.fit_transform, lambda data: plan.fit(data).transform(data)):
        with pytest.raises(TypeMismatch, match=told):
            run(frame)
    for data in (frame, {"bad": bad}):
        with pytest.raises(TypeMismatch, match=told):
            read_table(data)
        with pytest.raises(TypeMismatch, match=told):
            ff.Plan({"f": ff.col("bad") + 1}).fit(data)
    assert read_table(frame, ["y", "x"]).to_pydict() == {"y": [1, 2], "x": [1.0, 2.0]}
    assert read_table(frame, []).num_rows == read_table(frame[["bad"]], ["z"]).num_rows == 2
    assert ff.columns(frame, "numeric") == ["x", "y"]
    assert plan.schema(frame).names == ["f"]


def _is_simple(found: object) -> bool:
    """Whether a name of Polars' types is a type of a column that has no parameters."""
    if not (isinstance(found, type) and issubclass(found, pl.DataType)):
        return False
    try:
        pl.Series([None], dtype=found)
    except Exception:
        return False
    return not found.is_nested() and found not in (pl.Unknown, pl.Enum)


SIMPLE = [
    found
    for found in vars(importlib.import_module("polars.datatypes")).values()
    if _is_simple(found)
]


@pytest.mark.parametrize("dtype", [*SIMPLE, pl.List(pl.Int8), pl.Array(pl.Int8, 1)], ids=str)
def test_every_type_of_polars_is_read_as_it_is_or_refused(dtype):
    values = {"String": "a", "Categorical": "a", "Binary": b"a", "Boolean": True, "Object": 1}
    value = [1] if dtype.is_nested() else values.get(str(dtype), 1)
    series = pl.Series("v", [value, None], dtype=dtype, strict=False)
    if dtype in (pl.Object, pl.Int128, getattr(pl, "UInt128", None)):
        with pytest.raises(TypeMismatch, match=r"Polars' .* has no Arrow type"):
            read_table(series.to_frame())
    else:
        assert read_table(series.to_frame())["v"].to_pylist() == series.to_list()
