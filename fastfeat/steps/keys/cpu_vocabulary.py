"""Look up keys in vocabularies on the CPU: the codes of rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int32Array
from fastfeat_kernels.column import ELEMENTS, TEXT
from fastfeat_kernels.vocabulary import layout
from fastfeat_kernels.vocabulary.keys import TextKeys, text_keys
from fastfeat_kernels.vocabulary.state import (
    Index,
    are_numbers,
    index_of,
    lookup,
    lookup_words,
)
from fastfeat_kernels.vocabulary.tables import bytes_of_slots, kind_of

from fastfeat.aggregates.keys import CODES_OF_ROWS, Vocabulary
from fastfeat.engine.cpu.kernels import n_parts, runner, written_kernel
from fastfeat.engine.cpu.step_calls import (
    NOWHERE,
    KernelCall,
    KernelColumn,
    MemoryRequest,
    StepCalls,
    form_of,
    scratch_of,
)
from fastfeat.engine.storage import storage
from fastfeat.io.arrow import Array, ChunkedArray, DataType, call, pa
from fastfeat.io.budget import has_room, is_bounded
from fastfeat.io.columns import conform, strings
from fastfeat.io.columns.bits import array_of_values, unpack, validity_of, values_in
from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.columns.types import is_read_unconverted
from fastfeat.ir.dtypes import UTF8, DType
from fastfeat.steps.entries import without_dictionary
from fastfeat.steps.keys import cpu_compact_index, cpu_hashing
from fastfeat.steps.keys.cpu_counting import (
    WIDEST,
    chunks_of,
    combined_of,
    element_of,
    keys_of,
    of_codes,
    ranks_of,
)

if TYPE_CHECKING:
    from fastfeat.steps.keys.cpu_compact_index import CompactIndex

_RUN = "vocabulary"
_COMPACT = "compact index"


class VocabularyIndexes(NamedTuple):
    """Hash indices of a vocabulary of several parts.

    Args:
        parts: One index per part, which numbers the part's values from 1.
        sizes: Number of values of each part, plus 1.
        keys: Index of the keys, each as one int64 made of the value numbers of its parts.
    """

    parts: tuple[Index, ...]
    sizes: tuple[int, ...]
    keys: Index


def encode(
    vocabulary: Vocabulary,
    columns: Sequence[ChunkedArray],
    dtypes: Sequence[DType],
    missing: str,
    n_unseen: int,
) -> Array:
    """Return the code of each row's key in a vocabulary, int32; see `steps.keys.rows`."""
    run, first = runner(_RUN), 1 + n_unseen
    if len(columns) == 1 and missing == "key":
        known = _codes_as_in_fit(vocabulary, columns[0], dtypes[0], n_unseen)
        if known is not None:
            return array_of_values(known, None, pa.int32())
        index = _compact(vocabulary, dtypes, is_cross=False) or _cached(
            vocabulary, "index", lambda: _index(vocabulary.parts[0], dtypes[0])
        )
        found = _looked_up(index, columns[0], dtypes[0], n_unseen)
        return array_of_values(found, None, pa.int32())
    compact = _compact(vocabulary, dtypes, is_cross=True)
    if compact is not None:
        columns = list(map(without_dictionary, columns))
        found = cpu_compact_index.find_positions(compact, columns, start=first, none=1, missing=0)
        if missing == "key":
            for column in columns:
                found[~values_in(validity_of(column))] = 0
        _spread_unseen(found, columns, dtypes, n_unseen, is_cross=True)
        return array_of_values(found, None, pa.int32())
    known = _cached(vocabulary, "lookup", lambda: _lookup(vocabulary, dtypes))
    rows = [
        lookup(
            index, chunks_of(column, dtype), run, n_parts(len(column)),
            start=1, none=-1, missing=0,
        )
        for index, column, dtype in zip(known.parts, columns, dtypes, strict=True)
    ]  # fmt: skip
    combined = np.zeros(len(rows[0]), np.int64)
    for part, size in zip(rows, known.sizes, strict=True):
        combined = combined * size + part
    combined[np.logical_or.reduce([part < 0 for part in rows])] = -1  # -1 matches no key
    column = pa.chunked_array([array_of_values(combined, None, pa.int64())])
    parts = n_parts(len(combined))
    found = lookup(known.keys, physical_chunks(column), run, parts, start=first, none=1, missing=0)
    if missing == "key":
        found[np.logical_or.reduce([part == 0 for part in rows])] = 0
    _spread_unseen(found, columns, dtypes, n_unseen, is_cross=True)
    return array_of_values(found, None, pa.int32())


