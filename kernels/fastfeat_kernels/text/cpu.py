# pyright: basic
"""The text kernels of the CPU, by name."""

from __future__ import annotations

from fastfeat_kernels.text.case import case
from fastfeat_kernels.text.floats import to_float
from fastfeat_kernels.text.integers import to_integer
from fastfeat_kernels.text.lengths import len_bytes, len_chars, token_count
from fastfeat_kernels.text.ngrams import ngrams, tokens
from fastfeat_kernels.text.pieces import pieces
from fastfeat_kernels.text.search import count_matches, find
from fastfeat_kernels.text.validity import validity

ENTRIES = {
    "case": case,
    "count_matches": count_matches,
    "find": find,
    "len_bytes": len_bytes,
    "len_chars": len_chars,
    "ngrams": ngrams,
    "pieces": pieces,
    "to_float": to_float,
    "to_integer": to_integer,
    "token_count": token_count,
    "tokens": tokens,
    "validity": validity,
}
