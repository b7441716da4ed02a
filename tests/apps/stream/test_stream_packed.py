"""Packed rows: the published layout, byte by byte, and back."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.apps.stream.packed import (
    check_packed,
    entity_key,
    entity_keys,
    packed_rows,
    read_packed,
)
from fastfeat.errors import InvalidConfig, InvalidData

DIGEST = "ab" * 32
SCHEMA = pa.schema(
    [
        ("f", pa.float64()),
        ("h", pa.float32()),
        ("i", pa.int64()),
        ("u", pa.uint8()),
        ("b", pa.bool_()),
        ("s", pa.string()),
        ("t", pa.timestamp("us", "UTC")),
        ("d", pa.date32()),
        ("c", pa.time64("us")),
        ("w", pa.duration("s")),
        ("x", pa.binary()),
    ]
)
VALUES: dict[str, Any] = {
    "f": st.floats(allow_nan=False),
    "h": st.floats(width=32, allow_nan=False),
    "i": st.integers(-(2**63), 2**63 - 1),
    "u": st.integers(0, 255),
    "b": st.booleans(),
    "s": st.text(max_size=5),
    "t": st.datetimes(datetime(1950, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC)),
    "d": st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    "c": st.times(),
    "w": st.integers(-(10**6), 10**6).map(lambda n: timedelta(seconds=n)),
    "x": st.binary(max_size=5),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | kind for name, kind in VALUES.items()}),
    min_size=1,
    max_size=4,
)


def packed(rows: list[dict[str, Any]], schema: pa.Schema, chosen: list[int]) -> list[bytes]:
    table = pa.Table.from_pylist(rows, schema)
    offsets = np.arange(len(rows)) + 2**40
    return packed_rows(table, chosen, offsets, offsets * 3, "täglich", 7, DIGEST)


@given(ROWS)
def test_rows_are_read_as_they_were_packed(rows: list[dict[str, Any]]) -> None:
    check_packed(SCHEMA)
    chosen = list(range(len(rows)))[::-1]
    for at, content in zip(chosen, packed(rows, SCHEMA, chosen), strict=True):
        found = read_packed(content, SCHEMA)
        assert repr(dict(found.features)) == repr(
            pa.Table.from_pylist(rows, SCHEMA).slice(at, 1).to_pylist()[0]
        )
        assert (found.topic, found.partition, found.artifact) == ("täglich", 7, DIGEST)
        assert (found.offset, found.time_ms) == (2**40 + at, 3 * (2**40 + at))


def test_layout_is_the_published_one() -> None:
    schema = pa.schema(
        [("a", pa.float32()), ("s", pa.string()), ("b", pa.bool_()), ("i", pa.int64())]
    )
    rows = [{"a": 1.5, "s": "ä", "b": True, "i": None}]
    (content,) = packed_rows(
        pa.Table.from_pylist(rows, schema), [0], np.array([5]), np.array([9]), "xy", 3, DIGEST
    )
    assert content == (
        b"FFR1"
        + struct.pack("<Iqq", 3, 5, 9)
        + bytes.fromhex(DIGEST)
        + struct.pack("<H", 2)
        + b"xy"
        + bytes([0b0111])
        + struct.pack("<fBq", 1.5, 1, 0)
        + struct.pack("<I", 2)
        + "ä".encode()
    )


def test_other_bytes_are_an_error() -> None:
    (content,) = packed([{"f": 1.0, "s": "a"}], SCHEMA, [0])
    for wrong in (b"", b"hello", content[:-1], content + b"x", b"X" + content[1:]):
        with pytest.raises(InvalidData, match="packed row"):
            read_packed(wrong, SCHEMA)
    with pytest.raises(InvalidData, match="another schema: it has"):
        read_packed(content, pa.schema([("f", pa.float64())]))


def test_lists_have_no_place() -> None:
    with pytest.raises(InvalidConfig, match="the feature 'l' of type list<item: double>"):
        check_packed(pa.schema([("l", pa.list_(pa.float64()))]))


def test_keys_tell_entities_apart() -> None:
    columns = [pa.chunked_array([["a", 'a",1', None]]), pa.chunked_array([[1, 2, 3]])]
    keys = entity_keys("p:", columns)
    assert keys == ['p:["a",1]', 'p:["a\\",1",2]', None]
    assert entity_key("p:", ["a", 1]) == keys[0]
    times = pa.chunked_array([pa.array([0], pa.timestamp("s", "UTC"))])
    assert entity_keys("", [times]) == ['["1970-01-01 00:00:00Z"]']


def test_a_topic_that_is_no_text_is_an_error() -> None:
    schema = pa.schema([("x", pa.float64())])
    content = bytearray(packed([{"x": 1.0}], schema, [0])[0])
    content[58] = 0xFF  # the first byte of its name
    with pytest.raises(InvalidData, match="another schema"):
        read_packed(bytes(content), schema)
