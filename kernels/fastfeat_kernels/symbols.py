"""Symbols that an object file expects from elsewhere.

LLVM may turn an intrinsic, or even an instruction, into a call of libm (`llvm.sin`, `frem`), so
only the object itself says what it needs.
"""

from __future__ import annotations

import struct
from typing import Final

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
