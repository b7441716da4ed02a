"""Object code of a kernel: loaded into the process, without Numba.

On x86-64 Linux our own loader does that, without a compiler in the process. Elsewhere, and for
objects that it does not support, LLVM's loader does.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from typing import Any

from fastfeat_kernels import elf

LoadedKernel = Callable[[int, int, int], int]

_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_IS_KNOWN = sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 1 << 32
_engines: list[Any] = []  # code lives as long as the process


def load_object(code: bytes, symbol: str) -> LoadedKernel:
    """Return a kernel (table address, first row, n rows) -> status; calls release the GIL."""
    try:
        return load_known(code, symbol)
    except elf.UnknownObject:
        return load_by_llvm(code, symbol)


def load_known(code: bytes, symbol: str) -> LoadedKernel:
    """Return a kernel like `load_object`, with our own loader only."""
    if not _IS_KNOWN:
        raise elf.UnknownObject("this system is not x86-64 Linux")
    return _PROTOTYPE(elf.load(code, symbol))


def load_by_llvm(code: bytes, symbol: str) -> LoadedKernel:
    """Return a kernel like `load_object`, with LLVM's loader."""
    import llvmlite.binding as llvmlite_binding  # pyright: ignore[reportMissingTypeStubs]

    binding: Any = llvmlite_binding  # it has no types
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol)
    if address == 0:
        raise ValueError(f"the object code does not define {symbol}")
    _engines.append(engine)
    return _PROTOTYPE(address)
