"""Codes of literals and equality of text, in every form in which Arrow holds text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import TypeMismatch
from fastfeat.io.columns.strings import string_codes, string_equal, text_array
from fastfeat.steps.keys import cpu_vocabulary
from fastfeat.steps.keys.cpu_vocabulary import literal_codes

TEXTS = st.none() | st.sampled_from(["", "a", "b", "ß", "日本", "a" * 20]) | st.text(max_size=3)
INDEX_TYPES = [pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]


def _plain(form):
    return lambda values, data: pa.array(values, form)


def _dictionary(values, data):
    """Return a dictionary array with an index type, spare entries and nulls as drawn."""
    form = data.draw(st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]))
    entries = [*dict.fromkeys(values), "spare", *([None] if data.draw(st.booleans()) else [])]
    codes = [None if v is None and data.draw(st.booleans()) else entries.index(v) for v in values]
    index = data.draw(st.sampled_from(INDEX_TYPES))
    return pa.DictionaryArray.from_arrays(pa.array(codes, index), pa.array(entries, form))


def _runs(values, data):
    ends = pa.array(range(1, len(values) + 1), pa.int32())
    return pa.RunEndEncodedArray.from_arrays(ends, pa.array(values, pa.string()))


FORMS = {
    "string": _plain(pa.string()),
    "large_string": _plain(pa.large_string()),
    "string_view": _plain(pa.string_view()),
    "dictionary": _dictionary,
    "run_ends": _runs,
}


def draw_column(data, form, pieces):
    """Return text pieces as a column of one form, each piece sliced out of a longer array."""
    arrays = [FORMS[form](["pad", *piece, None], data)[1:-1] for piece in pieces]
    if form == "dictionary":  # chunks of one column share one index and one value type
        arrays = [
            array.cast(pa.dictionary(pa.int64(), pa.large_string()))
            if not _is_view(array)
            else array
            for array in arrays
        ]
        arrays = arrays if len({array.type for array in arrays}) == 1 else arrays[:1]
    return pa.chunked_array(arrays)


def _is_view(array):
    return pa.types.is_string_view(array.type.value_type)


@pytest.mark.parametrize("codes_of", [string_codes, literal_codes])
@pytest.mark.parametrize("form", FORMS)
def test_codes_are_positions_among_the_literals(form, codes_of, monkeypatch):
    monkeypatch.setattr(cpu_vocabulary, "_MANY", 0)  # rows from which on the kernel is asked

    @given(st.data())
    def check(data):
        pieces = data.draw(st.lists(st.lists(TEXTS, max_size=8), min_size=1, max_size=3))
        literals = tuple(data.draw(st.lists(TEXTS.filter(bool), max_size=5)))
        column = draw_column(data, form, pieces)
        expected = [
            None if v is None else literals.index(v) if v in literals else -1
            for v in column.to_pylist()
        ]
        codes = codes_of(column, "s", literals)
        assert codes.type == pa.int32()
        assert codes.to_pylist() == expected

    check()


@given(st.data())
def test_equality_holds_across_forms_and_chunk_boundaries(data):
    left = data.draw(st.lists(TEXTS, min_size=1, max_size=9))
    right = [v if data.draw(st.booleans()) else data.draw(TEXTS) for v in left]
    cut = data.draw(st.integers(0, len(left)))
    forms = st.sampled_from(sorted(FORMS))
    one = draw_column(data, data.draw(forms), [left])
    form = data.draw(forms.filter(lambda f: f != "dictionary"))
    two = draw_column(data, form, [right[:cut], right[cut:]])
    expected = [
        None if a is None or b is None else a == b for a, b in zip(left, right, strict=True)
    ]
    assert string_equal(one, two, "l", "r").to_pylist() == expected


def test_dictionaries_that_differ_per_chunk_give_one_numbering():
    first = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["x", "y"]))
    second = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2], pa.int8()), pa.array(["y", None, "z"])
    )
    codes = string_codes(pa.chunked_array([first, second]), "s", ("y", "x"))
    assert codes.to_pylist() == [1, 0, 0, None, -1]
    assert codes.num_chunks == 1  # tiny pieces are combined


def test_a_column_without_any_value_is_missing_everywhere():
    for column in (pa.nulls(2), pa.array([math.nan, None]), pa.array([None, None], pa.int8())):
        assert string_codes(pa.chunked_array([column]), "s", ("a",)).to_pylist() == [None, None]
    text, empty = pa.chunked_array([["a", "b"]]), pa.chunked_array([pa.nulls(2)])
    assert string_equal(text, empty, "l", "r").to_pylist() == [None, None]


@pytest.mark.parametrize("array", [pa.array([None, 5]), pa.array([b"x"]), pa.array([[1]])])
def test_what_is_not_text_is_refused_with_its_first_value(array):
    column = pa.chunked_array([array])
    row = array.to_pylist().index(next(v for v in array.to_pylist() if v is not None))
    with pytest.raises(TypeMismatch, match=rf'col\("s"\): fit saw utf8, got .* in row {row}\)'):
        string_codes(column, "s", ("a",))
    with pytest.raises(TypeMismatch, match=r'col\("right"\): fit saw utf8'):
        string_equal(pa.chunked_array([["a"] * len(array)]), column, "left", "right")


@pytest.mark.parametrize("codes_of", [string_codes, literal_codes])
def test_the_code_under_a_null_is_zero(codes_of, monkeypatch):
    monkeypatch.setattr(cpu_vocabulary, "_MANY", 0)
    codes = codes_of(pa.chunked_array([["b", None, "z"]]), "s", ("a", "b")).chunk(0)
    assert np.frombuffer(codes.buffers()[1], np.int32).tolist() == [1, 0, -1]


def test_no_literals_means_that_no_text_is_among_them():
    assert string_codes(pa.chunked_array([["a", None]]), "s", ()).to_pylist() == [-1, None]


@given(st.lists(st.text(max_size=4)))
def test_text_array_holds_the_texts(texts):
    array = text_array(texts)
    array.validate(full=True)
    assert array.to_pylist() == texts


EMPTY_TEXTS = [
    np.array([np.nan, np.nan]),
    pa.nulls(2),
    pa.array([None, None], pa.string_view()),
    [None, np.datetime64("NaT", "us")],
]


@pytest.mark.parametrize("texts", EMPTY_TEXTS)
def test_a_text_column_without_values_is_missing_whatever_its_type(texts: Any) -> None:
    plan = ff.Plan({"none": col("s").is_null(), "in": col("s").is_in(["a"])})
    fitted = plan.fit({"s": ["a", None]})
    for backend in ("cpu", "reference"):
        features = fitted.transform({"s": texts}, backend=backend)
        assert features.to_pydict() == {"none": [True, True], "in": [None, None]}


@pytest.mark.parametrize(
    "missing", [None, math.nan, np.float32("nan"), np.datetime64("NaT", "us"), pa.scalar(None)]
)
def test_a_missing_text_of_a_row_is_missing(missing: Any) -> None:
    fitted = ff.Plan({"none": col("s").is_null(), "a": col("s") == "a"}).fit({"s": ["a", None]})
    assert np.array_equal(fitted.transform_row({"s": missing}), [1, math.nan], equal_nan=True)
    assert fitted.transform_row({"s": pa.scalar("a")}).tolist() == [0, 1]


@pytest.mark.parametrize("missing", [np.datetime64("NaT"), np.timedelta64("NaT", "s"), pd.NaT])
def test_a_missing_time_among_texts_is_a_missing_text(missing: Any) -> None:
    fitted = ff.Plan({"none": col("s").is_null()}).fit({"s": ["a", None]})
    for values in ([missing], ["a", missing, None]):
        expected = [value != "a" for value in values]
        assert fitted.transform({"s": values})["none"].to_pylist() == expected
        by_row = [bool(fitted.transform_row({"s": value})[0]) for value in values]
        assert by_row == expected


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_bytes_of_any_buffer_are_bytes(form: Any) -> None:
    fitted = ff.Plan({"same": col("b") == col("c")}).fit({"b": [b"a"], "c": [b"b"]})
    for content in (b"a", b"b", b""):
        row = {"b": form(content), "c": b"a"}
        in_batch = fitted.transform([row])["same"].to_pylist()
        assert [bool(fitted.transform_row(row)[0])] == in_batch == [content == b"a"]
    with pytest.raises(TypeMismatch, match="'b': expected bytes, got 1"):
        fitted.transform_row({"b": 1, "c": b"a"})


def test_whether_a_text_is_missing_is_asked_of_texts_alone() -> None:
    fitted = ff.Plan({"none": col("s").is_null()}).fit({"s": ["a", None]})
    for numbers in ([1, None], np.array([1.5, np.nan])):
        with pytest.raises(TypeMismatch, match="fit saw utf8"):
            fitted.transform({"s": numbers})
    with pytest.raises(TypeMismatch, match="expected text, got 1"):
        fitted.transform_row({"s": 1})
