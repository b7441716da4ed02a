"""Distinct keys of rows that are in memory at once: count them, and sort them.

A key with several parts is turned into one int64: each part's value gets a number, and the numbers
are the digits. "The order of codes" is the final order of a vocabulary: the most frequent key
first, equally frequent keys by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.column import TEXT, CallRunner
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import ordering, spans, tables
from fastfeat_kernels.vocabulary import state as vocabularies
from fastfeat_kernels.vocabulary.keys import Keys, TextKeys, number_keys, numbers_of
from numpy.typing import NDArray

from fastfeat.aggregates.keys import KeyCounts
from fastfeat.engine.cpu.kernels import n_parts, n_tables, runner
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Array, ChunkedArray, call, cast, pa
from fastfeat.io.columns import strings
from fastfeat.io.columns.bits import array_of_values, values_in
from fastfeat.io.columns.column import Chunk, physical_chunks
from fastfeat.io.columns.keys import first_keys, key_type
from fastfeat.ir.dtypes import INT64, DType

if TYPE_CHECKING:
    from fastfeat_kernels.vocabulary.state import DistinctKeys, OrderedKeys
    from fastfeat_kernels.vocabulary.tables import VocabularyTooLarge

_RUN = "vocabulary"
_FEW = 1 << 11
"""Up to this many rows, Arrow numbers the keys faster than a kernel call takes."""
_EXACT = (pa.int64(), pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
"""Types in which keys are equal only if their bytes are equal."""
WIDEST = 1 << 62


@dataclass(frozen=True, slots=True)
class KeysSpec:
    """Settings for counting the distinct keys of rows.

    Args:
        dtypes: Types of the parts of the key. `add` gets one column per part, named 0, 1, ..., in
            the form of `io.columns.keys`.
        missing: "key": one missing part makes the key missing. "value": missing is a value.
        max_memory: Limit of the bytes of the keys.
        at_once: Whether all rows are expected in one call, which then uses several threads.
        with_rows: Whether to keep the key number of each row, if all rows come in one call.
        in_order: Whether the keys must be in the order of codes, if all rows come in one call.
    """

    dtypes: tuple[DType, ...]
    missing: str
    max_memory: int
    at_once: bool = False
    with_rows: bool = False
    in_order: bool = True

    @property
    def is_column(self) -> bool:
        """Whether a key is a value of one column."""
        return len(self.dtypes) == 1 and self.missing == "key"


class CountedKeys(NamedTuple):
    """The distinct keys of some rows, in arbitrary order.

    Args:
        found: The keys; for keys of several parts, the int64 that stands for each. Keys with count
            0 occur in no row.
        parts_of: Returns, for keys from `found`, one Arrow array per part.
        of_rows: Spreads values from keys to rows: `(one value per key, value for rows without a
            key) -> one value per row`. None if not requested.
    """

    found: DistinctKeys
    parts_of: Callable[[Keys], tuple[Array, ...]]
    of_rows: Callable[[Int32Array, int], Int32Array] | None

    @property
    def n_bytes(self) -> int:
        """Bytes of the keys, the counts and the rows' key numbers, without the input columns."""
        keys, rows = self.found.keys, self.found.rows
        text = keys.data.nbytes + keys.offsets.nbytes if isinstance(keys, TextKeys) else keys.nbytes
        ids = rows.ids.nbytes if isinstance(rows, vocabularies.RowIds) else 0
        return text + self.found.counts.nbytes + ids


def distinct_key_counts(
    columns: Sequence[ChunkedArray],
    dtypes: Sequence[DType],
    missing: str,
    max_memory: int,
    *,
    with_rows: bool,
    in_order: bool = True,
    are_all: bool = True,
) -> CountedKeys:
    """Return the distinct keys of some rows with their counts; see `KeysTask` for the arguments.

    `are_all` says that no other rows follow; the work then runs on several threads. Raises
    InvalidData if the keys exceed `max_memory`.
    """
    try:
        if len(columns) > 1 or missing != "key":
            return _count_rows(columns, dtypes, missing, max_memory, with_rows, in_order)
        if pa.types.is_dictionary(columns[0].type):
            return _count_entries(columns[0], dtypes[0], max_memory)
        return _count(columns[0], dtypes[0], max_memory, with_rows, are_all)
    except tables.VocabularyTooLarge as error:
        raise vocabulary_error(error, max_memory) from None