def _compact(
    vocabulary: Vocabulary, dtypes: Sequence[DType], *, is_cross: bool
) -> CompactIndex | None:
    """Return a compact index of the keys if hash tables exceed a memory budget, else None."""
    if not is_bounded():
        vocabulary.cache.pop(_COMPACT, None)
        return None
    kinds = [kind_of(element_of(dtype)) for dtype in dtypes]
    n_bytes = sum(bytes_of_slots(kind, len(vocabulary)) for kind in kinds)
    if _COMPACT not in vocabulary.cache and has_room(n_bytes):
        return None
    for table in ("index", "lookup"):
        vocabulary.cache.pop(table, None)

    def make() -> CompactIndex:
        return cpu_compact_index.compact_index(vocabulary.parts, dtypes, is_cross=is_cross)

    return _cached(vocabulary, _COMPACT, make)


def _codes_as_in_fit(
    vocabulary: Vocabulary, column: ChunkedArray, dtype: DType, n_unseen: int
) -> Int32Array | None:
    """Return the codes kept from fit if the column equals the training column; None otherwise.

    This saves the lookup when a plan transforms its training rows. Keys are compared row by row; at
    the first mismatch the kept codes are dropped.
    """
    kept: tuple[int, Int32Array] | None = vocabulary.cache.pop(CODES_OF_ROWS, None)
    if kept is None or dtype.holds_bytes:
        return None
    n_unseen_of, codes = kept
    if n_unseen_of != n_unseen or len(codes) != len(column):
        return None
    element, keys = element_of(dtype), keys_of(vocabulary.parts[0], dtype)
    assert not isinstance(keys, TextKeys)
    how = runner(_RUN), n_parts(len(column))
    chunks = chunks_of(column, dtype)
    if not are_numbers(element, keys, chunks, codes, *how, start=1 + n_unseen):
        return None
    vocabulary.cache[CODES_OF_ROWS] = kept
    return codes


def _spread_unseen(
    codes: Int32Array,
    columns: Sequence[ChunkedArray],
    dtypes: Sequence[DType],
    n_unseen: int,
    *,
    is_cross: bool,
) -> None:
    """Change the code 1 of unseen keys to 1 + the bucket of the key's hash, in place.

    There are `n_unseen` buckets.
    """
    rows = np.flatnonzero(codes == 1) if n_unseen > 1 else np.zeros(0, np.int64)
    if len(rows):
        places = array_of_values(rows, None, pa.int64())
        unseen = [call("take", column, places) for column in columns]
        hashes = cpu_hashing.key_hashes(unseen, dtypes, is_cross=is_cross)
        codes[rows] = 1 + cpu_hashing.buckets(hashes, n_unseen)


def _looked_up(
    index: Index | CompactIndex, column: ChunkedArray, dtype: DType, n_unseen: int
) -> Int32Array:
    """Return the code of each row of one column; of a dictionary only the entries are looked up."""
    run = runner(_RUN)
    if not pa.types.is_dictionary(column.type):
        first = 1 + n_unseen
        if isinstance(index, Index):
            parts, chunks = n_parts(len(column)), chunks_of(column, dtype)
            found = lookup(index, chunks, run, parts, start=first, none=1, missing=0)
        else:
            found = cpu_compact_index.find_positions(
                index, [column], start=first, none=1, missing=0
            )
        _spread_unseen(found, [column], [dtype], n_unseen, is_cross=False)
        return found
    pieces = [_of_entries(index, chunk, dtype, n_unseen) for chunk in column.chunks]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int32)


