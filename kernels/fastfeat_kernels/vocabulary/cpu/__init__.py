# pyright: basic
"""The vocabulary kernels on the CPU, by the kind of key.

`engine.cpu` imports it by name; `windows` uses its loops.
"""

from __future__ import annotations

from fastfeat_kernels.column import TEXT
from fastfeat_kernels.vocabulary.cpu.combining import combine, lacking
from fastfeat_kernels.vocabulary.cpu.numbers import numbers
from fastfeat_kernels.vocabulary.cpu.records import gather, rows
from fastfeat_kernels.vocabulary.cpu.sorting import descending, sort
from fastfeat_kernels.vocabulary.cpu.texts import text

ENTRIES = {
    "numbers": numbers,
    TEXT: text,
    "rows": rows,
    "gather": gather,
    "sort": sort,
    "descending": descending,
    "combine": combine,
    "lacking": lacking,
}
