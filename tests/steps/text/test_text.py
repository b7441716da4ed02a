"""Text end to end: every form of a column, every backend, what is refused and in which row."""

from __future__ import annotations

import datetime
import math
import struct
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, Overflow, TypeMismatch
from fastfeat.steps.step import StepTask

TEXTS = [
    *("", " ", "a", "A b", "  tab\t\n", "éÉ", "straße", "日本 語", "x\0y", "0012", "-7", "1e3"),
    *("2024-02-29", "N123-45", "aa-bb-aa", "a,b,,c", "\u3000wide\u2003", "🙂🙂", None, "zzz"),
    *("inf", "nan"),
]
S = col("s").str
_VIEWS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]


def forms(texts: list[str | None]) -> list[Any]:
    """Return a column of texts in every form that Arrow has, sliced and in chunks too."""
    longer = pa.array(["before", *texts, None, "after"])
    sliced = longer.slice(1, len(texts))
    pieces = [sliced.slice(0, 3), sliced.slice(3, 0), sliced.slice(3)]
    return [
        *(pa.chunked_array([pa.array(texts).cast(kind)]) for kind in _VIEWS[:3]),
        pa.chunked_array([pa.array(texts).dictionary_encode()]),
        pa.chunked_array([longer.dictionary_encode().slice(1, len(texts))]),
        pa.chunked_array([pa.array(texts, pa.large_string()).dictionary_encode()]),
        pa.chunked_array(pieces),
        pa.chunked_array([piece.dictionary_encode() for piece in pieces]),
    ]


FEATURES: dict[str, ff.Expr] = {
    "len_bytes": S.len_bytes(),
    "len_chars": S.len_chars(),
    "tokens": S.token_count(),
    "lower": S.to_lowercase().ordinal_encode(),
    "upper": S.to_uppercase().str.len_bytes(),
    "strip": S.strip_chars().str.strip_chars_start("a").str.strip_chars_end("a").ordinal_encode(),
    "slice": S.slice(-3, 2) == "AB",
    "starts": S.starts_with("a"),
    "ends": S.ends_with(""),
    "contains": S.contains("a"),
    "regex": S.contains(r"^\w+$"),
    "matches": S.count_matches("a|b"),
    "found": S.find("a|b"),
    "found plain": S.find("é"),
    "pieces": S.split_count(","),
    "integer": S.to_integer(strict=False),
    "float": S.to_float(strict=False),
    "extract": S.extract("([a-z])([0-9]?)").ordinal_encode(),
    "replaced": S.replace_all("([a-z])", "<$1>").str.len_chars(),
    "year": S.to_datetime("%Y-%m-%d", strict=False).dt.year(),
    "hash": col("s").hash(1000),
    "cross": ff.cross(col("s"), S.len_bytes()).hash(1000, seed=3),
    "filled": col("s").fill_null("none").is_in(["none", "a"]),
    "coalesced": ff.coalesce(S.extract("(z+)"), col("s")).ordinal_encode(n_unseen_buckets=4),
    "when": ff.when(S.len_chars() > 2).then(col("s")).otherwise(ff.lit("?")).ordinal_encode(),
    "mode": col("s").impute("mode") == "zzz",
    "learnt": col("s").mode() == "zzz",
    "no mode": col("s").mode().is_null(),
    "literal": ff.lit("abc").str.len_chars(),
    "by": S.len_chars().mean(by=S.slice(0, 1)),
    "ngrams": S.hash_ngrams(2, 3),
    "words": S.hash_tokens(2),
}


def test_all_forms_of_text_are_one_text_on_every_backend() -> None:
    fitted = ff.Plan(FEATURES).fit({"s": [*TEXTS, "zzz", "zzz"]})
    later = [*TEXTS, "unseen", "another", "zz top"]
    expected = fitted.transform({"s": later}).to_pydict()
    for column in forms(later):
        assert fitted.transform(pa.table({"s": column})).to_pydict() == expected, column.type
    for backend in ("reference", "emulated"):
        assert fitted.transform({"s": later}, backend=backend).to_pydict() == expected
    numbers = fitted.transform({"s": later}, to="numpy")
    rows = np.array([fitted.transform_row({"s": text}) for text in later])
    assert np.array_equal(numbers, rows, equal_nan=True)
    assert fitted.verify({"s": TEXTS}).ok


def test_learnt_from_all_forms_of_text_is_the_same() -> None:
    learnt = [ff.Plan(FEATURES).fit(pa.table({"s": column})).learnt() for column in forms(TEXTS)]
    assert all(str(one) == str(learnt[0]) for one in learnt)


