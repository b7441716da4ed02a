# pyright: basic
"""The vocabulary kernels on the CPU, by the kind of key."""

from __future__ import annotations

from fastfeat_kernels.column import TEXT
from fastfeat_kernels.vocabulary.numbers import numbers
from fastfeat_kernels.vocabulary.records import gather, rows
from fastfeat_kernels.vocabulary.sorting import descending, sort
from fastfeat_kernels.vocabulary.texts import text

ENTRIES = {
    "numbers": numbers,
    TEXT: text,
    "rows": rows,
    "gather": gather,
    "sort": sort,
    "descending": descending,
}
