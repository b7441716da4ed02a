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
    """Return a kernel (table address, first row, n rows) -> status; calls release the GIL.

    Args:
        code: Result of `compile_entry` or `compile_text`, for this processor.
        symbol: The symbol from the same result.

    Raises:
        ValueError: The object does not define the symbol.
        CodeRefused: The system allows no new code. LLVM's loader would run its code anyway, and end
            the process.
    """
    try:
        return load_known(code, symbol)
    except elf.UnknownObject:
        return load_by_llvm(code, symbol)


def load_known(code: bytes, symbol: str) -> LoadedKernel:
    """Return a kernel like `load_object`, with our own loader only.

    Raises:
        UnknownObject: It does not support the object, or the system.
        CodeRefused: The system allows no new code.
    """
    if not _IS_KNOWN:
        raise elf.UnknownObject("this system is not x86-64 Linux")
    return _PROTOTYPE(elf.load(code, symbol))


def load_by_llvm(code: bytes, symbol: str) -> LoadedKernel:
    """Return a kernel like `load_object`, with LLVM's loader.

    Raises:
        ValueError: The object does not define the symbol.
    """
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
