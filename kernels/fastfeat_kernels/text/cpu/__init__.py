# pyright: basic
"""The text kernels of the CPU, by name.

`engine.cpu` imports it by name.
"""

from __future__ import annotations

from fastfeat_kernels.text.cpu.case import CASE
from fastfeat_kernels.text.cpu.comparing import COMPARING
from fastfeat_kernels.text.cpu.floats import FLOATS
from fastfeat_kernels.text.cpu.integers import INTEGERS
from fastfeat_kernels.text.cpu.lengths import LENGTHS
from fastfeat_kernels.text.cpu.ngrams import NGRAMS
from fastfeat_kernels.text.cpu.pieces import PIECES
from fastfeat_kernels.text.cpu.rows import VALIDITY
from fastfeat_kernels.text.cpu.search import SEARCH

_ENTRIES = (*CASE, *COMPARING, *FLOATS, *INTEGERS, *LENGTHS, *NGRAMS, *PIECES, *SEARCH, *VALIDITY)
ENTRIES = {entry.__name__: entry for entry in _ENTRIES}
