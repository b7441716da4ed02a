"""The digest of one row of numbers, times and text, equal to that of a table with this row.

A row has a few dozen words (64-bit hashes of values, see `column_words`). Plain Python handles them
in less time than NumPy needs to start.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.io.arrow import DataType, Schema, pa
from fastfeat.live.audit.column_words import (
    LONGEST_IN_WORDS,
    MISSING,
    is_word,
    type_text,
    value_type,
    word_keys,
)
from fastfeat.live.state.changes import StoredRow

_MASK = (1 << 64) - 1
_MISSING = int(MISSING)
_NAN = {16: 0x7E00, 32: 0x7FC00000, 64: 0x7FF8000000000000}
_FLOATS = {16: "e", 32: "f", 64: "d"}
_MOST_LAYOUTS = 64


@dataclass(frozen=True, slots=True)
class _RowLayout:
    """The columns of a row, in the order in which their values are hashed.

    Args:
        schema: Schema of the table that the row would be.
        head: Label, names and types as bytes, ordered by name.
        words: Index, number of bits and key word of each column of at most 64 bits, float64 first;
            floats have the negative number of bits.
        n_floats: Number of float64 columns.
        texts: Index and key words of each column of text or bytes.
        order: For each column by name, its position in `words` followed by `texts`.
    """

    schema: Schema
    head: bytes
    words: Sequence[tuple[int, int, int]]
    n_floats: int
    texts: Sequence[tuple[int, Sequence[int]]]
    order: Sequence[int]


_LAYOUTS: dict[tuple[bytes, str, int], _RowLayout] = {}
_CAN_BE: dict[int, tuple[Schema, bool]] = {}


def has_row_digest(schema: Schema) -> bool:
    """Return whether all columns of a schema are numbers, times, text or bytes."""
    known = _CAN_BE.get(id(schema))
    if known is not None and known[0] is schema:
        return known[1]
    if len(_CAN_BE) >= _MOST_LAYOUTS:
        _CAN_BE.clear()
    found = all(map(_is_word_or_text, map(value_type, schema.types)))
    _CAN_BE[id(schema)] = schema, found
    return found


def _is_word_or_text(kind: DataType) -> bool:
    return is_word(kind) or pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)


def digest_of_row(
    tables: Mapping[str, StoredRow], secret: bytes, once: bytes
) -> tuple[bytes, bytes, bytes]:
    """Return the digest of one row: the fields of `digests.Digest`, in order.

    `tables` maps a label to the row's values in stored form; `secret` and `once` are keys as in
    `digests.digest_of`.
    """
    made = hmac.new(once, (1).to_bytes(8, "little"), "sha256")
    of_row, columns = 0, list[int]()
    for label in sorted(tables):
        layout = _layout(tables[label].schema, label, secret)
        word, own = _feed_row(made, tables[label].values, layout)
        of_row += word
        columns += own
    whole = made.digest()
    n_bytes = 8 * len(columns)
    cover = hashlib.shake_128(once + whole).digest(n_bytes + 4)
    told = struct.pack(f"={len(columns)}Q", *columns)
    half = ((of_row & _MASK) >> 32).to_bytes(4, sys.byteorder)
    return whole, _covered(told, cover[:n_bytes]), _covered(half, cover[n_bytes:])


def _covered(told: bytes, cover: bytes) -> bytes:
    both = int.from_bytes(told, "little") ^ int.from_bytes(cover, "little")
    return both.to_bytes(len(told), "little")


def _layout(schema: Schema, label: str, secret: bytes) -> _RowLayout:
    """Return the hashing order of a schema's columns; recent results are cached."""
    known = _LAYOUTS.get(key := (secret, label, id(schema)))
    if known is not None and known.schema is schema:
        return known
    if len(_LAYOUTS) >= _MOST_LAYOUTS:
        _LAYOUTS.clear()
    _LAYOUTS[key] = made = _made_layout(schema, label, secret)
    return made


