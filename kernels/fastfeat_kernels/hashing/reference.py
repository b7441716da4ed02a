"""Reference of the hashing kernels: XXH64 on bytes in plain Python; same arguments and table."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from fastfeat_kernels.column import ELEMENTS, TEXT
from fastfeat_kernels.hashing import (
    BIT_OFFSET,
    ELEMENT,
    HASHES,
    IS_TEXT,
    N_COLUMN_WORDS,
    N_COLUMNS,
    N_HEADER_WORDS,
    OFFSET_BYTES,
    OFFSETS,
    SEED,
    START,
    TAG_FLOAT,
    TAG_INTEGER,
    TAG_MISSING,
    TAG_TEXT,
    VALIDITY,
    VALUE_BIT_OFFSET,
    VALUES,
)
from fastfeat_kernels.memory import text_at, value_at, words_at

P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_ALL = 2**64 - 1

HashableValue = float | int | bool | bytes | None


def xxh64(content: bytes, seed: int = 0) -> int:
    """Return XXH64 of some bytes.

    >>> hex(xxh64(b"")), hex(xxh64(b"a")), hex(xxh64(b"a", seed=1))
    ('0xef46db3751d8e999', '0xd24ec4f1a98c6e5b', '0xdec2bc81c3cd46c6')
    """
    n_striped = len(content) // 32 * 32 if len(content) >= 32 else 0
    if n_striped:
        lanes = [seed + P1 + P2, seed + P2, seed, seed - P1]
        for words in struct.iter_unpack("<4Q", content[:n_striped]):
            lanes = [_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
        turns = zip(lanes, (1, 7, 12, 18), strict=True)
        total = sum(_turned(lane, count) for lane, count in turns)
        for lane in lanes:
            total = (total ^ _round(0, lane)) * P1 + P4 & _ALL
    else:
        total = seed + P5
    return _finished(total + len(content), content[n_striped:])


def _finished(total: int, tail: bytes) -> int:
    """Mix in fewer than 32 bytes, and finish."""
    while len(tail) >= 8:
        total = _turned(total ^ _round(0, int.from_bytes(tail[:8], "little")), 27) * P1 + P4
        tail = tail[8:]
    if len(tail) >= 4:
        total = _turned(total ^ int.from_bytes(tail[:4], "little") * P1, 23) * P2 + P3
        tail = tail[4:]
    for byte in tail:
        total = _turned(total ^ byte * P5, 11) * P1
    total &= _ALL
    total = (total ^ total >> 33) * P2 & _ALL
    total = (total ^ total >> 29) * P3 & _ALL
    return total ^ total >> 32


def _round(lane: int, word: int) -> int:
    return _turned(lane + word * P2, 31) * P1 & _ALL


def _turned(word: int, count: int) -> int:
    word &= _ALL
    return (word << count | word >> 64 - count) & _ALL


def canonical_bytes(value: HashableValue) -> bytes:
    r"""Return the canonical bytes of a value; empty if it is missing.

    >>> canonical_bytes(True), canonical_bytes(-0.0) == canonical_bytes(0.0), canonical_bytes(b"a")
    (b'\x01\x00\x00\x00\x00\x00\x00\x00', True, b'a')
    """
    match value:
        case None:
            return b""
        case bytes():
            return value
        case float():
            return struct.pack("<d", value + 0.0)
        case _:
            return (value % 2**64).to_bytes(8, "little")


def canonical_row(values: Sequence[HashableValue]) -> bytes:
    """Return the canonical bytes of a row of several columns.

    >>> canonical_row([None, b"ab"]).hex()
    '0000000000000000000302000000000000006162'
    """
    parts = [(_tag(value), canonical_bytes(value)) for value in values]
    return b"".join(struct.pack("<Bq", tag, len(part)) + part for tag, part in parts)


def _tag(value: HashableValue) -> int:
    match value:
        case None:
            return TAG_MISSING
        case bytes():
            return TAG_TEXT
        case float():
            return TAG_FLOAT
        case _:
            return TAG_INTEGER


def hash_values(table: int, first: int, n: int) -> int:
    """Write the hash of each value of the one column; 0 for missing values."""
    for row, (value,), seed, hashes in _rows(table, first, n):
        hashes[row] = 0 if value is None else xxh64(canonical_bytes(value), seed)
    return 0


def hash_rows(table: int, first: int, n: int) -> int:
    """Write the hash of each row of all columns."""
    for row, values, seed, hashes in _rows(table, first, n):
        hashes[row] = xxh64(canonical_row(values), seed)
    return 0


def _rows(table: int, first: int, n: int) -> Any:
    """Yield number and values of each row, the seed, and the output array."""
    header = words_at(table, N_HEADER_WORDS)
    start = table + 8 * N_HEADER_WORDS
    columns = [
        words_at(start + 8 * N_COLUMN_WORDS * k, N_COLUMN_WORDS) for k in range(header[N_COLUMNS])
    ]
    hashes = words_at(header[HASHES], first + n, signed=False)
    for row in range(first, first + n):
        yield row, [_value(column, row) for column in columns], header[SEED] % 2**64, hashes


def _value(column: Any, row: int) -> HashableValue:
    row -= column[START]
    if column[ELEMENT] == IS_TEXT:
        return text_at(
            column[OFFSETS],
            column[OFFSET_BYTES],
            column[VALUES],
            column[VALIDITY],
            column[BIT_OFFSET],
            row,
        )
    place: int = column[ELEMENT]
    return value_at(
        ELEMENTS[place],
        column[VALUES],
        column[VALUE_BIT_OFFSET],
        column[VALIDITY],
        column[BIT_OFFSET],
        row,
    )


ENTRIES = {"numbers": hash_values, TEXT: hash_values, "mixed": hash_rows}