def _of_entries(
    index: Index | CompactIndex, chunk: Array, dtype: DType, n_unseen: int
) -> Int32Array:
    entries = pa.chunked_array([chunk.dictionary])
    return of_codes(chunk, _looked_up(index, entries, dtype, n_unseen), 0)


def _cached(vocabulary: Vocabulary, name: str, make: Any) -> Any:
    """Return the value cached in a vocabulary under a name; `make` makes it on first use."""
    found = vocabulary.cache.get(name)
    return vocabulary.cache.setdefault(name, make()) if found is None else found


def _index(keys: Array, dtype: DType) -> Index:
    return index_of(element_of(dtype), keys_of(keys, dtype), runner(_RUN), n_parts(len(keys)))


def _lookup(vocabulary: Vocabulary, dtypes: Sequence[DType]) -> VocabularyIndexes:
    """Return the hash indices of a vocabulary of several parts."""
    ranks = [
        ranks_of(pa.chunked_array([part]), dtype, WIDEST, in_order=False)
        for part, dtype in zip(vocabulary.parts, dtypes, strict=True)
    ]
    combined, sizes = combined_of([r.rows for r in ranks], [len(r.values) for r in ranks])
    parts = tuple(_index(r.values, dtype) for r, dtype in zip(ranks, dtypes, strict=True))
    n = n_parts(len(combined))
    return VocabularyIndexes(parts, tuple(sizes), index_of("int64", combined, runner(_RUN), n))


def encode_calls(
    vocabulary: Vocabulary,
    given: Sequence[DataType],
    dtypes: Sequence[DType],
    missing: str,
    n_unseen: int,
) -> StepCalls | None:
    """Return the kernel calls that compute the codes of keys in a prepared call, or None.

    The result is None if the types prevent it. `given` has the Arrow types of the columns, `dtypes`
    the types that fit saw.
    """
    forms = [form_of(one) for one in given]
    elements = [_element_in_place(*one) for one in zip(given, dtypes, strict=True)]
    columns = [
        (element, form)
        for element, form in zip(elements, forms, strict=True)
        if element is not None and form is not None
    ]
    if len(columns) < len(given) or n_unseen != 1:
        return None
    if _compact(vocabulary, dtypes, is_cross=len(given) > 1 or missing != "key") is not None:
        return None  # no room for the table in which calls look
    if len(given) == 1 and missing == "key":
        index = _cached(vocabulary, "index", lambda: _index(vocabulary.parts[0], dtypes[0]))
        return _index_calls(index, *columns[0], start=1 + n_unseen, none=1)
    known = _cached(vocabulary, "lookup", lambda: _lookup(vocabulary, dtypes))
    return _combined_calls(known, columns, is_lacking=missing == "key")


def _combined_calls(
    known: VocabularyIndexes, columns: Sequence[tuple[str, int]], *, is_lacking: bool
) -> StepCalls:
    """Return kernel calls that compute codes of several parts: first of each part, then of the key.

    `columns` has, for each part, the kernel's element type and the form. `is_lacking` says that a
    missing part makes the key missing.
    """
    parts = [
        _index_calls(index, element, form, start=1, none=-1, argument=k)
        for k, (index, (element, form)) in enumerate(zip(known.parts, columns, strict=True))
    ]
    words = np.zeros(layout.COMBINE_PARTS + 2 * len(parts), np.int64)
    words[layout.COMBINE_N_PARTS] = len(parts)
    words[layout.COMBINE_PARTS + 1 :: 2] = known.sizes
    keys, codes = MemoryRequest(8), MemoryRequest(4)
    rows = {layout.COMBINE_PARTS + 2 * k: part.values for k, part in enumerate(parts)}
    combine = KernelCall(
        written_kernel(_RUN, "combine"), words, (), {**rows, layout.COMBINE_KEYS: keys}
    )
    table, entry = lookup_words(known.keys, "int64", start=2, none=1, missing=0)
    scratch = scratch_of(layout.N_SCRATCH_WORDS)
    found = {layout.TABLE_VALUES: keys, layout.TABLE_ROWS: codes, layout.TABLE_SCRATCH: scratch}
    kernel = written_kernel(_RUN, entry)
    calls = [*(call for part in parts for call in part.calls), combine]
    calls.append(KernelCall(kernel, table, (), found, owners=known.keys))
    if is_lacking:
        lacking = {**rows, layout.COMBINE_KEYS: codes}
        calls.append(KernelCall(written_kernel(_RUN, "lacking"), words, (), lacking))
    return StepCalls(tuple(calls), codes, 4)


