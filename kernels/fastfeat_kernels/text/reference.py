"""Reference of the text functions: plain Python, from the bytes of a row to its result."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from fastfeat_kernels.hashing.reference import xxh64
from fastfeat_kernels.text.unicode_table import LOWERCASE, UPPERCASE, WHITE_SPACE, Runs

_DECIMAL: Final = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_NAMED: Final = re.compile(rb"[+-]?(inf|infinity)", re.IGNORECASE)
_NAN: Final = re.compile(rb"[+-]?nan", re.IGNORECASE)
_SPACE: Final = frozenset(map(chr, WHITE_SPACE))


class NotParseable(ValueError):
    """The text is not a number."""


def len_bytes(text: bytes) -> int:
    """Return the number of bytes."""
    return len(text)


def len_chars(text: bytes) -> int:
    """Return the number of code points.

    >>> len_chars("né".encode())
    2
    """
    return len(text.decode())


def token_count(text: bytes) -> int:
    """Return the number of maximal runs without white space.

    >>> token_count(b" two  tokens ")
    2
    """
    spaces = [True, *(character in _SPACE for character in text.decode())]
    return sum(before and not now for before, now in pairwise(spaces))


def count_matches(text: bytes, pattern: bytes) -> int:
    """Return the number of occurrences of a plain pattern in a text, without overlap.

    >>> count_matches(b"aaa", b"aa")
    1
    """
    return text.count(pattern)


def starts_with(text: bytes, pattern: bytes) -> bool:
    """Return whether a text starts with a plain pattern."""
    return text.startswith(pattern)


def ends_with(text: bytes, pattern: bytes) -> bool:
    """Return whether a text ends with a plain pattern."""
    return text.endswith(pattern)


def contains(text: bytes, pattern: bytes) -> bool:
    """Return whether a text contains a plain pattern."""
    return pattern in text


def find(text: bytes, pattern: bytes) -> int:
    """Return the byte offset of a plain pattern's first occurrence in a text, -1 without one.

    >>> find(b"abab", b"b"), find(b"a", b"b"), find(b"a", b"")
    (1, -1, 0)
    """
    return text.find(pattern)


def replace(text: bytes, pattern: bytes, value: bytes, n: int) -> bytes:
    """Return a text with the first n occurrences of a plain pattern replaced, all if n is -1.

    >>> replace(b"aaa", b"aa", b"b", -1)
    b'ba'
    """
    text.decode()
    return text.replace(pattern, value, n)


def to_lowercase(text: bytes) -> bytes:
    """Return a text in lower case.

    >>> to_lowercase("ⱯẞÉ".encode()).decode()
    'ɐßé'
    """
    return _mapped(text, LOWERCASE)


def to_uppercase(text: bytes) -> bytes:
    """Return a text in upper case.

    >>> to_uppercase("straße".encode()).decode()
    'STRAßE'
    """
    return _mapped(text, UPPERCASE)


def _mapped(text: bytes, runs: Runs) -> bytes:
    def mapped(code: int) -> int:
        for first, last, step, difference in runs:
            if first <= code <= last and (code - first) % step == 0:
                return code + difference
        return code

    return "".join(chr(mapped(ord(character))) for character in text.decode()).encode()


def slice_chars(text: bytes, offset: int, length: int | None) -> bytes:
    """Return the code points of a slice.

    >>> slice_chars(b"abc", -2, 1), slice_chars(b"abc", -4, 2)
    (b'b', b'a')
    """
    characters = text.decode()
    begin = offset if offset >= 0 else len(characters) + offset
    end = len(characters) if length is None else begin + length
    return characters[max(begin, 0) : max(end, 0)].encode()


def strip_chars(text: bytes, characters: str | None) -> bytes:
    """Return a text without characters of a set at either end.

    >>> strip_chars(b" a b ", None), strip_chars(b"xay", "yx")
    (b'a b', b'a')
    """
    return strip_chars_end(strip_chars_start(text, characters), characters)


def strip_chars_start(text: bytes, characters: str | None) -> bytes:
    """Return a text without characters of a set at the start."""
    return text.decode().lstrip(_set(characters)).encode()


def strip_chars_end(text: bytes, characters: str | None) -> bytes:
    """Return a text without characters of a set at the end."""
    return text.decode().rstrip(_set(characters)).encode()


def ngram_hash_counts(text: bytes, n: int, n_buckets: int, seed: int) -> list[int]:
    """Return the number of n-grams of a text in each bucket.

    >>> ngram_hash_counts(b"abcd", 2, 1, 0)
    [3]
    """
    points = text.decode()
    grams = [points[i : i + n].encode() for i in range(len(points) - n + 1)]
    return _bucket_counts(grams, n_buckets, seed)


def token_hash_counts(text: bytes, n_buckets: int, seed: int) -> list[int]:
    """Return the number of tokens of a text in each bucket."""
    plain = "".join(" " if character in _SPACE else character for character in text.decode())
    return _bucket_counts([token.encode() for token in plain.split(" ") if token], n_buckets, seed)


def _bucket_counts(pieces: list[bytes], n_buckets: int, seed: int) -> list[int]:
    counts = [0] * n_buckets
    for piece in pieces:
        counts[xxh64(piece, seed) * n_buckets >> 64] += 1
    return counts


def _set(characters: str | None) -> str:
    return "".join(_SPACE) if characters is None else characters


def to_integer(text: bytes, base: int) -> int:
    """Return the integer in a text.

    >>> to_integer(b"-ff", 16)
    -255
    """
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"[:base]
    if not re.fullmatch(f"[+-]?[{digits}]+".encode(), text, re.IGNORECASE):
        raise NotParseable(text)
    value = int(text, base)
    if not -(2**63) <= value < 2**63:
        raise OverflowError(text)
    return value


def to_float(text: bytes) -> float | None:
    """Return the float64 nearest to the decimal in a text; None for NaN.

    >>> to_float(b".5"), to_float(b"-1e3"), to_float(b"nan")
    (0.5, -1000.0, None)
    """
    if _NAN.fullmatch(text):
        return None
    if _NAMED.fullmatch(text):
        return float(text)
    if not _DECIMAL.fullmatch(text):
        raise NotParseable(text)
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise OverflowError(text)
    return value
