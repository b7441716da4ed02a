"""Keyed digests of tables: of values, however they are chunked, sliced or encoded, for `audit`.

A column gives its canonical bytes (missing is one thing, whether null or NaN; -0.0 stays) and a
word of 64 bits a row. The words of a row, each times a word of the key, are summed and covered by a
stream of the key that no other digest has: without the key they are random numbers.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, Buffer, ChunkedArray, DataType, Schema, Table, call, pa
from fastfeat.io.bits import present_rows, unpack

Words = NDArray[np.uint64]

N_BYTES = 32
COLUMN_BYTES = 8
ROW_BYTES = 4
_MISSING = np.uint64(0x9E3779B97F4A7C15)
_HIGH = np.s_[1::2] if sys.byteorder == "little" else np.s_[::2]
"""The high halves of words: those of sums of products depend on all bits."""
_PLACE = np.uint64(0xD1342543DE82EF95)
"""Odd; what the place in a list is multiplied by."""
_NAN = {2: 0x7E00, 4: 0x7FC00000, 8: 0x7FF8000000000000}
_LONGEST_IN_WORDS = 256
"""Text and bytes longer than this are hashed one by one: of shorter ones, words of all at once."""
_UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of tables under a key.

    Args:
        whole: of names, types and values, 32 bytes.
        columns: of each column, in the order of the tables and of their names, 8 bytes each.
        rows: of each row, 4 bytes each; these and those of columns locate what `whole` finds.
    """

    whole: bytes
    columns: bytes
    rows: bytes


def digest_of(tables: Mapping[str, Table], n_rows: int, secret: bytes, once: bytes) -> Digest:
    """Return the digest of tables whose rows stand beside each other.

    Args:
        tables: by what tells their columns apart; the order of columns does not matter.
        n_rows: of each.
        secret: what words of rows are mixed with; the same for all digests of a state.
        once: what everything else is keyed with; no other digest has it.
    """
    made = hmac.new(once, n_rows.to_bytes(8, "little"), "sha256")
    rows, columns = np.zeros(n_rows, np.uint64), [np.empty(0, np.uint64)]
    for label in sorted(tables):
        columns.append(_told_to(made, label, tables[label], secret, rows))
    whole, of_columns = made.digest(), np.concatenate(columns)
    halves = rows.view(np.uint32)[_HIGH]
    cover = _cover(once, whole, of_columns.nbytes + halves.nbytes)
    of_columns ^= cover[: of_columns.nbytes].view(np.uint64)
    covered = halves ^ cover[of_columns.nbytes :].view(np.uint32)
    return Digest(whole, of_columns.tobytes(), covered.tobytes())


def what_differs(stored: Digest, found: Digest, once: bytes) -> tuple[int | None, int | None]:
    """Return the first row and the first column that differ between two digests; None without.

    Args:
        stored: of as many rows and columns as the other one.
        found: the other one.
        once: of both.
    """
    one, other = (_uncovered(digest, once) for digest in (stored, found))
    columns, rows = (np.flatnonzero(left != right) for left, right in zip(one, other, strict=True))
    return (int(rows[0]) if len(rows) else None, int(columns[0]) if len(columns) else None)


def _uncovered(digest: Digest, once: bytes) -> tuple[Words, NDArray[np.uint32]]:
    """Return the words of columns and rows without what covers them."""
    n_bytes = len(digest.columns)
    cover = _cover(once, digest.whole, n_bytes + len(digest.rows))
    columns = np.frombuffer(digest.columns, np.uint64) ^ cover[:n_bytes].view(np.uint64)
    return columns, np.frombuffer(digest.rows, np.uint32) ^ cover[n_bytes:].view(np.uint32)


def keyed(key: bytes, parts: Sequence[bytes]) -> bytes:
    """Return the HMAC-SHA256 of parts, each with its length."""
    lengths = struct.pack(f"<{len(parts)}Q", *map(len, parts))
    return hmac.digest(key, b"".join([lengths, *parts]), "sha256")


def names_of(tables: Mapping[str, Table]) -> list[tuple[str, str]]:
    """Return the table and the name of each column, in the order of `Digest.columns`."""
    return [
        (label, name) for label in sorted(tables) for name in sorted(tables[label].column_names)
    ]


def _cover(once: bytes, whole: bytes, n_bytes: int) -> NDArray[np.uint8]:
    """Return what words are covered with: a stream that belongs to one content alone."""
    return np.frombuffer(hashlib.shake_128(once + whole).digest(n_bytes), np.uint8)


