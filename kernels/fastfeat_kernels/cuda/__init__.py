"""CUDA C++ for all kernels: the prelude of their text, and the emulator that runs it by g++."""

from functools import cache
from pathlib import Path


@cache
def column_text() -> str:
    """Return the functions that read columns; what stands before them defines words of a table."""
    return Path(__file__).with_name("column.cuh").read_text()
