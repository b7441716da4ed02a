"""Object code of a kernel: loaded into the process, without Numba; the symbols that it still needs.

LLVM may turn an intrinsic, or even an instruction, into a call of libm (`llvm.sin`, `frem`), so
only the object itself says what it expects from elsewhere.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any, Final

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


_SYMBOL_TABLE: Final = 2  # SHT_SYMTAB


def undefined_symbols(code: bytes) -> set[str] | None:
    """Return the undefined symbols of a 64-bit little-endian ELF file; None for any other format.

    Source: System V ABI, chapters 4 (object files) and ELF-64 (layout).
    """
    if code[:6] != b"\x7fELF\x02\x01":
        return None
    (start,), (size, n) = struct.unpack_from("<Q", code, 40), struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, start + i * size) for i in range(n)]
    names: set[str] = set()
    for section in sections:
        if section[1] == _SYMBOL_TABLE:
            strings = sections[section[6]][4]
            symbols = code[section[4] : section[4] + section[5]]
            names |= {
                _text_at(code, strings + name)
                for name, _, _, index, _, _ in struct.iter_unpack("<IBBHQQ", symbols)
                if index == 0
            }
    return names - {""}


def _text_at(code: bytes, offset: int) -> str:
    return code[offset : code.index(b"\0", offset)].decode()