AS_POLARS: dict[str, tuple[ff.Expr, pl.Expr]] = {
    "len_bytes": (S.len_bytes(), pl.col("s").str.len_bytes()),
    "len_chars": (S.len_chars(), pl.col("s").str.len_chars()),
    "strip": (S.strip_chars().str.len_chars(), pl.col("s").str.strip_chars().str.len_chars()),
    "strip set": (
        S.strip_chars_start("a ").str.strip_chars_end("a").str.len_bytes(),
        pl.col("s").str.strip_chars_start("a ").str.strip_chars_end("a").str.len_bytes(),
    ),
    "slice": (S.slice(1, 2) == "本 ", pl.col("s").str.slice(1, 2) == "本 "),
    "slice end": (S.slice(-2).str.len_bytes(), pl.col("s").str.slice(-2).str.len_bytes()),
    "lower": (S.to_lowercase() == "éé", pl.col("s").str.to_lowercase() == "éé"),
    "starts": (S.starts_with("a"), pl.col("s").str.starts_with("a")),
    "ends": (S.ends_with("語"), pl.col("s").str.ends_with("語")),
    "contains": (S.contains("a.b"), pl.col("s").str.contains("a.b")),
    "literal": (S.contains(",", literal=True), pl.col("s").str.contains(",", literal=True)),
    "count": (S.count_matches("[a-c]"), pl.col("s").str.count_matches("[a-c]")),
    "count text": (
        S.count_matches("a", literal=True),
        pl.col("s").str.count_matches("a", literal=True),
    ),
    "find": (S.find("[b-z]"), pl.col("s").str.find("[b-z]")),
    "find text": (S.find("-bb", literal=True), pl.col("s").str.find("-bb", literal=True)),
    "split": (S.split_count(","), pl.col("s").str.split(",").list.len()),
    "extract": (
        S.extract("([a-z]+)-([a-z]+)", 2) == "bb",
        pl.col("s").str.extract("([a-z]+)-([a-z]+)", 2) == "bb",
    ),
    "replace": (
        S.replace("(a)", "[$1]").str.len_chars(),
        pl.col("s").str.replace("(a)", "[$1]").str.len_chars(),
    ),
    "replace all": (
        S.replace_all("a", "$", literal=True).str.len_chars(),
        pl.col("s").str.replace_all("a", "$", literal=True).str.len_chars(),
    ),
    "integer": (S.to_integer(strict=False), pl.col("s").str.to_integer(strict=False)),
    "datetime": (
        S.to_datetime("%Y-%m-%d", strict=False),
        pl.col("s").str.to_datetime("%Y-%m-%d", strict=False),
    ),
}


@pytest.mark.parametrize("name", AS_POLARS)
def test_functions_mean_what_polars_means(name: str) -> None:
    ours, theirs = AS_POLARS[name]
    features = ff.Plan({"x": ours}).fit({"s": TEXTS}).transform({"s": TEXTS})
    expected = pl.DataFrame({"s": TEXTS}).select(theirs.alias("x"))
    assert features["x"].to_pylist() == expected["x"].to_list()


def test_what_is_not_utf8_is_an_error_of_its_row_or_bytes_as_they_are() -> None:
    offsets = pa.array([0, 1, 3, 3], pa.int32()).buffers()[1]
    text = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"a\xff\xfe")])
    table = pa.table({"s": text})
    of_characters = [S.len_chars(), S.to_lowercase().hash(), S.contains("^a"), S.hash_tokens(2)]
    for backend in ("cpu", "reference"):
        for feature in of_characters:
            with pytest.raises(InvalidData, match=r"row 1: the text is not UTF-8"):
                ff.Plan({"x": feature}).fit(table).transform(table, backend=backend)
        plan = ff.Plan({
            "n": S.len_bytes(), "h": col("s").hash(10), "k": col("s").ordinal_encode(),
            "c": S.contains("a"), "f": col("s").fill_null("-").str.len_bytes(),
        })  # fmt: skip
        features = plan.fit(table).transform(table, backend=backend).to_pydict()
        assert features["n"] == features["f"] == [1, 2, 0]
        assert features["k"] == [3, 4, 2]
        assert features["c"] == [True, False, False]


