"""Object files of x86-64 Linux: their symbols, and loading their code into this process.

It handles the output of LLVM for our kernels: code and constants, one kind of relocation, two
functions of the C library. It refuses an object that holds anything else.

Source: System V ABI, chapters 4 (object files) and ELF-64 (layout); its AMD64 supplement, section
4.4 (relocations).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

_MAGIC: Final = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_OBJECT: Final = 1  # ET_REL
_X86_64: Final = 62  # EM_X86_64
_PROGRAM, _SYMBOLS, _RELOCATIONS = 1, 2, 4  # SHT_PROGBITS, SHT_SYMTAB, SHT_RELA
_OTHER_RELOCATIONS: Final = 9  # SHT_REL
_WRITABLE, _IN_MEMORY, _CODE = 1, 2, 4  # SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR
_UNDEFINED: Final = 0  # SHN_UNDEF
_ADDRESS: Final = 1  # R_X86_64_64: the whole address
_PAGE: Final = mmap.PAGESIZE
_MOST_ALIGNED: Final = 4096
_FUNCTIONS: Final = ("memcpy", "memset")


class UnknownObject(Exception):
    """The object holds something that this loader cannot handle, or is no object."""


class CodeRefused(Exception):
    """The system allows this process no new code."""


class _Section(NamedTuple):
    """The header of a section, in the order of the file."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int

    def is_mapped(self) -> bool:
        """Return whether it is code or constants: not empty, and not data for unwinding a stack."""
        return bool(self.kind == _PROGRAM and self.flags & _IN_MEMORY and self.size)


class _Symbol(NamedTuple):
    """A symbol: its name, its section, its place in the section."""

    name: str
    section: int
    value: int


def load(code: bytes, symbol: str) -> int:
    """Return the address of a function after loading its object, which is never unloaded.

    Its pages are first writable and then executable, never both at once.
    """
    try:
        return _load(code, symbol)
    except (struct.error, IndexError, ValueError, OverflowError) as error:  # outside of the file
        raise UnknownObject(f"the object is damaged: {error}") from None


def undefined_symbols(code: bytes) -> set[str] | None:
    """Return the undefined symbols of a 64-bit little-endian ELF file; None for another format."""
    if not code.startswith(_MAGIC):
        return None
    sections = _sections_of(code)
    found = (symbol for table in _tables(sections) for symbol in _symbols(code, sections, table))
    return {symbol.name for symbol in found if symbol.section == _UNDEFINED} - {""}


def _load(code: bytes, symbol: str) -> int:
    kind, machine = struct.unpack_from("<HH", code, 16)
    if not code.startswith(_MAGIC) or (kind, machine) != (_OBJECT, _X86_64):
        raise UnknownObject("the file is not an object file for x86-64")
    sections = _sections_of(code)
    if any(section.is_mapped() and section.size > len(code) for section in sections):
        raise UnknownObject("the object is truncated")
    places, n_bytes = _laid_out(sections)
    for section in sections:
        if section.flags & _WRITABLE and section.size:
            raise UnknownObject("the object has variables")
    image = bytearray(n_bytes)
    for number, place in places.items():
        section = sections[number]
        content = code[section.offset :][: section.size]
        if len(content) < section.size:
            raise UnknownObject("the object is truncated")
        image[place : place + section.size] = content
    table, *others = _tables(sections)
    if others:
        raise UnknownObject("the object has several symbol tables")
    symbols = list(_symbols(code, sections, table))
    entry = [s for s in symbols if s.name == symbol and s.section in places]
    if len(entry) != 1 or entry[0].value >= sections[entry[0].section].size:
        raise UnknownObject(f"the object code does not define {symbol}")
    if not sections[entry[0].section].flags & _CODE:
        raise UnknownObject(f"{symbol} is not a function")
    memory = _Memory(n_bytes)
    try:
        for section in sections:
            if section.kind in (_RELOCATIONS, _OTHER_RELOCATIONS) and section.info in places:
                _relocate(image, code, sections, section, places, symbols, memory.address)
        memory.make_code(image)
    except BaseException:
        memory.release()
        raise
    return memory.address + places[entry[0].section] + entry[0].value