def as_counted_keys(keys: Array, dtype: DType, counts: Int64Array, n_missing: int) -> CountedKeys:
    """Return distinct values of one column, with counts known already, as `CountedKeys`."""
    found = vocabularies.DistinctKeys(
        element_of(dtype), keys_of(keys, dtype), counts, n_missing, None
    )
    return CountedKeys(found, partial(_one_part, dtype), None)


def key_counts(of: CountedKeys) -> KeyCounts:
    """Return the keys that occur in rows, with their counts, in the order of codes."""
    in_order = in_final_order(of.found)
    n_keys = len(in_order.counts)
    n_used = int(np.count_nonzero(in_order.counts))  # unused keys are the last
    parts = tuple(first_keys(part, n_used) for part in of.parts_of(in_order.keys))

    def of_rows(numbers: Int32Array, none: int) -> Int32Array:
        assert of.of_rows is not None
        unused = np.full(n_keys - n_used, none, np.int32)
        by_place = np.concatenate([numbers, unused]) if len(unused) else numbers
        return of.of_rows(by_place[in_order.places], none)

    given = None if of.of_rows is None else of_rows
    return KeyCounts(parts, in_order.counts[:n_used], of.found.n_missing, given)


def key_counts_in_no_order(
    of: CountedKeys, dtypes: Sequence[DType], missing: str, max_memory: int
) -> KeyCounts:
    """Return keys with their counts in the order found, and a function that sorts them by code.

    If some keys occur in no row, the result is already in the order of codes.
    """
    counts = of.found.counts
    if not counts.all():
        return key_counts(of)
    parts = of.parts_of(of.found.keys)
    order = partial(in_order, parts, dtypes, counts, missing, max_memory)
    return KeyCounts(parts, counts, of.found.n_missing, of.of_rows, order)


def _count(
    column: ChunkedArray, dtype: DType, max_memory: int, with_rows: bool, are_all: bool = True
) -> CountedKeys:
    n_rows = len(column) if are_all else 0
    chunks = chunks_of(column, dtype)
    found = learn_column(element_of(dtype), chunks, n_rows, max_memory, with_rows)
    of_rows = partial(_values_of_rows, found) if with_rows else None
    return CountedKeys(found, partial(_one_part, dtype), of_rows)


def _one_part(dtype: DType, keys: Keys) -> tuple[Array, ...]:
    return (array_of(keys, dtype),)


def _values_of_rows(found: DistinctKeys, values: Int32Array, missing: int) -> Int32Array:
    return vocabularies.row_values(found, values, runner(_RUN), missing=missing)


def _count_entries(column: ChunkedArray, dtype: DType, max_memory: int) -> CountedKeys:
    """Return the distinct values of a dictionary column; it looks at entries, not at each row."""
    counts = [uses_of(chunk) for chunk in column.chunks]
    entries = pa.chunked_array([c.dictionary for c in column.chunks], column.type.value_type)
    uses = np.concatenate(counts or [np.zeros(0, np.int64)])
    found = learn_column(TEXT, chunks_of(entries, dtype), len(entries), max_memory, with_rows=True)
    # the key of each entry: several entries may be equal, some are missing or unused
    n_keys = len(found.counts)
    keys = vocabularies.row_values(
        found, np.arange(n_keys, dtype=np.int32), runner(_RUN), missing=n_keys
    )
    totals = np.zeros(n_keys + 1, np.int64)
    np.add.at(totals, keys, uses)

    def of_rows(values: Int32Array, missing: int) -> Int32Array:
        of_entries = np.append(values, np.int32(missing))[keys]
        starts = np.cumsum([0, *(len(chunk.dictionary) for chunk in column.chunks)])
        pieces = [
            of_codes(chunk, of_entries[a:b], missing)
            for chunk, a, b in zip(column.chunks, starts[:-1], starts[1:], strict=True)
        ]
        return np.concatenate(pieces) if len(pieces) != 1 else pieces[0]

    n_missing = len(column) - int(totals[:n_keys].sum())
    used = replace(found, counts=totals[:n_keys], n_missing=n_missing, rows=None)
    return CountedKeys(used, partial(_one_part, dtype), of_rows)