@lru_cache(maxsize=8)
def _places(n_rows: int) -> Words:
    """Return what tells the rows of a column apart, odd numbers."""
    return np.arange(n_rows, dtype=np.uint64) * _PLACE * np.uint64(2) + np.uint64(1)


# --- a table -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the columns of a schema are read.

    Args:
        schema: of the table.
        head: names and types, in the order of names.
        plain: the columns that are brought into another form first, by their number.
        chosen: the columns that have at most 64 bits a row, those of float64 first.
        n_floats: how many are of float64.
        bits: how many bits each of these has.
        narrow: which of these, by their place, are of shorter floats.
        others: the rest, and their names.
        keys: a word of the key for each of the chosen.
        order: where each column in the order of names stands among the chosen and the others.
    """

    schema: Schema
    head: bytes
    plain: Sequence[int]
    chosen: Sequence[int]
    n_floats: int
    bits: Sequence[int]
    narrow: Sequence[int]
    others: Sequence[tuple[int, str]]
    keys: Words
    order: NDArray[np.intp]


_LAYOUTS: dict[tuple[bytes, str, tuple[str, ...]], _Layout] = {}
_MOST_LAYOUTS = 64


def _layout(schema: Schema, label: str, secret: bytes) -> _Layout:
    """Return how the columns of a schema are read; that of the last schemas is kept."""
    known = _LAYOUTS.get(key := (secret, label, tuple(schema.names)))
    if known is not None and known.schema.equals(schema):
        return known
    if len(_LAYOUTS) >= _MOST_LAYOUTS:
        _LAYOUTS.clear()
    _LAYOUTS[key] = made = _made_layout(schema, label, secret)
    return made


def _made_layout(schema: Schema, label: str, secret: bytes) -> _Layout:
    names: list[str] = schema.names
    kinds = [_value_type(kind) for kind in schema.types]
    sorted_names = sorted(range(len(names)), key=names.__getitem__)
    floats = [k for k in sorted_names if pa.types.is_float64(kinds[k])]
    words = [k for k in sorted_names if _is_word(kinds[k]) and k not in floats]
    others = [k for k in sorted_names if k not in floats and k not in words]
    chosen = [*floats, *words]
    beside = [*chosen, *others]
    told = [t.encode() for k in sorted_names for t in (names[k], _told(kinds[k]))]
    return _Layout(
        schema,
        b"".join(piece for t in (label.encode(), *told) for piece in (len(t).to_bytes(8), t)),
        [k for k, kind in enumerate(schema.types) if kind != kinds[k]],
        chosen,
        len(floats),
        [kinds[k].bit_width for k in chosen],
        [at for at, k in enumerate(chosen) if _is_narrow(kinds[k])],
        [(k, f"{label} {names[k]}") for k in others],
        _keys_of(secret, tuple(f"{label} {names[k]}" for k in chosen))[:, 0].copy(),
        np.array([beside.index(k) for k in sorted_names], np.intp),
    )


def _told_to(made: Any, label: str, table: Table, secret: bytes, rows: Words) -> Words:
    """Tell the values of a table to an HMAC, add words to those of its rows; return its columns'.

    Returns:
        A word a column, in the order of names.
    """
    layout = _layout(table.schema, label, secret)
    arrays = _arrays_of(table)
    for k in layout.plain:
        arrays[k] = plain(arrays[k])
    block, flags = _block(arrays, layout, table.num_rows)
    made.update(layout.head)
    made.update(block)
    folded = _folded(block)
    if flags is not None:
        made.update(np.packbits(flags))
        folded[layout.n_floats :][flags] = _MISSING
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
    """Return the columns of a table, each in one piece."""
    pieces = table.to_batches()
    if len(pieces) == 1:
        return pieces[0].columns
    return [plain(column) for column in table.columns]


def _block(
    arrays: Sequence[Array], layout: _Layout, n_rows: int
) -> tuple[Words, NDArray[np.bool_] | None]:
    """Return the values of columns of at most 64 bits a row as words, and where they are missing.

    Returns:
        The words, shape (n_chosen, n_rows): where a value is missing, of a float those of one NaN,
        else 0; which values are missing that are no floats, None where none is.
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
            else _bits_of(values, n_bits, offset, n_rows)
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