def test_an_entry_of_a_dictionary_that_no_row_has_is_no_error() -> None:
    entries = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"7\xff")]
    )
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0, 0], pa.int8()), entries)
    table = pa.table({"s": column})
    features = ff.Plan({"n": S.len_chars(), "i": S.to_integer()}).fit(table).transform(table)
    assert features.to_pydict() == {"n": [1, 1, 1], "i": [7, 7, 7]}


def test_long_text_is_text() -> None:
    texts = ["é" * 500_000, "x" * 2**20, ""]
    plan = ff.Plan({"n": S.len_chars(), "u": S.to_uppercase().hash(), "h": col("s").hash()})
    fitted = plan.fit({"s": texts})
    features = fitted.transform({"s": texts}).to_pydict()
    assert features["n"] == [500_000, 2**20, 0]
    fitted = ff.Plan({"u": col("s").hash()}).fit({"s": texts})
    assert (
        fitted.transform({"s": ["É" * 500_000, "X" * 2**20, ""]})["u"].to_pylist() == features["u"]
    )


STRICT: list[tuple[ff.Expr, list[str | None], type[Exception], str]] = [
    (S.to_integer(), ["1", None, "x y"], InvalidData, "row 2: 'x y' is not an integer"),
    (S.to_integer(base=2), ["1", "2"], InvalidData, "row 1: '2' is not an integer in base 2"),
    (S.to_integer(), [str(2**63)], Overflow, "row 0: '9223372036854775808' is outside the range"),
    (S.to_float(), ["1.5", ""], InvalidData, "row 1: '' is not a number"),
    (S.to_float(), ["1e999"], Overflow, "outside the range of float64"),
    (
        S.to_datetime("%Y-%m-%d").dt.year(),
        ["2023-02-29"],
        InvalidData,
        "row 0: '2023-02-29' is not a time",
    ),
]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("feature", "texts", "kind", "told"), STRICT)
def test_text_that_is_no_number_is_an_error_of_its_row(
    feature: ff.Expr, texts: list[str | None], kind: type[Exception], told: str, backend: str
) -> None:
    fitted = ff.Plan({"x": feature}).fit({"s": ["1"] if "time" not in told else ["2024-01-01"]})
    for column in (pa.array(texts), pa.array(texts).dictionary_encode()):
        with pytest.raises(kind) as caught:
            fitted.transform(pa.table({"s": column}), backend=backend)
        assert told in str(caught.value)
    with pytest.raises(kind):
        fitted.transform_row({"s": texts[-1]})


TIMES = [
    ("%d.%m.%Y %H:%M", "1.2.2024 9:05", datetime.datetime(2024, 2, 1, 9, 5)),
    ("%Y-%m-%d %S.%f", "2024-02-29 59.25", datetime.datetime(2024, 2, 29, 0, 0, 59, 250_000)),
    ("%d %b %Y", "31 DEC 1999", datetime.datetime(1999, 12, 31)),
    ("%B %d, %Y", "March 5, 0001", datetime.datetime(1, 3, 5)),
    ("%b-%Y", "mar-2015", datetime.datetime(2015, 3, 1)),
    ("%Y", "2015", datetime.datetime(2015, 1, 1)),
    ("%Y %H", "2015 7", datetime.datetime(2015, 1, 1, 7)),
    ("%y%j", "24366", datetime.datetime(2024, 12, 31)),
    ("%I:%M %p %F", "12:30 am 2024-01-01", datetime.datetime(2024, 1, 1, 0, 30)),
    ("%F %T%%", "1969-12-31 23:59:59%", datetime.datetime(1969, 12, 31, 23, 59, 59)),
    ("%Y-%m-%d", "2024-02-31", None),
    ("%Y-%m-%d", "2024-01-01 ", None),
    ("%Y-%m-%d", "2024-13-01", None),
    ("%y%j", "23366", None),
    ("%F %T", "2024-01-01 24:00:00", None),
    ("%F %T", "2024-01-01 10:00:60", None),
]  # fmt: skip