def _count_rows(
    columns: Sequence[ChunkedArray],
    dtypes: Sequence[DType],
    missing: str,
    max_memory: int,
    with_rows: bool,
    in_order: bool,
) -> CountedKeys:
    """Return the distinct keys of several parts, each key as one int64 (see `combined_of`)."""
    ranks = [
        ranks_of(column, dtype, max_memory, in_order=in_order)
        for column, dtype in zip(columns, dtypes, strict=True)
    ]
    combined, sizes = combined_of([r.rows for r in ranks], [len(r.values) for r in ranks])
    present = None
    if missing == "key":
        present = np.logical_and.reduce([r.rows != 0 for r in ranks])
    chunk = pa.chunked_array([array_of_values(combined, present, pa.int64())])
    found = learn_column("int64", physical_chunks(chunk), len(chunk), max_memory, with_rows)

    def parts_of(keys: Keys) -> tuple[Array, ...]:
        assert not isinstance(keys, TextKeys)
        digits = digits_of(keys, sizes)
        return tuple(take_values(r.values, digit) for r, digit in zip(ranks, digits, strict=True))

    of_rows = partial(_values_of_rows, found) if with_rows else None
    return CountedKeys(found, parts_of, of_rows)


def vocabulary_error(error: VocabularyTooLarge, max_memory: int) -> InvalidData:
    return InvalidData(
        f"{error.n_keys:,} distinct keys take {error.needed_bytes:,} bytes, but "
        f"max_memory={max_memory:,}. Raise max_memory, or reduce the number of distinct keys"
    )


def check_room(values: Array, dtype: DType, max_memory: int) -> None:
    """Raise InvalidData if distinct values take more than `max_memory` bytes.

    `values` are stored as keys are, none missing.
    """
    keys = keys_of(values, dtype)
    n_bytes = len(keys.data) if isinstance(keys, TextKeys) else 0
    try:
        tables.check_keys(tables.kind_of(element_of(dtype)), len(keys), n_bytes, max_memory)
    except tables.VocabularyTooLarge as error:
        raise vocabulary_error(error, max_memory) from None


def in_order(
    parts: Sequence[Array],
    dtypes: Sequence[DType],
    counts: NDArray[np.int64],
    missing: str,
    max_memory: int,
) -> NDArray[np.int64]:
    """Return the positions of distinct keys, sorted into the order of codes, shape (n_keys,).

    `parts` has an Arrow array per part, `counts` the number of rows per key; `missing` is described
    in `KeysTask`. Raises InvalidData if the keys exceed `max_memory`.
    """
    try:
        if len(parts) == 1 and missing == "key":
            keys = keys_of(parts[0], dtypes[0])
            n_bytes = len(keys.data) if isinstance(keys, TextKeys) else 0
            element = element_of(dtypes[0])
            tables.check_keys(tables.kind_of(element), len(counts), n_bytes, max_memory)
            return ordering.final_order(keys, counts, *_how(len(counts))).ids.astype(np.int64)
        ranks = [
            ranks_of(pa.chunked_array([part]), dtype, max_memory)
            for part, dtype in zip(parts, dtypes, strict=True)
        ]
        combined, _ = combined_of([r.rows for r in ranks], [len(r.values) for r in ranks])
        tables.check_keys(tables.kind_of("int64"), len(counts), 0, max_memory)
        return ordering.final_order(combined, counts, *_how(len(counts))).ids.astype(np.int64)
    except tables.VocabularyTooLarge as error:
        raise vocabulary_error(error, max_memory) from None


def learn_column(
    element: str, chunks: Sequence[Any], n_rows: int, max_memory: int, with_rows: bool = False
) -> DistinctKeys:
    run, parts = runner(_RUN), n_tables(n_rows)
    return vocabularies.learn(
        element, chunks, run, parts, limit_bytes=max_memory, with_rows=with_rows
    )