def _index_calls(
    index: Index, element: str, form: int, *, start: int, none: int, argument: int = 0
) -> StepCalls:
    """Return a kernel call that computes the position of each value in a hash index, plus `start`.

    Values that are not a key get `none`; missing ones get 0. `form` is described in
    `step_calls.KernelColumn`.
    """
    words, entry = lookup_words(index, element, start=start, none=none, missing=0)
    values, scratch = MemoryRequest(4), scratch_of(layout.N_SCRATCH_WORDS)
    given = KernelColumn(
        argument,
        form,
        values=layout.TABLE_VALUES,
        bit=layout.TABLE_VALUE_BIT_OFFSET,
        offsets=layout.TABLE_OFFSETS if element == TEXT else NOWHERE,
        validity=layout.TABLE_VALIDITY,
        validity_bit=layout.TABLE_BIT_OFFSET,
    )
    if element == TEXT:
        words[layout.TABLE_OFFSET_BYTES] = -form
    rooms = {layout.TABLE_ROWS: values, layout.TABLE_SCRATCH: scratch}
    call = KernelCall(written_kernel(_RUN, entry), words, (given,), rooms, owners=index)
    return StepCalls((call,), values, 4)


def _element_in_place(given: DataType, dtype: DType) -> str | None:
    """Return the name of a column's type in kernels; None if they cannot read it without a copy."""
    if dtype.holds_bytes:
        return (
            TEXT if conform.is_accepted_text(given, dtype) and form_of(given) in (-4, -8) else None
        )
    if not is_read_unconverted(given, dtype):
        return None
    element = storage(dtype)
    return element if element in ELEMENTS else None


def literal_codes(column: ChunkedArray, name: str, literals: tuple[str, ...]) -> ChunkedArray:
    """Return the position of each row's text in a list of literals, as `strings.string_codes` does.

    Many rows are looked up on all threads: 8 ns per row and thread, 17 ns with Arrow. The column is
    text in any Arrow form or encoding, shape (n_rows,). Raises TypeMismatch if it is not text.
    """
    in_place = _element_in_place(column.type, UTF8) == TEXT
    if (
        not in_place
        or len(column) < _MANY
        or len(set(literals)) < len(literals)
        or not literals[1:]
    ):
        return strings.string_codes(column, name, literals)
    index, parts = _index_of_literals(literals), n_parts(len(column))
    codes = lookup(
        index, strings.text_chunks(column), runner(_RUN), parts, start=0, none=-1, missing=0
    )
    present = validity_of(column).combine_chunks() if column.null_count else None
    flags = None if present is None else unpack(present.buffers()[1], present.offset, len(present))
    return pa.chunked_array([array_of_values(codes, flags, pa.int32())])


@lru_cache(maxsize=64)
def _index_of_literals(literals: tuple[str, ...]) -> Index:
    return index_of(TEXT, text_keys([text.encode() for text in literals]), runner(_RUN))


_MANY = 1 << 18  # rows; fewer do not pay for compiling the kernel, which takes a second once


def literal_calls(literals: Sequence[str], given: DataType) -> StepCalls | None:
    """Return kernel calls that compute codes as `literal_codes` does; None if not possible."""
    form, element = form_of(given), _element_in_place(given, UTF8)
    if form is None or element is None or len(set(literals)) < len(literals):
        return None
    index = _index_of_literals(tuple(literals))
    found = _index_calls(index, TEXT, form, start=0, none=-1)
    return StepCalls(found.calls, found.values, found.width, 0, form)
