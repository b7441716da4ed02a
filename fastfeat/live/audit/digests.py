"""Keyed digests of tables: of values, however they are chunked, sliced or encoded.

A digest has an HMAC of all values, and short hashes of each row and each column, which locate a
difference. Each value gives a word, an unsigned integer of 64 bits, see `column_words`. The hash of
a row is the sum of its words, each multiplied by a secret key word of its column. The sums are
masked with a key stream that no other digest uses: without the key they look random. Null and NaN
count as the same missing value; -0.0 differs from 0.0.
"""

from __future__ import annotations

import hashlib
import hmac
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
from fastfeat_kernels.arrays import Uint64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, Buffer, DataType, Schema, Table, pa
from fastfeat.io.columns.bits import unpack
from fastfeat.live.audit.column_words import (
    MISSING,
    PLACE,
    bits_of,
    column_words,
    folded_words,
    is_word,
    plain,
    type_text,
    value_type,
    word_keys,
)
from fastfeat.live.audit.row_digest import digest_of_row
from fastfeat.live.state.changes import StoredRow

N_BYTES = 32
COLUMN_BYTES = 8
_HIGH = np.s_[1::2] if sys.byteorder == "little" else np.s_[::2]
"""Slice that takes the high halves of 64-bit words; in sums of products they depend on all bits."""
_NAN = {2: 0x7E00, 4: 0x7FC00000, 8: 0x7FF8000000000000}


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of one or more tables under a key.

    Args:
        whole: HMAC of names, types and values, 32 bytes.
        columns: Masked hashes of the columns, 8 bytes each, ordered by table and name.
        rows: Masked hashes of the rows, 4 bytes each. Like the hashes of columns, they locate a
            difference.
    """

    whole: bytes
    columns: bytes
    rows: bytes


def digest_of(
    tables: Mapping[str, Table | StoredRow], n_rows: int, secret: bytes, once: bytes
) -> Digest:
    """Return one digest of several tables, whose rows belong together.

    Args:
        tables: Label to table; the order of columns does not matter. A stored row has the digest of
            the table that it would be; either all are stored rows, or none.
        n_rows: Number of rows of each table.
        secret: Key from which key words are drawn; the same for all digests of a state.
        once: Key of the HMAC and the mask; no other digest uses it.
    """
    of_row = {name: one for name, one in tables.items() if isinstance(one, StoredRow)}
    if of_row:
        assert len(of_row) == len(tables), "stored rows and tables are mixed"
        assert n_rows == 1, "a stored row is one row"
        return Digest(*digest_of_row(of_row, secret, once))
    made = hmac.new(once, n_rows.to_bytes(8, "little"), "sha256")
    rows, columns = np.zeros(n_rows, np.uint64), [np.empty(0, np.uint64)]
    for label in sorted(tables):
        columns.append(_feed_table(made, label, cast("Table", tables[label]), secret, rows))
    whole, of_columns = made.digest(), np.concatenate(columns)
    halves = rows.view(np.uint32)[_HIGH]
    cover = _cover(once, whole, of_columns.nbytes + halves.nbytes)
    of_columns ^= cover[: of_columns.nbytes].view(np.uint64)
    covered = halves ^ cover[of_columns.nbytes :].view(np.uint32)
    return Digest(whole, of_columns.tobytes(), covered.tobytes())


def what_differs(stored: Digest, found: Digest, once: bytes) -> tuple[int | None, int | None]:
    """Return the first row and the first column in which two digests differ.

    Either is None if there is no such row or column. The digests have equal numbers of rows and
    columns, and the same key `once`.
    """
    one, other = (_uncovered(digest, once) for digest in (stored, found))
    columns, rows = (np.flatnonzero(left != right) for left, right in zip(one, other, strict=True))
    return (int(rows[0]) if len(rows) else None, int(columns[0]) if len(columns) else None)


def _uncovered(digest: Digest, once: bytes) -> tuple[Uint64Array, NDArray[np.uint32]]:
    """Return the hashes of the columns and of the rows of a digest without their mask."""
    n_bytes = len(digest.columns)
    cover = _cover(once, digest.whole, n_bytes + len(digest.rows))
    columns = np.frombuffer(digest.columns, np.uint64) ^ cover[:n_bytes].view(np.uint64)
    return columns, np.frombuffer(digest.rows, np.uint32) ^ cover[n_bytes:].view(np.uint32)


def names_of(tables: Mapping[str, Table]) -> list[tuple[str, str]]:
    """Return label and column name of each column, in the order of `Digest.columns`."""
    return [
        (label, name) for label in sorted(tables) for name in sorted(tables[label].column_names)
    ]


def _cover(once: bytes, whole: bytes, n_bytes: int) -> NDArray[np.uint8]:
    """Return `n_bytes` pseudorandom bytes that mask hashes.

    They depend on the key and on the content, so each content has its own mask.
    """
    return np.frombuffer(hashlib.shake_128(once + whole).digest(n_bytes), np.uint8)


@lru_cache(maxsize=8)
def _places(n_rows: int) -> Uint64Array:
    """Return one odd factor per row, which makes the order of rows count in a column's hash."""
    return np.arange(n_rows, dtype=np.uint64) * PLACE * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of a schema, in the order in which their values are hashed.

    A column is called narrow if its values have at most 64 bits.

    Args:
        schema: Schema of the table.
        head: Label, names and types as bytes, ordered by name.
        plain: Indices of the columns that must be converted with `plain` first.
        chosen: Indices of the narrow columns, float64 first.
        n_floats: Number of float64 columns.
        bits: Number of bits per value of each narrow column.
        narrow: Positions in `chosen` of floats with less than 64 bits.
        others: Index of each other column, and the name that selects its key words.
        keys: One key word per narrow column.
        order: For each column by name, its position among the narrow and then the other columns.
    """

    schema: Schema
    head: bytes
    plain: Sequence[int]
    chosen: Sequence[int]
    n_floats: int
    bits: Sequence[int]
    narrow: Sequence[int]
    others: Sequence[tuple[int, str]]
    keys: Uint64Array
    order: NDArray[np.intp]


_LAYOUTS: dict[tuple[bytes, str, tuple[str, ...]], _Layout] = {}
_MOST_LAYOUTS = 64


def _layout(schema: Schema, label: str, secret: bytes) -> _Layout:
    """Return the hashing order of a schema's columns; recent results are cached."""
    known = _LAYOUTS.get(key := (secret, label, tuple(schema.names)))
    if known is not None and known.schema.equals(schema):
        return known
    if len(_LAYOUTS) >= _MOST_LAYOUTS:
        _LAYOUTS.clear()
    _LAYOUTS[key] = made = _made_layout(schema, label, secret)
    return made


