"""Text and lists beside Polars and pandas, on texts and lists that Hypothesis makes."""

from __future__ import annotations

import math
from typing import Any, cast

import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col

S, L = col("s").str, cast("Any", col("l").list)
P, Q = pl.col("s").str, pl.col("l").list
PIECES = [
    "a",
    "B",
    "é",
    "ß",
    "本",
    "𝄞",
    " ",
    "\t",
    "\n",
    "\u00a0",
    "\u3000",
    "0",
    "7",
    ".",
    "-",
    "+",
    "",
]
TEXTS = st.lists(st.none() | st.lists(st.sampled_from(PIECES), max_size=6).map("".join), max_size=8)
FEATURES: dict[str, tuple[ff.Expr, pl.Expr]] = {
    "len_bytes": (S.len_bytes(), P.len_bytes()),
    "len_chars": (S.len_chars(), P.len_chars()),
    "lower": (S.to_lowercase(), P.to_lowercase()),
    "upper": (
        S.to_uppercase(),
        P.replace_all("ß", "?").str.to_uppercase().str.replace_all("\\?", "ß"),
    ),
    "strip": (S.strip_chars(), P.strip_chars()),
    "strip start": (S.strip_chars_start(), P.strip_chars_start()),
    "strip end": (S.strip_chars_end("a0 "), P.strip_chars_end("a0 ")),
    "strip set": (S.strip_chars("é本-"), P.strip_chars("é本-")),
    "slice": (S.slice(1, 2), P.slice(1, 2)),
    "slice end": (S.slice(-3, 2), P.slice(-3, 2)),
    "slice on": (S.slice(2), P.slice(2)),
    "slice far": (S.slice(-20, 18), P.slice(-20, 18)),
    "starts": (S.starts_with("a"), P.starts_with("a")),
    "ends": (S.ends_with("本"), P.ends_with("本")),
    "contains": (S.contains("."), P.contains(".")),
    "literal": (S.contains(".", literal=True), P.contains(".", literal=True)),
    "class": (S.contains(r"[0-9]\.[0-9]"), P.contains(r"[0-9]\.[0-9]")),
    "count": (S.count_matches("[a-zB]"), P.count_matches("[a-zB]")),
    "count text": (S.count_matches("aa", literal=True), P.count_matches("aa", literal=True)),
    "find": (S.find("[0-9]|本"), P.find("[0-9]|本")),
    "find end": (S.find("a?$"), P.find("a?$")),
    "find text": (S.find(".", literal=True), P.find(".", literal=True)),
    "find nothing": (S.find(""), P.find("")),
    "split count": (S.split_count("a"), P.split("a").list.len()),
    "extract": (S.extract("([0-9]+)"), P.extract("([0-9]+)")),
    "replace": (S.replace("(a)(B?)", "<$2$1>"), P.replace("(a)(B?)", "<${2}${1}>")),
    "replace all": (S.replace_all("a", "é", literal=True), P.replace_all("a", "é", literal=True)),
    "integer": (S.to_integer(strict=False), P.to_integer(strict=False)),
    "base 16": (S.to_integer(base=16, strict=False), P.to_integer(base=16, strict=False)),
}
TEXT = {"lower", "upper", "extract", "replace", "replace all"}


def is_text(name: str) -> bool:
    return name in TEXT or name.startswith(("strip", "slice"))


@given(texts=TEXTS)
@example(texts=["", None, "0.7", "-7", "+7", " 7", "7 ", "0x7", "aaa", "ß本B"])
def test_functions_of_text_are_those_of_polars(texts: list[str | None]) -> None:
    column = pa.array([*texts, "a"], pa.string())
    hashed = {n: ours.hash() if is_text(n) else ours for n, (ours, _) in FEATURES.items()}
    found = ff.Plan(hashed).fit({"s": column}).transform({"s": column})
    frame = pl.DataFrame({"s": pl.Series([*texts, "a"], dtype=pl.String)})
    expected = frame.select(**{name: theirs for name, (_, theirs) in FEATURES.items()})
    for name in FEATURES:
        values: Any = expected[name].to_arrow()
        if is_text(name):
            of_text = ff.Plan({"h": col("t").hash()}).fit({"t": ["a"]})
            values = of_text.transform({"t": values})["h"]
        assert found[name].to_pylist() == values.to_pylist(), name


@given(texts=TEXTS)
@example(texts=["0\n"])
def test_functions_of_text_are_those_of_pandas(texts: list[str | None]) -> None:
    series = pd.Series([*texts, "a"], dtype="string")
    ours = {
        "len": S.len_chars(),
        "tokens": S.token_count(),
        "count": S.count_matches("[a-z]"),
        "starts": S.starts_with("B"),
        "digits": S.contains("^[0-9]+([^0-9]|$)"),
    }
    found = ff.Plan(ours).fit({"s": series}).transform({"s": series}).to_pydict()
    theirs = {
        "len": series.str.len(),
        "tokens": series.str.split().str.len(),
        "count": series.str.count("[a-z]"),
        "starts": series.str.startswith("B"),
        # Where pandas uses `re`, "$" stands before a last "\n" too: [^0-9] takes that one.
        "digits": series.str.contains("^[0-9]+(?:[^0-9]|$)"),
    }
    for name, values in theirs.items():
        assert found[name] == [None if value is pd.NA else value for value in values.tolist()], name


NUMBERS = st.lists(st.none() | st.lists(st.none() | st.integers(-3, 3), max_size=5), max_size=8)


@given(lists=NUMBERS)
def test_functions_of_lists_are_those_of_polars(lists: list[Any]) -> None:
    column = pa.array([*lists, [1]], pa.list_(pa.int64()))
    ours = {
        "contains": L.contains(2),
        "in": L.contains(col("i")),
        "var": L.var(),
        "std": L.std(),
        "sum": L.sum(),
        "mean": L.mean(),
        "len of slice": L.slice(-3, 2).list.len(),
        "sum of slice": L.slice(1).list.sum(),
        "pad": L.pad(2),
    }
    items = [n % 4 - 1 for n in range(len(column))]
    found = ff.Plan(ours).fit({"l": column, "i": items}).transform({"l": column, "i": items})
    frame = pl.DataFrame({"l": pl.Series([*lists, [1]], dtype=pl.List(pl.Int64)), "i": items})
    theirs = {
        "contains": Q.contains(2, nulls_equal=False).fill_null(False),
        "in": Q.contains(pl.col("i")).fill_null(False),
        "var": Q.var(),
        "std": Q.std(),
        "sum": Q.sum(),
        "mean": Q.mean(),
        "len of slice": Q.slice(-3, 2).list.len(),
        "sum of slice": Q.slice(1).list.sum(),
        "pad_0": Q.get(0, null_on_oob=True),
        "pad_1": Q.get(1, null_on_oob=True),
    }
    expected = frame.select(**theirs)
    missing = [x is None for x in [*lists, [1]]]
    for name in theirs:
        one, other = found[name].to_pylist(), expected[name].to_list()
        for value, wanted, is_missing in zip(one, other, missing, strict=True):
            if is_missing:
                assert value is None, name
            elif isinstance(wanted, float):
                assert math.isclose(value, wanted, rel_tol=1e-12, abs_tol=1e-12), name
            else:
                assert value == wanted, name