@pytest.mark.parametrize(("format", "text", "time"), TIMES)
def test_text_is_read_as_a_time_by_its_format(format: str, text: str, time: Any) -> None:
    fitted = ff.Plan({"t": S.to_datetime(format, strict=False)}).fit({"s": [text]})
    for backend in ("cpu", "reference"):
        assert fitted.transform({"s": [text, None]}, backend=backend)["t"].to_pylist() == [
            time,
            None,
        ]


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: S.contains("("), InvalidPlan, "'(' is not a valid RE2 pattern: missing )"),
    (lambda: S.contains(r"(?=a)"), InvalidPlan, "not a valid RE2 pattern"),
    (lambda: S.contains(3), TypeMismatch, "contains(pattern=3): takes text"),  # type: ignore
    (lambda: S.count_matches("x*"), InvalidPlan, "matches the empty text"),
    (lambda: S.count_matches("", literal=True), InvalidPlan, "matches the empty text"),
    (lambda: S.count_matches("|"), InvalidPlan, "count_matches('|', literal=True)"),
    (lambda: S.find("("), InvalidPlan, "'(' is not a valid RE2 pattern: missing )"),
    (lambda: S.find(3), TypeMismatch, "find(pattern=3): takes text"),  # type: ignore
    (lambda: S.split_count(""), InvalidPlan, "split_count(by=''): the separator is empty"),
    (lambda: S.extract("a"), InvalidPlan, "extract(group_index=1): takes a whole number"),
    (lambda: S.replace("(a)", "$2"), InvalidPlan, "uses group '2'"),
    (lambda: S.replace_all("", "x", literal=True), InvalidPlan, "text would match everywhere"),
    (lambda: S.to_integer(base=1), InvalidPlan, "to_integer(base=1)"),
    (lambda: S.slice(0, -1), InvalidPlan, "slice(length=-1)"),
    (lambda: S.to_datetime("%H:%M"), InvalidPlan, "needs its year"),
    (lambda: S.to_datetime("%d %Y"), InvalidPlan, "a day, %d, needs its month"),
    (lambda: S.to_datetime("%Y %Q"), InvalidPlan, "%Q is not supported"),
    (lambda: S.to_datetime("%Y %Y"), InvalidPlan, "%Y appears twice"),
    (lambda: S.to_datetime("%Y %m %b"), InvalidPlan, "%m and %b set the same part"),
    (lambda: S.to_datetime("%Y-%m-%d %I"), InvalidPlan, "use %I and %p together"),
    (lambda: S.hash_ngrams(0, 2), InvalidPlan, "hash_ngrams(n=0)"),
    (lambda: S.hash_tokens(0), InvalidPlan, "hash_tokens(n_buckets=0)"),
    (lambda: col("s").hash(0), InvalidPlan, "hash(n_buckets=0)"),
    (lambda: col("s").hash(seed=-1), InvalidPlan, "hash(seed=-1)"),
    (lambda: S.hash_tokens(2) + 1, InvalidPlan, "must be the last"),
]


def test_a_time_asked_of_text_is_told_how_to_read_it() -> None:
    read = r"\.str\.to_datetime\('%Y-%m-%d %H:%M:%S'\)"
    for made in (col("s").dt.year(), col("s").dt.truncate("1d"), col("s").cast("timestamp[us]")):
        with pytest.raises(TypeMismatch, match=read):
            ff.Plan({"f": made}).fit({"s": ["2024-01-01"]})


