"""Loads the object code of a kernel into the process, without Numba."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvmlite_binding  # pyright: ignore[reportMissingTypeStubs]

binding: Any = llvmlite_binding  # it has no types
Kernel = Callable[[int, int, int], int]

_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_engines: list[Any] = []  # code lives as long as the process


def load_object(code: bytes, symbol: str) -> Kernel:
    """Return a kernel (table address, first row, n rows) -> status; calls release the GIL.

    Args:
        code: what `compile_entry` returned, on the same kind of CPU.
        symbol: the name that came with it.

    Raises:
        ValueError: the object does not define the symbol.
    """
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