def in_final_order(found: DistinctKeys) -> OrderedKeys:
    return vocabularies.ordered(found, *_how(len(found.counts)))


def _how(n_rows: int) -> tuple[CallRunner, int]:
    """Return the function that runs kernel calls, and the number of ranges to split rows into."""
    return runner(_RUN), n_parts(n_rows)


def uses_of(chunk: Array) -> NDArray[np.int64]:
    """Return how many rows refer to each entry of a dictionary array, shape (n_entries,)."""
    element, codes = codes_of(chunk)
    parts = n_parts(len(chunk))
    return spans.counts_of(element, codes, len(chunk.dictionary), runner(_RUN), parts)


def codes_of(chunk: Array) -> tuple[str, list[Chunk]]:
    """Return the integer type of a dictionary array's codes, and the codes as kernels read them."""
    indices = chunk.indices
    return str(indices.type), physical_chunks(pa.chunked_array([indices]))


def of_codes(chunk: Array, numbers: Int32Array, missing: int) -> Int32Array:
    """Return one number per row of a dictionary array, looked up in `numbers`, one per entry."""
    element, codes = codes_of(chunk)
    parts = n_parts(len(chunk))
    return spans.numbers_of_codes(element, codes, numbers, runner(_RUN), parts, missing=missing)


def number_rows_by_key(
    columns: Sequence[ChunkedArray], dtypes: Sequence[DType]
) -> tuple[Int32Array, int]:
    """Return the number of each row's key, -1 if a part is missing, and the count of distinct keys.

    Keys are numbered in arbitrary order, so that no sort is needed.
    """
    parts = [_numbered(*part) for part in zip(columns, dtypes, strict=True)]
    if len(parts) == 1:
        return parts[0]
    combined, _ = combined_of([rows + np.int32(1) for rows, _ in parts], [n for _, n in parts])
    present = np.logical_and.reduce([rows >= 0 for rows, _ in parts])
    return _numbered(pa.chunked_array([array_of_values(combined, present, pa.int64())]), INT64)


def _numbered(column: ChunkedArray, dtype: DType) -> tuple[Int32Array, int]:
    if len(column) <= _FEW and column.num_chunks == 1 and column.type in _EXACT:
        few = column.chunk(0)
        if not few.null_count:
            codes = call("dictionary_encode", few)
            return codes_as_array(codes), len(codes.dictionary)
    if not pa.types.is_dictionary(column.type):
        found = learn_column(element_of(dtype), chunks_of(column, dtype), len(column), WIDEST, True)
        return _numbers(found), len(found.counts)
    entries = pa.chunked_array([c.dictionary for c in column.chunks], column.type.value_type)
    found = learn_column(TEXT, chunks_of(entries, dtype), len(entries), WIDEST, True)
    of_entries = _numbers(found)
    starts = np.cumsum([0, *(len(chunk.dictionary) for chunk in column.chunks)])
    pieces = [
        of_codes(chunk, of_entries[a:b], -1)
        for chunk, a, b in zip(column.chunks, starts[:-1], starts[1:], strict=True)
    ]
    return np.concatenate([np.zeros(0, np.int32), *pieces]), len(found.counts)


def codes_as_array(column: Array) -> Int32Array:
    """Return the codes of a dictionary array, which are int32 and never missing, without a copy."""
    codes = column.indices
    return np.frombuffer(codes.buffers()[1], np.int32, len(codes), codes.offset * 4)


def _numbers(found: DistinctKeys) -> Int32Array:
    numbers = np.arange(len(found.counts), dtype=np.int32)
    return vocabularies.row_values(found, numbers, runner(_RUN), missing=-1)


class Ranks(NamedTuple):
    """The distinct values of one part of a key, and which of them each row has.

    Args:
        values: Each value once, as an Arrow array.
        rows: For each row, 1 + the position of its value in `values`; 0 if missing.
    """

    values: Array
    rows: Int32Array