def _one_nan(words: Words, n_bytes: int, missing: NDArray[np.bool_] | None) -> None:
    """Give all that is missing of narrow floats the bits of one NaN; it is not missing then."""
    floats = words.astype(f"u{n_bytes}").view(f"f{n_bytes}")
    is_missing = floats != floats
    if missing is not None:
        is_missing |= missing
        missing[:] = False
    words[is_missing] = _NAN[n_bytes]


def _flags_of(
    nulls: Mapping[int, tuple[Buffer, int]], n_columns: int, n_rows: int
) -> NDArray[np.bool_] | None:
    """Return where columns are null, shape (n_columns, n_rows); None where none is."""
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


def _bits_of(values: Buffer | None, n_bits: int, offset: int, n_rows: int) -> NDArray[Any]:
    """Return the bits of values of 1 to 64 bits, as unsigned integers."""
    if values is None:
        return np.zeros(n_rows, np.uint8)
    if n_bits == 1:
        return unpack(values, offset, n_rows)
    return np.frombuffer(values, _UNSIGNED[n_bits], n_rows, offset * n_bits // 8)


def _is_narrow(kind: DataType) -> bool:
    return bool(pa.types.is_floating(kind)) and kind.bit_width < 64


def _is_word(kind: DataType) -> bool:
    """Whether a type holds at most 64 bits a row, and no more than that."""
    return bool(pa.types.is_primitive(kind)) and kind.bit_width <= 64


def _folded(words: Words) -> Words:
    """Return words, each taken one-to-one to one whose low bits depend on the high ones."""
    folded = words >> np.uint64(32)
    folded ^= words
    return folded


@lru_cache(maxsize=64)
def _keys_of(secret: bytes, names: tuple[str, ...]) -> Words:
    """Return odd words of the key for each name: an even factor would lose bits."""
    n_words = 1 + _LONGEST_IN_WORDS // 8
    streams = [keyed(secret, [name.encode()]) for name in names]
    drawn = b"".join(hashlib.shake_128(stream).digest(8 * n_words) for stream in streams)
    return np.frombuffer(drawn, np.uint64).reshape(len(names), n_words) | np.uint64(1)


# --- a column that has no words of its own: text, bytes, lists, records -------------------------


def plain(column: Array | ChunkedArray) -> Array:
    """Return a column in one piece: without dictionary, text and lists in their one form."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([c.storage for c in _chunks(column)], kind.storage_type)
    elif pa.types.is_run_end_encoded(kind):
        column = call("run_end_decode", column)
    wanted = _value_type(column.type)
    if wanted != column.type:
        column = column.cast(wanted)
    chunks = _chunks(column)
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else _empty(wanted)


def _chunks(column: Array | ChunkedArray) -> list[Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def _empty(kind: DataType) -> Array:
    return pa.array([], kind)


def _value_type(kind: DataType) -> DataType:
    """Return the type that stands for all that hold the same values."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _value_type(kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _value_type(kind.value_type)
    if types.is_string(kind) or types.is_string_view(kind):
        return pa.large_string()
    if types.is_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        return pa.large_binary()
    if types.is_list(kind) or types.is_fixed_size_list(kind):
        return pa.large_list(kind.value_type)
    return kind


def _told(kind: DataType) -> str:
    """Return the name of a type, in which lists of equal values have one form."""
    if pa.types.is_large_list(kind):
        return f"list<{_told(_value_type(kind.value_type))}>"
    return str(kind)


def column_words(array: Array, secret: bytes, name: str) -> tuple[list[Any], Words]:
    """Return the canonical bytes of any column, and a word a row.

    Args:
        array: in the form of `plain`.
        secret: as of `digest_of`.
        name: what tells its words of the key from those of others.
    """
    keys = _keys_of(secret, (name,))[0]
    present = _present(array)
    valid = array if present is None else array.filter(pa.array(present))
    content, words = _valid_words(valid, secret, name, keys)
    flags = np.ones(len(array), np.bool_) if present is None else present
    sizes = len(array).to_bytes(8, "little") + np.packbits(flags).tobytes()
    if present is None:
        return [sizes, *content], words
    spread = np.full(len(array), _MISSING, np.uint64)
    spread[present] = words
    return [sizes, *content], spread


def _present(array: Array) -> NDArray[np.bool_] | None:
    """Return which rows hold a value; None where all do."""
    present = present_rows(array)
    if not pa.types.is_floating(array.type):
        return present
    is_nan = call("is_nan", array).fill_null(True).to_numpy(zero_copy_only=False)
    return ~is_nan if is_nan.any() else None


def _valid_words(valid: Array, secret: bytes, name: str, keys: Words) -> tuple[list[Any], Words]:
    """Return bytes and words of a column in which nothing is missing."""
    kind, types = valid.type, pa.types
    if types.is_null(kind):
        return [], np.empty(0, np.uint64)
    if _is_word(kind):
        bits = _bits_of(valid.buffers()[1], kind.bit_width, valid.offset, len(valid))
        bits = bits.astype(np.uint64)
        return [bits], _folded(bits) * keys[0]
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return _texts(valid, keys)
    if types.is_large_list(kind) or types.is_map(kind):
        return _lists(valid, secret, name, keys)
    if types.is_struct(kind):
        return _structs(valid, secret, name)
    # decimals, unions, and types that Arrow will have: as they print
    return _texts(pa.array([repr(value) for value in valid.to_pylist()], pa.large_string()), keys)


def _texts(valid: Array, keys: Words) -> tuple[list[Any], Words]:
    """Return bytes and words of a column of text or bytes in which nothing is missing."""
    offsets, content = _offsets(valid), valid.buffers()[2]
    first, n_bytes = int(offsets[0]), int(offsets[-1] - offsets[0])
    padded = np.zeros(n_bytes + 8, np.uint8)
    if n_bytes:
        padded[:n_bytes] = np.frombuffer(content, np.uint8, n_bytes, first)
    starts, lengths = offsets[:-1] - first, np.diff(offsets)
    words = lengths.astype(np.uint64) * keys[0]
    at_byte = np.ndarray((n_bytes + 1,), "<u8", padded.data, strides=(1,))
    long = lengths > _LONGEST_IN_WORDS
    most = int(np.where(long, 0, lengths).max(initial=0))
    for k in range(0, most, 8):
        rows = np.flatnonzero((lengths > k) & ~long)
        left = np.minimum(lengths[rows] - k, 8).astype(np.uint64)
        kept = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - np.uint64(8) * left)
        words[rows] += _folded(at_byte[starts[rows] + k] & kept) * keys[1 + k // 8]
    for row in np.flatnonzero(long).tolist():
        value = padded[starts[row] : starts[row] + lengths[row]]
        made = hashlib.blake2b(value.data, key=keys[:4].tobytes(), digest_size=8).digest()
        words[row : row + 1] += np.frombuffer(made, np.uint64)
    return [lengths, padded[:n_bytes]], words


def _lists(valid: Array, secret: bytes, name: str, keys: Words) -> tuple[list[Any], Words]:
    """Return bytes and words of a column of lists in which nothing is missing."""
    is_map = pa.types.is_map(valid.type)
    offsets = _offsets(valid, np.int32 if is_map else np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    read = _pairs(valid) if is_map else valid.values
    content, of_elements = column_words(plain(read.slice(first, last - first)), secret, f"{name}[]")
    lengths, starts = np.diff(offsets), offsets[:-1] - first
    places = (np.arange(last - first) - np.repeat(starts, lengths)).astype(np.uint64)
    mixed = _folded(of_elements + places * _PLACE) * keys[1]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    words = lengths.astype(np.uint64) * keys[0]
    words += sums[starts + lengths] - sums[starts]
    return [lengths, *content], words


def _pairs(maps: Array) -> Array:
    return pa.StructArray.from_arrays([maps.keys, maps.items], ["key", "value"])


def _offsets(array: Array, kind: Any = np.int64) -> NDArray[np.int64]:
    """Return where each value of text or a list begins, and the last ends, shape (n_rows + 1,)."""
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(len(array) + 1, np.int64)
    width = np.dtype(kind).itemsize
    found = np.frombuffer(buffer, kind, len(array) + 1, array.offset * width)
    return found.astype(np.int64)


def _structs(valid: Array, secret: bytes, name: str) -> tuple[list[Any], Words]:
    """Return bytes and words of a column of records in which nothing is missing."""
    parts = [
        column_words(plain(part), secret, f"{name}.{k}.{field.name}")
        for k, (field, part) in enumerate(zip(valid.type, valid.flatten(), strict=True))
    ]
    words = np.zeros(len(valid), np.uint64)
    for _, of_part in parts:
        words += of_part
    return [piece for content, _ in parts for piece in content], words
