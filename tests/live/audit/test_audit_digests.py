"""Digests of tables: the same for the same values, another for any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.errors import StateError
from fastfeat.live.audit.chain import Chain, link_of, new_key
from fastfeat.live.audit.digests import Digest, digest_of, names_of, what_differs
from fastfeat.live.audit.row_digest import has_row_digest
from fastfeat.live.state.changes import StoredRow

SECRET, ONCE = b"s" * 32, b"o" * 32
N = 40


def digest(table: pa.Table, secret: bytes = SECRET, once: bytes = ONCE) -> Digest:
    return digest_of({"": table}, table.num_rows, secret, once)


def values_of(random: np.random.Generator) -> dict[str, list[Any]]:
    """Return values of many types, some of which are missing."""
    words = ["", "a", "b", "ä", "eight...", "nine....!", "x" * 300, "x" * 301, "\0", "a\0"]
    columns: dict[str, list[Any]] = {
        "float64": [*random.normal(size=N - 4), -0.0, 0.0, np.inf, -np.inf],
        "float32": [float(np.float32(x)) for x in random.normal(size=N)],
        "float16": [float(np.float16(x)) for x in random.normal(size=N)],
        "int64": [int(x) for x in random.integers(-(2**62), 2**62, N)],
        "int8": [int(x) for x in random.integers(-128, 128, N)],
        "uint64": [int(x) for x in random.integers(0, 2**63, N)],
        "bool": [bool(x) for x in random.integers(0, 2, N)],
        "text": [words[k] for k in random.integers(0, len(words), N)],
        "bytes": [words[k].encode() for k in random.integers(0, len(words), N)],
        "lists": [[int(x) for x in random.integers(0, 3, k % 4)] for k in range(N)],
        "texts": [[words[x] for x in random.integers(0, 5, k % 3)] for k in range(N)],
        "records": [{"a": k, "b": words[k % 4]} for k in range(N)],
        "time": [int(x) for x in random.integers(0, 2**50, N)],
        "day": [int(x) for x in random.integers(0, 2**14, N)],
        "nothing": [None] * N,
    }
    for name, values in columns.items():
        if name != "float16":
            columns[name] = [None if random.random() < 0.1 else value for value in values]
    return columns


TYPES = {
    "float64": pa.float64(),
    "float32": pa.float32(),
    "float16": pa.float16(),
    "int64": pa.int64(),
    "int8": pa.int8(),
    "uint64": pa.uint64(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "bytes": pa.binary(),
    "lists": pa.list_(pa.int32()),
    "texts": pa.list_(pa.string()),
    "records": pa.struct([("a", pa.int64()), ("b", pa.string())]),
    "time": pa.timestamp("us"),
    "day": pa.date32(),
    "nothing": pa.null(),
}


def array_of(name: str, values: list[Any]) -> pa.Array:
    if name == "float16":
        return pa.array(np.array(values, np.float16))
    return pa.array(values, TYPES[name])


def table_of(seed: int) -> pa.Table:
    columns = values_of(np.random.default_rng(seed))
    return pa.table({name: array_of(name, values) for name, values in columns.items()})


def chunked(table: pa.Table, at: list[int]) -> pa.Table:
    pieces = [table.slice(a, b - a) for a, b in zip([0, *at], [*at, len(table)], strict=True)]
    return pa.concat_tables(pieces)


@given(st.integers(0, 2**32), st.integers(0, 9), st.lists(st.integers(0, N), max_size=3))
def test_forms_of_equal_values_have_one_digest(seed: int, offset: int, cuts: list[int]) -> None:
    table = table_of(seed)
    expected = digest(table)
    longer = pa.concat_tables([table.slice(0, offset), table, table.slice(0, 5)]).combine_chunks()
    assert digest(longer.slice(offset, N)) == expected
    assert digest(chunked(table, sorted(cuts))) == expected
    assert digest(table.select(table.column_names[::-1])) == expected
    others = {
        "text": table["text"].dictionary_encode(),
        "bytes": table["bytes"].cast(pa.large_binary()),
        "lists": table["lists"].cast(pa.large_list(pa.int32())),
        "texts": table["texts"].cast(pa.large_list(pa.large_string())),
        "int64": table["int64"].dictionary_encode(),
    }
    for name, column in others.items():
        assert digest(table.set_column(table.column_names.index(name), name, column)) == expected
    views = table["text"].cast(pa.string_view())
    assert digest(table.set_column(table.column_names.index("text"), "text", views)) == expected


def test_missing_is_one_thing_and_values_below_it_are_none() -> None:
    def floats(bits: list[int], mask: list[bool]) -> Digest:
        values = np.array(bits, np.uint64).view(np.float64)
        validity = pa.py_buffer(np.packbits(~np.array(mask), bitorder="little"))
        return digest(
            pa.table(
                {"x": pa.Array.from_buffers(pa.float64(), 3, [validity, pa.py_buffer(values)])}
            )
        )

    nan, other_nan, one = 0x7FF8000000000000, 0xFFF0000000000001, 0x3FF0000000000000
    expected = floats([one, nan, one], [False, False, False])
    assert floats([one, other_nan, one], [False, False, False]) == expected
    assert floats([one, one, one], [False, True, False]) == expected
    assert floats([one, 0, one], [False, True, False]) == expected
    assert floats([one, 0, one], [False, False, False]) != expected
    narrow = [
        pa.table({"x": pa.array([1.0, value], pa.float32())}) for value in (None, float("nan"), 0.0)
    ]
    assert digest(narrow[0]) == digest(narrow[1]) != digest(narrow[2])
    zero, minus_zero = 0, 1 << 63
    assert floats([zero] * 3, [False] * 3) != floats([minus_zero, zero, zero], [False] * 3)
    integers = [
        pa.Array.from_buffers(
            pa.int32(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array(values, np.int32))]
        )
        for values in ([7, 0], [7, 99])
    ]
    assert digest(pa.table({"k": integers[0]})) == digest(pa.table({"k": integers[1]}))
    assert digest(pa.table({"k": integers[0]})) != digest(pa.table({"k": [7, 0]}))


def other_than(name: str, value: Any) -> Any:
    """Return another value that is as near as can be."""
    match value:
        case None:
            zeros: dict[str, Any] = {"text": "", "bytes": b"", "records": {"a": 0, "b": ""}}
            empty: Any = [] if name in ("lists", "texts") else 0
            return zeros.get(name, False if name == "bool" else empty)
        case bool():
            return not value
        case float():
            kind = np.dtype(TYPES[name].to_pandas_dtype()).type
            return float(np.nextafter(kind(value), kind(0) if value > 1 else kind(9)))
        case int():
            return value - 1 if value > 0 else value + 1
        case str():
            return value[:-1] if len(value) > 1 else value + "a"
        case bytes():
            return value[:-1] + b"\x01" if len(value) > 1 else value + b"\0"
        case list():
            return [*value, None]
        case _:
            return {**value, "a": None}


@given(st.integers(0, 2**32), st.sampled_from([n for n in TYPES if n != "nothing"]))
def test_another_value_is_found_by_row_and_column(seed: int, name: str) -> None:
    table, random = table_of(seed), np.random.default_rng(seed)
    columns = values_of(np.random.default_rng(seed))
    row = int(random.integers(N))
    columns[name][row] = other_than(name, columns[name][row])
    at = table.column_names.index(name)
    found = digest(table.set_column(at, name, array_of(name, columns[name])))
    expected = digest(table)
    assert found.whole != expected.whole
    place, column = what_differs(expected, found, ONCE)
    assert (place, names_of({"": table})[column or 0][1]) == (row, name)


@given(st.integers(0, 2**32))
def test_names_types_and_numbers_of_rows_count(seed: int) -> None:
    table = table_of(seed)
    expected = digest(table).whole
    assert digest(table.slice(0, N - 1)).whole != expected
    renamed = ["floats" if name == "float64" else name for name in table.column_names]
    assert digest(table.rename_columns(renamed)).whole != expected
    wider = table.set_column(4, "int8", table["int8"].cast(pa.int16()))
    assert digest(wider).whole != expected
    assert digest(table, once=b"p" * 32).whole != expected


@given(st.integers(0, 2**32))
def test_features_of_one_row_have_the_digest_of_their_table(seed: int) -> None:
    random, columns, row = np.random.default_rng(seed), dict[str, Any](), list[float]()
    for k in range(int(random.integers(1, 12))):
        kind = [*KINDS][random.integers(len(KINDS))]
        value = [KINDS[kind](random), None][int(random.random() < 0.2)]
        row.append(value)
        kept = pa.array([value], STORED.get(kind, kind))
        columns[f"{random.integers(9)}{k}"] = kept.view(kind) if kind in STORED else kept
    table, once = pa.table(columns), bytes(random.integers(0, 256, 32, np.uint8))
    given_row = StoredRow(table.schema, row)
    assert has_row_digest(table.schema)
    assert digest_of({"a": given_row}, 1, SECRET, once) == digest_of({"a": table}, 1, SECRET, once)
    both = {"a": given_row, "b": given_row}, {"a": table, "b": table}
    one, other = (digest_of(tables, 1, SECRET, once) for tables in both)
    assert one == other


KINDS: dict[pa.DataType, Any] = {
    pa.float64(): lambda random: [random.normal(), -0.0, np.inf][random.integers(3)],
    pa.float32(): lambda random: [float(np.float32(random.normal())), -0.0][random.integers(2)],
    pa.float16(): lambda random: float(np.float16(random.normal())),
    pa.int64(): lambda random: int(random.integers(-(2**53), 2**53)),
    pa.int32(): lambda random: int(random.integers(-(2**31), 2**31)),
    pa.uint8(): lambda random: int(random.integers(0, 256)),
    pa.bool_(): lambda random: bool(random.integers(2)),
    pa.uint64(): lambda random: int(random.integers(0, 2**64, dtype=np.uint64)),
    pa.timestamp("us", "Europe/Berlin"): lambda random: int(random.integers(-(2**50), 2**50)),
    pa.date32(): lambda random: int(random.integers(-9999, 9999)),
    pa.large_string(): lambda random: "ä" * int(random.integers(0, 9) ** 2 * random.integers(1, 3)),
    pa.large_binary(): lambda random: random.bytes(int(random.choice([0, 1, 7, 8, 9, 256, 257]))),
}
STORED = {pa.timestamp("us", "Europe/Berlin"): pa.int64(), pa.date32(): pa.int32()}


def test_lists_have_no_digest_of_a_row():
    assert not has_row_digest(pa.schema([("a", pa.int64()), ("b", pa.large_list(pa.int64()))]))


@pytest.mark.parametrize("name", list(TYPES))
def test_no_rows_have_a_digest(name: str) -> None:
    none = pa.table({name: pa.array([], TYPES[name])})
    found = digest(none)
    assert (len(found.whole), len(found.columns), found.rows) == (32, 8, b"")
    assert digest(pa.table({})).columns == b""


def test_rows_of_one_value_do_not_look_alike_and_two_of_one_sum_neither() -> None:
    same = pa.table({"x": [1.5] * 50, "k": [3] * 50})
    words = np.frombuffer(digest(same).rows, np.uint32)
    assert len(set(words.tolist())) == 50
    swapped = pa.table({"x": [1.0, 2.0], "k": [2.0, 1.0]})
    assert digest(swapped) != digest(swapped.rename_columns(["k", "x"]))


def test_tables_beside_each_other_are_told_apart() -> None:
    one, other = pa.table({"a": [1, 2]}), pa.table({"a": [3, 4]})
    found = [
        digest_of(tables, 2, SECRET, ONCE).whole
        for tables in ({"x": one, "y": other}, {"x": other, "y": one}, {"x": one, "z": other})
    ]
    assert len(set(found)) == 3
    assert names_of({"y": one, "x": other}) == [("x", "a"), ("y", "a")]


def test_a_chain_takes_keys_and_links_of_32_bytes() -> None:
    with pytest.raises(StateError, match="needs a key of 32 bytes"):
        Chain(b"short")
    with pytest.raises(StateError, match="link of 32 bytes, got 32 and 3"):
        Chain(new_key(), b"abc")
    with pytest.raises(StateError, match="missing or truncated"):
        link_of(b"", b"")
    with pytest.raises(StateError, match="has format 9"):
        link_of(b"d" * 32, b"\x09" + bytes(200))