def ranks_of(
    column: ChunkedArray, dtype: DType, max_memory: int, *, in_order: bool = True
) -> Ranks:
    """Return the distinct values of a column, and for each row the position of its value.

    Dictionary entries that no row uses are left out. Values are sorted if `in_order`, or if the
    column is a dictionary. Raises InvalidData if the values exceed `max_memory`.
    """
    if pa.types.is_dictionary(column.type):
        of = _count_entries(column, dtype, WIDEST)
    else:
        of = _count(column, dtype, max_memory, with_rows=True)
    assert of.of_rows is not None
    if not in_order and not pa.types.is_dictionary(column.type):
        places = np.arange(1, 1 + len(of.found.counts), dtype=np.int32)
        return Ranks(array_of(of.found.keys, dtype), of.of_rows(places, 0))
    is_used = (of.found.counts > 0).astype(np.int64)
    by_value = in_final_order(replace(of.found, counts=is_used))
    values = first_keys(array_of(by_value.keys, dtype), int(is_used.sum()))
    if pa.types.is_dictionary(column.type):
        check_room(values, dtype, max_memory)
    return Ranks(values, of.of_rows(by_value.places + np.int32(1), 0))


def combined_of(
    rows: Sequence[Int32Array], n_values: Sequence[int]
) -> tuple[NDArray[np.int64], list[int]]:
    """Return one int64 per row that stands for its key, and the base of each digit.

    `rows` has, for each part, the value number of each row (0 is missing), and `n_values` the
    number of values. The value numbers are the digits, so the results sort like the tuples of them.
    """
    sizes = [n + 1 for n in n_values]
    combined = np.zeros(len(rows[0]), np.int64)
    width = 1
    for part, size in zip(rows, sizes, strict=True):
        width *= size
        if width > WIDEST:
            raise InvalidData(
                f"a key of {len(rows)} parts with {' x '.join(f'{n:,}' for n in n_values)} values "
                "has more combinations than 64 bits can number. Cross fewer parts"
            )
        combined *= size
        combined += part
    return combined, sizes


def digits_of(combined: NDArray[np.int64], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return, for each part, the value numbers from which `combined_of` made its int64s."""
    digits: list[NDArray[np.int64]] = []
    for size in reversed(sizes):
        combined, digit = np.divmod(combined, size)
        digits.append(digit)
    return digits[::-1]


def take_values(values: Array, digits: NDArray[np.int64]) -> Array:
    """Return the value at each position in `digits`, counted from 1; 0 gives null."""
    places = array_of_values(np.maximum(digits - 1, 0), digits != 0, pa.int64())
    return call("array_take", values, places)


def element_of(dtype: DType) -> str:
    """Return the name by which kernels know the storage type of keys of type `dtype`."""
    if dtype.holds_bytes:
        return TEXT
    return {"double": "float64"}.get(str(key_type(dtype)), str(key_type(dtype)))


def chunks_of(column: ChunkedArray, dtype: DType) -> list[Any]:
    """Return the chunks of a column of keys as kernels read them, without a copy if possible."""
    if not dtype.holds_bytes:
        return list(physical_chunks(column))
    if pa.types.is_dictionary(column.type):
        wanted = key_type(dtype)
        pieces = [call("array_take", cast(c.dictionary, wanted), c.indices) for c in column.chunks]
        column = pa.chunked_array(pieces, wanted)
    return list(strings.text_chunks(column))


def array_of(keys: Keys, dtype: DType) -> Array:
    """Return keys in the kernels' form as an Arrow array."""
    if isinstance(keys, TextKeys):
        buffers = [None, pa.py_buffer(keys.offsets), pa.py_buffer(keys.data)]
        return pa.Array.from_buffers(key_type(dtype), len(keys), buffers)
    element = element_of(dtype)
    return array_of_values(np.ascontiguousarray(numbers_of(element, keys)), None, key_type(dtype))


def keys_of(array: Array, dtype: DType) -> Keys:
    """Return an Arrow array of distinct keys in the form that kernels take."""
    if not dtype.holds_bytes:
        return number_keys(element_of(dtype), values_in(array))
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return TextKeys(ends - ends[0], content[int(ends[0]) : int(ends[-1])])