@pytest.mark.parametrize(("make", "kind", "told"), REFUSED)
def test_a_bad_parameter_is_refused_when_the_expression_is_made(
    make: Any, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert told in str(caught.value)


def _xxh64(content: bytes, seed: int = 0) -> int:
    xxhash = pytest.importorskip("xxhash")
    return xxhash.xxh64_intdigest(content, seed)


def test_hashes_are_those_of_the_published_bytes() -> None:
    table = pa.table({
        "s": ["a", "", "é" * 40, None],
        "b": [b"a", b"\xff", b"", None],
        "i": pa.array([1, -1, 0, None], pa.int16()),
        "u": pa.array([2**64 - 1, 2**63, 0, None], pa.uint64()),
        "f": pa.array([1.5, -0.0, math.inf, math.nan], pa.float32()),
        "flag": [True, False, True, None],
        "day": pa.array([1, -1, 0, None], pa.int32()).cast(pa.date32()),
    })  # fmt: skip
    given = table.to_pydict()
    words = {
        "s": [text and text.encode() for text in given["s"]],
        "b": given["b"],
        "i": [i if i is None else struct.pack("<q", i) for i in given["i"]],
        "u": [u if u is None else struct.pack("<Q", u) for u in given["u"]],
        "f": [*(struct.pack("<d", f) for f in (1.5, 0.0, math.inf)), None],
        "flag": [f if f is None else struct.pack("<q", f) for f in given["flag"]],
        "day": [*(struct.pack("<q", d) for d in (1, -1, 0)), None],
    }
    plan = ff.Plan({
        **{name: col(name).hash() for name in table.column_names},
        **{f"{name} 9": col(name).hash(9, seed=2**64 - 1) for name in table.column_names},
        "cross": ff.cross("s", "i", "f", "b").hash(),
    })  # fmt: skip
    fitted = plan.fit(table)
    for backend in ("cpu", "reference", "emulated"):
        features = fitted.transform(table, backend=backend).to_pydict()
        for name, contents in words.items():
            content = [b"" if c == "" else c for c in contents]
            assert features[name] == [None if c is None else _xxh64(c) for c in content], name
            buckets = [None if c is None else _xxh64(c, 2**64 - 1) * 9 >> 64 for c in content]
            assert features[f"{name} 9"] == buckets, name
        parts = [(3, b"a"), (1, struct.pack("<q", 1)), (2, struct.pack("<d", 1.5)), (3, b"a")]
        first = b"".join(struct.pack("<Bq", tag, len(part)) + part for tag, part in parts)
        assert features["cross"][0] == _xxh64(first)
        assert features["cross"][3] == _xxh64(struct.pack("<Bq", 0, 0) * 4)


def test_widths_of_integers_and_signs_of_zero_have_one_hash() -> None:
    fitted = ff.Plan({"a": col("a").hash(), "b": col("b").hash(), "c": col("c").hash()}).fit({
        "a": pa.array([5], pa.int8()), "b": pa.array([5], pa.uint32()), "c": [0.0]})  # fmt: skip
    row = fitted.transform({"a": [5], "b": [5], "c": [-0.0]}).to_pydict()
    assert row["a"] == row["b"]
    assert row["c"] == fitted.transform({"a": [5], "b": [5], "c": [0.0]})["c"].to_pylist()


def test_unseen_keys_are_spread_by_their_hash() -> None:
    known, later = ["a", "b", "a"], ["a", "b", None, *(f"new {k}" for k in range(40))]
    plan = ff.Plan({
        "k": col("k").ordinal_encode(n_unseen_buckets=8),
        "listed": col("k").ordinal_encode(vocabulary=["a"], n_unseen_buckets=8),
        "n": col("n").ordinal_encode(n_unseen_buckets=8),
        "cross": ff.cross("k", "n").ordinal_encode(n_unseen_buckets=8),
        "bucket": col("k").hash(8), "n bucket": col("n").hash(8),
        "cross bucket": ff.cross("k", "n").hash(8),
    })  # fmt: skip
    fitted = plan.fit({"k": known, "n": [1.0, 2.0, 1.0]})
    rows = {"k": later, "n": [float(k) for k in range(len(later))]}
    features = fitted.transform(rows).to_pydict()
    assert features["k"][:3] == [9, 10, 0]
    assert features["k"][3:] == [1 + bucket for bucket in features["bucket"][3:]]
    assert features["listed"][1] == 1 + features["bucket"][1]
    assert features["n"][3:] == [1 + bucket for bucket in features["n bucket"][3:]]
    assert features["cross"][3:] == [1 + bucket for bucket in features["cross bucket"][3:]]
    assert features["cross"][2] == 1 + features["cross bucket"][2]
    assert len(set(features["k"][3:])) > 4
    assert fitted.transform(rows, backend="reference").to_pydict() == features
    encoded = pa.table({"k": pa.array(later).dictionary_encode(), "n": rows["n"]})
    assert fitted.transform(encoded).to_pydict() == features
    by_row = [fitted.transform_row({"k": k, "n": n}) for k, n in zip(*rows.values(), strict=True)]
    assert np.array_equal(fitted.transform(rows, to="numpy"), by_row, equal_nan=True)


def test_bytes_are_keys_and_have_what_needs_no_characters() -> None:
    contents = [b"a", b"\xff\x00", b"", None, b"a"]
    plan = ff.Plan({
        "n": col("b").str.len_bytes(), "c": col("b").str.contains("a"), "h": col("b").hash(7),
        "k": col("b").ordinal_encode(), "none": col("b").is_null(), "same": col("b") == col("d"),
        "seen": col("b").count(), "x": col("x").mean(by="b"), "filled": col("b").fill_null(col("d"))
        .str.len_bytes(), "one": col("b").one_hot_encode(max_categories=2),
    })  # fmt: skip
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        coded = pa.array([0, 1, 2, None, 0], pa.int8())
        entries = pa.array(contents[:3], kind)
        for given in (pa.array(contents, kind), pa.DictionaryArray.from_arrays(coded, entries)):
            table = pa.table(
                {"b": given, "d": [b"a", b"a", None, b"zzz", b"a"], "x": [1, 2, 3, 4, 5]}
            )
            fitted = plan.fit(table)
            features = fitted.transform(table).to_pydict()
            assert features["n"] == [1, 2, 0, None, 1]
            assert features["c"] == [True, False, False, None, True]
            assert features["k"] == [2, 4, 3, 0, 2]
            assert features["none"] == [False, False, False, True, False]
            assert features["same"] == [True, False, None, None, True]
            assert features["seen"] == [4] * 5
            assert features["x"] == [3.0, 2.0, 3.0, None, 3.0]
            assert features["filled"] == [1, 2, 0, 3, 1]
            assert fitted.transform(table, backend="reference").to_pydict() == features
            by_row = [fitted.transform_row(row) for row in table.to_pylist()]
            assert np.array_equal(fitted.transform(table, to="numpy"), by_row, equal_nan=True)


def test_bytes_never_stand_for_text_but_text_for_bytes() -> None:
    text = ff.Plan({"x": col("s").hash()}).fit({"s": ["a"]})
    with pytest.raises(TypeMismatch, match="fit saw utf8, got binary"):
        text.transform({"s": [b"a"]})
    content = ff.Plan({"x": col("s").hash()}).fit({"s": [b"a"]})
    assert content.transform({"s": ["a"]}) == text.transform({"s": ["a"]})
    saved = ff.Plan.from_json(ff.Plan({"x": col("s").hash()}).to_json()).fit({"s": [b"a"]})
    assert saved.transform({"s": [b"a"]}) == text.transform({"s": ["a"]})


def test_pieces_are_counted_once_for_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastfeat.backends import cpu
    from fastfeat.execute.prepared import FEW

    ran: list[str] = []

    def counted(task: StepTask) -> Any:
        ran.append(task.call.function)
        return cpu.run_step(task)

    fitted = ff.Plan({"g": S.hash_ngrams(2, 16)}).fit({"s": TEXTS})
    monkeypatch.setitem(cpu.BACKEND.functions, StepTask, counted)
    texts = TEXTS * (FEW // len(TEXTS) + 1)  # with fewer rows, a prepared call runs the step
    assert fitted.transform({"s": texts}).num_columns == 16
    assert ran.count("str.hash_ngrams") == 1


def test_a_chain_of_text_runs_in_kernels_alone() -> None:
    s = col("s").str.to_lowercase().str.strip_chars()
    replaced = s.str.replace("a", "bc", literal=True).str.replace_all("d", "")
    told = ff.Plan({"n": replaced.str.len_chars()}).explain()
    assert "kernel: " in told
    assert "host" not in told
    by_pattern = ff.Plan({"n": s.str.replace("a+", "b").str.len_chars()}).explain()
    assert "host: " in by_pattern


def test_explain_says_what_runs_on_the_host() -> None:
    plan = ff.Plan({"a": S.to_lowercase().str.contains("^a"), "b": col("s").fill_null("x").hash()})
    assert "kernel: col('s').str.to_lowercase()\n" in plan.explain()
    assert "host: col('s').str.to_lowercase().str.contains(pattern='^a')" in plan.explain()
    assert "host: col('s').fill_null('x')" in plan.explain("physical", schema={"s": "utf8"})


def test_a_column_without_text_gives_missing_values() -> None:
    learnt = {"mode", "learnt", "no mode", "by"}
    features = {name: FEATURES[name] for name in FEATURES if name not in learnt}
    fitted = ff.Plan(features).fit({"s": pa.nulls(2, pa.string())})
    assert fitted.transform({"s": pa.nulls(3)})["len_chars"].to_pylist() == [None] * 3
    assert fitted.transform(pa.table({"s": pa.array([], pa.string())})).num_rows == 0
    without = ff.Plan({"n": S.len_chars(), "c": S.contains("^a"), "h": col("s").hash()})
    assert without.fit({"s": pa.nulls(2)}).transform({"s": pa.nulls(1)}).to_pydict() == {
        "n": [None], "c": [None], "h": [None]}  # fmt: skip


def test_find_prints_as_it_may_be_written() -> None:
    plain = "(col('s').str.find(pattern='a', literal=True) + 1)"
    assert repr(S.find("a", literal=True) + 1) == plain
    assert repr(S.find("[a]")) == "col('s').str.find(pattern='[a]')"
    assert repr(S.split_count(",")) == "(col('s').str.count_matches(pattern=',', literal=True) + 1)"