def _made_layout(schema: Schema, label: str, secret: bytes) -> _Layout:
    names: list[str] = schema.names
    kinds = [value_type(kind) for kind in schema.types]
    sorted_names = sorted(range(len(names)), key=names.__getitem__)
    floats = [k for k in sorted_names if pa.types.is_float64(kinds[k])]
    words = [k for k in sorted_names if is_word(kinds[k]) and k not in floats]
    others = [k for k in sorted_names if k not in floats and k not in words]
    chosen = [*floats, *words]
    beside = [*chosen, *others]
    told = [t.encode() for k in sorted_names for t in (names[k], type_text(kinds[k]))]
    return _Layout(
        schema,
        b"".join(piece for t in (label.encode(), *told) for piece in (len(t).to_bytes(8), t)),
        [k for k, kind in enumerate(schema.types) if kind != kinds[k]],
        chosen,
        len(floats),
        [kinds[k].bit_width for k in chosen],
        [at for at, k in enumerate(chosen) if _is_narrow(kinds[k])],
        [(k, f"{label} {names[k]}") for k in others],
        word_keys(secret, tuple(f"{label} {names[k]}" for k in chosen))[:, 0].copy(),
        np.array([beside.index(k) for k in sorted_names], np.intp),
    )


def _feed_table(
    made: Any, label: str, table: Table, secret: bytes, rows: Uint64Array
) -> Uint64Array:
    """Feed the values of a table to the HMAC `made`, and add the words of each row to `rows`.

    Returns:
        One hash per column, ordered by name.
    """
    layout = _layout(table.schema, label, secret)
    arrays = _arrays_of(table)
    for k in layout.plain:
        arrays[k] = plain(arrays[k])
    block, flags = _block(arrays, layout, table.num_rows)
    made.update(layout.head)
    made.update(block)
    folded = folded_words(block)
    if flags is not None:
        made.update(np.packbits(flags))
        folded[layout.n_floats :][flags] = MISSING
    made.update(b"nothing" if flags is None else b"missing")
    rows += layout.keys @ folded
    columns = [folded @ _places(len(rows))]
    for k, name in layout.others:
        content, words = column_words(arrays[k], secret, name)
        for part in content:
            made.update(part)
        rows += words
        columns.append((words * _places(len(rows))).sum(keepdims=True))
    return np.concatenate(columns)[layout.order]


