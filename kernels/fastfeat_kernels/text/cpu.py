# pyright: basic
"""The text kernels of the CPU, by name."""

from __future__ import annotations

from fastfeat_kernels.text.case import CASE
from fastfeat_kernels.text.floats import FLOATS
from fastfeat_kernels.text.integers import INTEGERS
from fastfeat_kernels.text.lengths import LENGTHS
from fastfeat_kernels.text.ngrams import NGRAMS
from fastfeat_kernels.text.pieces import PIECES
from fastfeat_kernels.text.search import SEARCH
from fastfeat_kernels.text.validity import VALIDITY

_ENTRIES = (*CASE, *FLOATS, *INTEGERS, *LENGTHS, *NGRAMS, *PIECES, *SEARCH, *VALIDITY)
ENTRIES = {entry.__name__: entry for entry in _ENTRIES}
