# pyright: basic
"""The text kernels of the CPU, by name."""

from __future__ import annotations

from fastfeat_kernels.text.cpu.case import case
from fastfeat_kernels.text.cpu.floats import to_float
from fastfeat_kernels.text.cpu.integers import to_integer
from fastfeat_kernels.text.cpu.lengths import len_bytes, len_chars, token_count
from fastfeat_kernels.text.cpu.ngrams import ngrams, tokens
from fastfeat_kernels.text.cpu.pieces import pieces
from fastfeat_kernels.text.cpu.rows import validity
from fastfeat_kernels.text.cpu.search import count_matches, find

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