def _sections_of(code: bytes) -> list[_Section]:
    (start,), (size, n) = struct.unpack_from("<Q", code, 40), struct.unpack_from("<HH", code, 58)
    return [_Section(*struct.unpack_from("<IIQQQQIIQQ", code, start + k * size)) for k in range(n)]


def _tables(sections: list[_Section]) -> list[_Section]:
    """Return the symbol tables."""
    return [section for section in sections if section.kind == _SYMBOLS]


def _symbols(code: bytes, sections: list[_Section], table: _Section) -> Iterator[_Symbol]:
    names = sections[table.link].offset
    content = code[table.offset : table.offset + table.size]
    for name, _, _, section, value, _ in struct.iter_unpack("<IBBHQQ", content):
        start = names + name
        yield _Symbol(code[start : code.index(b"\0", start)].decode("ascii"), section, value)


def _laid_out(sections: list[_Section]) -> tuple[dict[int, int], int]:
    """Return the place of each mapped section, and the total bytes."""
    places: dict[int, int] = {}
    end = 0
    for number, section in enumerate(sections):
        if section.is_mapped():
            aligned = section.alignment or 1
            if aligned > _MOST_ALIGNED or aligned & (aligned - 1):
                raise UnknownObject(f"a section has an alignment of {aligned} bytes")
            places[number] = -(-end // aligned) * aligned
            end = places[number] + section.size
    if not end:
        raise UnknownObject("the object contains no code")
    return places, -(-end // _PAGE) * _PAGE


def _relocate(
    image: bytearray,
    code: bytes,
    sections: list[_Section],
    listed: _Section,
    places: dict[int, int],
    symbols: list[_Symbol],
    base: int,
) -> None:
    """Apply the relocations of one section."""
    if listed.kind != _RELOCATIONS:
        raise UnknownObject("the object has relocations without addends")
    size, first = sections[listed.info].size, places[listed.info]
    content = code[listed.offset : listed.offset + listed.size]
    for offset, info, addend in struct.iter_unpack("<QQq", content):
        if info & 0xFFFFFFFF != _ADDRESS or offset + 8 > size:
            raise UnknownObject(f"the object has a relocation of kind {info & 0xFFFFFFFF}")
        symbol = symbols[info >> 32]
        if symbol.section == _UNDEFINED:
            target = _function(symbol.name)
        elif symbol.section in places:
            target = base + places[symbol.section] + symbol.value
        else:
            raise UnknownObject(f"the object refers to {symbol.name!r}, which is not in memory")
        struct.pack_into("<Q", image, first + offset, (target + addend) & (2**64 - 1))


@cache
def _function(name: str) -> int:
    """Return the address of a function of the C library."""
    if name not in _FUNCTIONS:
        raise UnknownObject(f"the object needs {name}, which is not supported")
    found = ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value
    if found is None:
        raise UnknownObject(f"the C library has no {name}")
    return found


class _Memory:
    """Pages of this process. Code is never freed: threads may run it until the process ends.

    `n_bytes` must be a multiple of the page size. UnknownObject if there are no pages.
    """

    def __init__(self, n_bytes: int) -> None:
        library, self._n_bytes = _c_library(), n_bytes
        found = library.mmap(
            None,
            n_bytes,
            mmap.PROT_READ | mmap.PROT_WRITE,
            mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
            -1,
            0,
        )
        if found in (None, ctypes.c_void_p(-1).value):
            raise UnknownObject(f"no memory for code: error {ctypes.get_errno()}")
        self.address: int = found

    def make_code(self, image: bytearray) -> None:
        """Fill the pages, and make them readable and executable; CodeRefused if forbidden."""
        ctypes.memmove(self.address, bytes(image), self._n_bytes)
        executable = mmap.PROT_READ | mmap.PROT_EXEC
        if _c_library().mprotect(self.address, self._n_bytes, executable):
            raise CodeRefused(os.strerror(ctypes.get_errno()))

    def release(self) -> None:
        """Free the pages, before any of their code has run."""
        _c_library().munmap(self.address, self._n_bytes)


@cache
def _c_library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    pages = ctypes.c_void_p, ctypes.c_size_t
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = *pages, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
    library.mprotect.argtypes = *pages, ctypes.c_int
    library.munmap.argtypes = pages
    return library
