"""Object code of a kernel: loaded into the process, without Numba.

On x86-64 Linux our own loader does that, without a compiler in the process; elsewhere, and for what
it does not know, the one of LLVM.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from typing import Any

from fastfeat_kernels import elf

Kernel = Callable[[int, int, int], int]

_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_IS_KNOWN = sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 1 << 32
_engines: list[Any] = []  # code lives as long as the process


def load_object(code: bytes, symbol: str) -> Kernel:
    """Return a kernel (table address, first row, n rows) -> status; calls release the GIL.

    Args:
        code: what `compile_entry` or `compile_text` returned, for this processor.
        symbol: the name that came with it.

    Raises:
        ValueError: the object does not define the symbol.
        CodeRefused: the system allows no new code. That of LLVM would be run all the same, and
            end the process.
    """
    try:
        return load_known(code, symbol)
    except elf.UnknownObject:
        return load_by_llvm(code, symbol)


def load_known(code: bytes, symbol: str) -> Kernel:
    """Return a kernel as `load_object` does, by our own loader alone.

    Raises:
        UnknownObject: it does not know the object, or the system.
        CodeRefused: the system allows no new code.
    """
    if not _IS_KNOWN:
        raise elf.UnknownObject("this system is not x86-64 Linux")
    return _PROTOTYPE(elf.load(code, symbol))


def load_by_llvm(code: bytes, symbol: str) -> Kernel:
    """Return a kernel as `load_object` does, by the loader of LLVM.

    Raises:
        ValueError: the object does not define the symbol.
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