def _arrays_of(table: Table) -> list[Array]:
    """Return the columns of a table, each in one chunk."""
    pieces = table.to_batches()
    if len(pieces) == 1:
        return pieces[0].columns
    return [plain(column) for column in table.columns]


def _block(
    arrays: Sequence[Array], layout: _Layout, n_rows: int
) -> tuple[Uint64Array, NDArray[np.bool_] | None]:
    """Return the values of all narrow columns as words, and flags of missing values.

    Returns:
        The words, shape (n_chosen, n_rows), with one fixed NaN for missing floats, and 0 for other
        missing values; and flags of missing values for the columns after float64, or None if
        nothing is missing there.
    """
    n_floats, chosen = layout.n_floats, layout.chosen
    block = np.empty((len(chosen), n_rows), np.uint64)
    nulls: dict[int, tuple[Buffer, int]] = {}
    for row, (k, n_bits) in enumerate(zip(chosen, layout.bits, strict=True)):
        array = arrays[k]
        validity, values = array.buffers()
        offset = array.offset
        block[row] = (
            np.frombuffer(values, np.uint64, n_rows, offset * 8)
            if n_bits == 64 and values is not None
            else bits_of(values, n_bits, offset, n_rows)
        )
        if array.null_count:
            nulls[row] = (validity, offset)
    flags = _flags_of(nulls, len(chosen), n_rows)
    if n_floats:
        floats = block[:n_floats].view(np.float64)
        is_missing = floats != floats
        if flags is not None:
            is_missing |= flags[:n_floats]
        np.putmask(block[:n_floats], is_missing, np.uint64(_NAN[8]))
    for row in layout.narrow:
        _one_nan(block[row], layout.bits[row] // 8, None if flags is None else flags[row])
    if flags is None or not flags[n_floats:].any():
        return block, None
    np.putmask(block[n_floats:], flags[n_floats:], np.uint64(0))
    return block, flags[n_floats:]


def _one_nan(words: Uint64Array, n_bytes: int, missing: NDArray[np.bool_] | None) -> None:
    """Write one fixed NaN over the missing values of a float column, and clear its missing flags.

    The column has floats of 16 or 32 bits, of `n_bytes` bytes each.
    """
    floats = words.astype(f"u{n_bytes}").view(f"f{n_bytes}")
    is_missing = floats != floats
    if missing is not None:
        is_missing |= missing
        missing[:] = False
    words[is_missing] = _NAN[n_bytes]


def _flags_of(
    nulls: Mapping[int, tuple[Buffer, int]], n_columns: int, n_rows: int
) -> NDArray[np.bool_] | None:
    """Return flags of null values, shape (n_columns, n_rows); None if `nulls` is empty.

    `nulls` has the validity bitmap and the offset of each column with nulls, by position.
    """
    if not nulls:
        return None
    flags = np.zeros((n_columns, n_rows), np.bool_)
    aligned = [k for k, (_, offset) in nulls.items() if offset % 8 == 0]
    if aligned:
        n_bytes = (n_rows + 7) // 8
        packed = np.empty((len(aligned), n_bytes), np.uint8)
        for row, k in zip(packed, aligned, strict=True):
            validity, offset = nulls[k]
            row[:] = np.frombuffer(validity, np.uint8, n_bytes, offset // 8)
        present = np.unpackbits(packed, 1, n_rows, "little")
        flags[aligned] = present == 0
    for k in nulls.keys() - set(aligned):
        flags[k] = ~unpack(*nulls[k], n_rows)
    return flags


def _is_narrow(kind: DataType) -> bool:
    return bool(pa.types.is_floating(kind)) and kind.bit_width < 64