def _made_layout(schema: Schema, label: str, secret: bytes) -> _RowLayout:
    names: list[str] = schema.names
    kinds = [value_type(kind) for kind in schema.types]
    by_name = sorted(range(len(names)), key=names.__getitem__)
    floats = [k for k in by_name if pa.types.is_float64(kinds[k])]
    words = [*floats, *(k for k in by_name if is_word(kinds[k]) and k not in floats)]
    texts = [k for k in by_name if not is_word(kinds[k])]
    told = [t.encode() for k in by_name for t in (names[k], type_text(kinds[k]))]
    every = [word_keys(secret, (f"{label} {name}",))[0].tolist() for name in names]
    bits = [(-1 if pa.types.is_floating(kind) else 1) for kind in kinds]
    return _RowLayout(
        schema,
        b"".join(piece for t in (label.encode(), *told) for piece in (len(t).to_bytes(8), t)),
        [(k, bits[k] * kinds[k].bit_width, every[k][0]) for k in words],
        len(floats),
        [(k, every[k]) for k in texts],
        [[*words, *texts].index(k) for k in by_name],
    )


def _feed_row(made: Any, values: Sequence[Any], layout: _RowLayout) -> tuple[int, list[int]]:
    """Feed a row to the HMAC `made`; return the row's hash, and one hash per column, by name.

    They are sums that may exceed 64 bits; only the low 64 bits count.
    """
    block: list[int] = []
    lacking: list[bool] = []
    for place, n_bits, _ in layout.words:
        value, is_missing = values[place], _is_missing(values[place])
        if n_bits < 0:
            block.append(_NAN[-n_bits] if is_missing else _float_bits(value, -n_bits))
            lacking.append(False)
        else:
            block.append(0 if is_missing else int(value) & ((1 << n_bits) - 1))
            lacking.append(is_missing)
    made.update(layout.head)
    made.update(struct.pack(f"={len(block)}Q", *block))
    folded = [word ^ (word >> 32) for word in block]
    if any(lacking):
        made.update(_packed(lacking[layout.n_floats :]))
        pairs = zip(lacking, folded, strict=True)
        folded = [_MISSING if is_missing else word for is_missing, word in pairs]
        made.update(b"missing")
    else:
        made.update(b"nothing")
    of_row = sum(word * key for word, (_, _, key) in zip(folded, layout.words, strict=True))
    for place, keys in layout.texts:
        word = _feed_text(made, values[place], keys)
        of_row += word
        folded.append(word)
    return of_row, [folded[k] for k in layout.order]


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _float_bits(value: float, n_bits: int) -> int:
    code = _FLOATS[n_bits]
    return int.from_bytes(struct.pack(f"={code}", value), sys.byteorder)


def _packed(flags: Sequence[bool]) -> bytes:
    """Return flags as bits, with the first flag as the highest bit of the first byte."""
    n_bytes = -(-len(flags) // 8)
    bits = sum(1 << (8 * n_bytes - 1 - k) for k, flag in enumerate(flags) if flag)
    return bits.to_bytes(n_bytes, "big")


def _feed_text(made: Any, value: str | bytes | None, keys: Sequence[int]) -> int:
    """Feed a text to the HMAC `made`; return its word."""
    made.update((1).to_bytes(8, "little") + (b"\x00" if value is None else b"\x80"))
    if value is None:
        return _MISSING
    content = value.encode() if isinstance(value, str) else value
    n = len(content)
    made.update(n.to_bytes(8, sys.byteorder))
    made.update(content)
    word = n * keys[0]
    if n > LONGEST_IN_WORDS:
        key = struct.pack("=4Q", *keys[:4])
        digest = hashlib.blake2b(content, key=key, digest_size=8).digest()
        word += int.from_bytes(digest, sys.byteorder)
    else:
        for k in range(0, n, 8):
            part = int.from_bytes(content[k : k + 8], "little")
            word += (part ^ (part >> 32)) * keys[1 + k // 8]
    return word & _MASK
