"""Exported C, compiled and run in this process, for certificates."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import KernelFailed, LibraryUnavailable
from fastfeat.export.c.golden import input_column
from fastfeat.export.c.inputs import Input
from fastfeat.io.arrow import Table

OPTIONS = ("-std=c11", "-O2", "-shared", "-fPIC")


class _Column(ctypes.Structure):
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("valid", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("item_valid", ctypes.c_void_p),
    )


class _Error(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_int32),
        ("feature", ctypes.c_int32),
        ("input", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("row", ctypes.c_int64),
    )


@dataclass(frozen=True, slots=True)
class ExportFailure:
    """The error of an exported function.

    Args:
        code: Its code; 0 for none.
        feature: Number of the output; -1 for none.
        input: Number of the input; -1 for none.
        row: Number of the row; -1 for none.
    """

    code: int
    feature: int
    input: int
    row: int


@dataclass(frozen=True, slots=True)
class NativeExport:
    """A compiled export.

    Args:
        library: The loaded library.
        name: Name of the export.
        inputs: The columns that it reads.
        n_outputs: Number of columns that it gives.
    """

    library: ctypes.CDLL
    name: str
    inputs: tuple[Input, ...]
    n_outputs: int

    def batch(self, rows: Table) -> tuple[NDArray[np.float64], ExportFailure]:
        """Return the features of rows, shape (n_rows, n_outputs), and the error that ended them."""
        out = np.zeros((rows.num_rows, self.n_outputs))
        read = [input_column(rows.column(one.name), one) for one in self.inputs]
        columns = (_Column * max(1, len(read)))()
        for k, one in enumerate(read):
            offsets = None if one.offsets is None else one.offsets.ctypes.data
            columns[k] = _Column(one.values.ctypes.data, one.valid.ctypes.data, offsets, None)
        error = _Error()
        function = getattr(self.library, f"{self.name}_batch")
        address = ctypes.c_void_p(out.ctypes.data)
        code = function(columns, ctypes.c_int64(rows.num_rows), address, ctypes.byref(error))
        return out, _failure(code, error)

    def selftest(self) -> ExportFailure:
        """Run the self-test."""
        error = _Error()
        code = getattr(self.library, f"{self.name}_selftest")(ctypes.byref(error))
        return _failure(code, error)


def _failure(code: int, error: _Error) -> ExportFailure:
    if not code:
        return ExportFailure(0, -1, -1, -1)
    return ExportFailure(code, error.feature, error.input, error.row)


def compiler(engine: str | None = None) -> str:
    """Return the path of a C compiler: `engine`, or the system's `cc`.

    Raises:
        LibraryUnavailable: There is none.
    """
    for name in ("cc", "gcc", "clang") if engine in (None, "cc") else (str(engine),):
        found = shutil.which(name)
        if found is not None:
            return found
    raise LibraryUnavailable(
        f"no C compiler {engine or 'cc'!r} here. Install one, such as gcc, or give engine= its path"
    )


def compile_export(
    source: Path,
    target: Path,
    inputs: tuple[Input, ...],
    n_outputs: int,
    *,
    engine: str | None = None,
    options: Sequence[str] = (),
) -> NativeExport:
    """Compile the `.c` of an export to the shared library `target`, and load it.

    Raises:
        KernelFailed: The compiler refuses the text.
        LibraryUnavailable: There is no compiler.
    """
    command = [compiler(engine), *OPTIONS, *options, str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KernelFailed(f"{command[0]} cannot compile {source}:\n{done.stderr[:2000]}")
    return NativeExport(ctypes.CDLL(str(target)), source.stem, inputs, n_outputs)
