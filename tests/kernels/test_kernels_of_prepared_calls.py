"""Small kernels that prepared calls run between others, against Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels import hashing, lists, text
from fastfeat_kernels.vocabulary import layout as vocabulary

from fastfeat.engine.cpu.kernels import written_kernel

N_ROWS = 150
RNG = np.random.default_rng(3)


def run(folder: str, entry: str, words: dict[int, int], n_words: int = 16) -> int:
    """Run a kernel on all rows."""
    table = np.zeros(n_words, np.int64)
    for word, value in words.items():
        table[word] = value
    return written_kernel(folder, entry)(table.ctypes.data, 0, N_ROWS)


def bits_of(flags: Any) -> Any:
    """Return flags as bits, in whole words."""
    memory = np.zeros(-(-N_ROWS // 64) * 8, np.uint8)
    packed = np.packbits(np.array(flags, np.bool_), bitorder="little")
    memory[: len(packed)] = packed
    return memory


@pytest.mark.parametrize("n_buckets", [1, 7, 1000, 2**31 - 1])
def test_buckets_divide_all_hashes_alike(n_buckets: int) -> None:
    hashes = RNG.integers(0, 2**64, N_ROWS, np.uint64)
    hashes[:2] = 0, 2**64 - 1
    out = np.zeros(N_ROWS, np.int32)
    words = {
        hashing.BUCKETS_HASHES: hashes.ctypes.data,
        hashing.BUCKETS_OUT: out.ctypes.data,
        hashing.BUCKETS_N: n_buckets,
    }
    assert run("hashing", "buckets", words) == 0
    assert out.tolist() == [value * n_buckets >> 64 for value in hashes.tolist()]


def test_combinations_have_numbers_of_their_own() -> None:
    parts = [RNG.integers(-1, 4, N_ROWS).astype(np.int32) for _ in range(3)]
    keys, codes = np.zeros(N_ROWS, np.int64), np.full(N_ROWS, 9, np.int32)
    words = {vocabulary.COMBINE_KEYS: keys.ctypes.data, vocabulary.COMBINE_N_PARTS: 3}
    for k, (part, size) in enumerate(zip(parts, (4, 5, 6), strict=True)):
        words[vocabulary.COMBINE_PARTS + 2 * k] = part.ctypes.data
        words[vocabulary.COMBINE_PARTS + 2 * k + 1] = size
    assert run("vocabulary", "combine", words) == 0
    rows = list(zip(*(part.tolist() for part in parts), strict=True))
    assert keys.tolist() == [-1 if min(row) < 0 else (row[0] * 5 + row[1]) * 6 + row[2]
                             for row in rows]  # fmt: skip
    assert run("vocabulary", "lacking", {**words, vocabulary.COMBINE_KEYS: codes.ctypes.data}) == 0
    assert codes.tolist() == [0 if 0 in row else 9 for row in rows]


def test_counts_stand_bucket_by_bucket() -> None:
    counts, out = RNG.integers(0, 9, (N_ROWS, 5)).astype(np.int32), np.zeros((5, 192), np.int32)
    words = {
        text.BY_BUCKET_COUNTS: counts.ctypes.data,
        text.BY_BUCKET_OUT: out.ctypes.data,
        text.BY_BUCKET_N: 5,
        text.BY_BUCKET_ROWS: 192,
    }
    assert run("text", "by_bucket", words) == 0
    assert (out[:, :N_ROWS] == counts.T).all()


@pytest.mark.parametrize("kinds", [(pa.string(), pa.string()), (pa.string(), pa.large_string())])
@pytest.mark.parametrize("offset", [0, 3])
def test_the_same_text_is_found(kinds: Any, offset: int) -> None:
    options = [None, "", "a", "ab", "b", "née"]
    sides: list[Any] = [
        pa.array(RNG.choice(options, N_ROWS + offset).tolist(), kind).slice(offset)
        for kind in kinds
    ]
    out, valid = bits_of([0] * N_ROWS), bits_of([0] * N_ROWS)
    words = {text.SAME_OUT: out.ctypes.data, text.SAME_VALIDITY_OUT: valid.ctypes.data}
    for k, side in enumerate(sides):
        first, width = text.SIDES + text.SIDE_WORDS * k, 8 if side.type == pa.large_string() else 4
        bitmap, offsets, data = side.buffers()
        words[first + text.SIDE_OFFSETS] = offsets.address + width * offset
        words[first + text.SIDE_OFFSET_BYTES] = width
        words[first + text.SIDE_DATA] = data.address
        words[first + text.SIDE_VALIDITY] = bitmap.address
        words[first + text.SIDE_BIT] = offset
    pairs = list(zip(*(side.to_pylist() for side in sides), strict=True))
    assert run("text", "same", words) == 0
    assert (out == bits_of([None not in pair and pair[0] == pair[1] for pair in pairs])).all()
    assert (valid == bits_of([None not in pair for pair in pairs])).all()
    assert run("text", "present", words) == 0
    assert (out == bits_of([pair[0] is not None for pair in pairs])).all()


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("lacks", [False, True])
def test_ends_of_lists_are_read_where_nothing_is_missing(hides: bool, lacks: bool) -> None:
    lengths = RNG.integers(0, 4, N_ROWS)
    present = RNG.random(N_ROWS) < 0.8
    lengths[~present] = 2 if hides else 0
    given = np.concatenate([[5], 5 + np.cumsum(lengths)]).astype(np.int32)
    elements = np.packbits(np.ones(given[-1] + 3, np.bool_), bitorder="little")
    elements[:1] = 0  # of what is before the first list
    if lacks:
        elements[2] ^= 1
    bits, out, sizes = bits_of(present), np.zeros(N_ROWS + 1, np.int64), np.zeros(N_ROWS, np.int64)
    words = {
        lists.ENDS_GIVEN: given.ctypes.data,
        lists.ENDS_BYTES: 4,
        lists.ENDS_VALIDITY: bits.ctypes.data,
        lists.ENDS_OF_ELEMENTS: elements.ctypes.data,
        lists.ENDS_BIT_OF_ELEMENTS: 3,
        lists.ENDS_OFFSETS: out.ctypes.data,
    }
    assert run("lists", "ends", words) == int(hides or lacks)
    assert run("lists", "ends", {**words, lists.ENDS_LENGTHS: sizes.ctypes.data}) == int(hides)
    if not hides:
        assert out.tolist() == given.tolist()
        assert sizes.tolist() == lengths.tolist()


@pytest.mark.parametrize("is_left", [False, True])
def test_means_are_sums_by_counts(is_left: bool) -> None:
    counts = RNG.integers(0, 4, N_ROWS)
    sums, present = np.where(counts, RNG.normal(size=N_ROWS), 0.0), RNG.random(N_ROWS) < 0.8
    means, left = sums.copy(), np.zeros(N_ROWS, np.int64)
    left[9] = is_left
    bits, out = bits_of(present), bits_of([0] * N_ROWS)
    words = {
        lists.FINISH_RESULTS: means.ctypes.data,
        lists.FINISH_COUNTS: counts.ctypes.data,
        lists.FINISH_LEFT: left.ctypes.data,
        lists.FINISH_VALIDITY: bits.ctypes.data,
        lists.FINISH_BITS: out.ctypes.data,
        lists.FINISH_MEANS: 1,
        lists.FINISH_COUNTED: 1,
    }
    assert run("lists", "finish", words) == int(is_left)
    assert means.tolist() == [s / max(n, 1) for s, n in zip(sums, counts, strict=True)]
    flags = np.unpackbits(out, count=N_ROWS, bitorder="little")
    assert flags.tolist() == (present & (counts > 0)).tolist()
