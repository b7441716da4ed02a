"""Columns of text in memory, as Arrow lays them out, at any offset; and what results hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import cuts

Text = bytes | None
FAR = 3 << 31  # bytes: offsets of 32 bits end before
FILLER = b"\xff a"  # what stands in memory where a value is missing, and around the column


class TextChunk(NamedTuple):
    """A chunk with what keeps its memory alive."""

    offsets: int
    offset_bytes: int
    data: int
    validity: int
    bit_offset: int
    length: int
    owner: object


def make_text_chunk(
    texts: Sequence[Text],
    offset_bytes: int = 4,
    bit_offset: int = 0,
    filled: bool = False,
    base: int = 0,
) -> TextChunk:
    """Return rows as a slice of a longer array, in exactly the memory they need.

    The offsets are `base` higher than that memory needs them, as far into a longer one.
    """
    stored = [(FILLER if filled else b"") if text is None else text for text in texts]
    lead = FILLER * (bit_offset % 3)
    lengths = np.array([0] * bit_offset + [len(lead), *map(len, stored)], np.int64)
    lengths[bit_offset] = len(lead)
    offsets = (base + np.cumsum(lengths)).astype(f"int{8 * offset_bytes}")
    data = np.frombuffer(lead + b"".join(stored), np.uint8).copy()
    bitmap = None
    if any(text is None for text in texts):
        flags = [True] * bit_offset + [text is not None for text in texts]
        bitmap = np.packbits(flags, bitorder="little")
    return TextChunk(
        offsets.ctypes.data + bit_offset * offset_bytes,
        offset_bytes,
        data.ctypes.data - base,
        0 if bitmap is None else bitmap.ctypes.data,
        bit_offset,
        len(texts),
        (offsets, data, bitmap),
    )


def flags_of(bits: Any, n_rows: int) -> list[bool]:
    """Return the first bits of a bitmap; the others must be 0."""
    unpacked = np.unpackbits(bits, bitorder="little").astype(bool)
    assert not unpacked[n_rows:].any()
    return unpacked[:n_rows].tolist()


def present_of(result: Any, n_rows: int) -> list[bool]:
    """Return which rows of a result are present; their number must be as it says."""
    if result.validity is None:
        assert result.n_missing == 0
        return [True] * n_rows
    present = flags_of(result.validity, n_rows)
    assert result.n_missing == n_rows - sum(present) > 0
    return present


def rows_of(result: Any, n_rows: int) -> list[Any]:
    """Return the rows of a result, None where missing: there 0, or nothing, must stand."""
    if isinstance(result, list):
        rows = [row for texts in result for row in rows_of_piece(texts)]
        assert len(rows) == n_rows
        return rows
    if hasattr(result, "data"):
        offsets, data = result.offsets.tolist(), result.data.tobytes()
        assert (offsets[0], offsets[-1], len(offsets)) == (0, len(data), n_rows + 1)
        values = [data[a:b] for a, b in pairwise(offsets)]
    elif hasattr(result, "counts"):
        values = result.counts.tolist()
    elif hasattr(result, "bits"):
        values = flags_of(result.bits, n_rows)
    else:
        values = result.values.tolist()
    present = present_of(result, n_rows)
    assert not any(np.any(value) for value, there in zip(values, present, strict=True) if not there)
    return [value if there else None for value, there in zip(values, present, strict=True)]


def rows_of_piece(texts: Any) -> list[Text]:
    """Return the rows of a piece of text, None where missing: there nothing must stand."""
    offsets, data = texts.offsets[texts.lead :].tolist(), texts.data.tobytes()
    n_rows = len(offsets) - 1
    assert (offsets[0], offsets[-1]) == (0, len(data))
    present = [True] * n_rows
    if texts.validity is not None:
        bits = np.unpackbits(texts.validity, bitorder="little").astype(bool)
        present = bits[texts.lead :][:n_rows].tolist()
    values = [data[a:b] for a, b in pairwise(offsets)]
    assert not any(value for value, there in zip(values, present, strict=True) if not there)
    return [value if there else None for value, there in zip(values, present, strict=True)]


# All sizes of code points; white space; case mappings that change the size, or are none.
CHARACTERS = "aAzZ09 .-\t\n\x00\x1c\x85\xa0éÉßİıſKÅⱥȺẞǅǆᾳΐﬁΣσς\u2003\u3000\u200b中"
CHARACTERS += "\ud7ff\ue000😀𐐀𐐨\U0010ffff"
INVALID = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xe0\x80\x80", b"\xf4\x90\x80\x80"]
INVALID = [*INVALID, b"a\x80", b"\xe2\x82", b"\xf0\x9f\x98", b"\xf0\x80\x80\x80", b"\xc3("]


def characters() -> st.SearchStrategy[str]:
    """Return a strategy of characters, the hard ones often."""
    return st.one_of(st.sampled_from(CHARACTERS), st.characters(codec="utf-8"))


def texts_utf8() -> st.SearchStrategy[bytes]:
    """Return a strategy of UTF-8: of few characters, of ASCII, long."""
    short = st.one_of(
        st.text(characters(), max_size=8),
        st.text(st.sampled_from("abAB 1"), max_size=30),
        st.text(st.characters(max_codepoint=127), max_size=100),
    )
    long = st.tuples(short, st.integers(2, 60)).map(lambda pair: pair[0] * pair[1])
    return st.one_of(short, short, short, long).map(str.encode)


def texts_bytes() -> st.SearchStrategy[bytes]:
    """Return a strategy of any bytes."""
    return st.one_of(texts_utf8(), st.binary(max_size=12), st.sampled_from(INVALID))


@st.composite
def text_columns(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> list[Text]:
    """Return rows, some missing, often more than one block of them."""
    few = draw(st.lists(st.one_of(st.none(), values, values), max_size=30))
    return few * draw(st.sampled_from([1, 1, 1, 3, 70]))


@st.composite
def text_chunks(draw: st.DrawFn, texts: list[Text]) -> list[TextChunk]:
    """Return a column in chunks, each at an offset of its own."""
    return [
        make_text_chunk(
            texts[cut],
            width := draw(st.sampled_from([4, 8])),
            draw(st.integers(0, 70)),
            filled=draw(st.booleans()),
            base=draw(st.sampled_from([0, 0, FAR])) if width == 8 else 0,
        )
        for cut in draw(cuts(len(texts)))
    ]
