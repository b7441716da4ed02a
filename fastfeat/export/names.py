"""Names of columns in exported text: identifiers, and literals with every odd byte escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastfeat.errors import InvalidPlan

_PLAIN = re.compile(r"[a-z][a-z0-9_]*\Z")
_EXPORT = re.compile(r"(?!ff_)[a-z][a-z0-9_]{0,30}\Z")
RESERVED = frozenset(
    """
    alignas alignof and and_eq asm assert atomic_cancel atomic_commit atomic_noexcept auto bitand
    bitor bool break case catch char char8_t char16_t char32_t class compl complex concept const
    const_cast const_eval consteval constexpr constinit continue co_await co_return co_yield
    decltype default delete do double dynamic_cast else enum errno explicit export extern false far
    float for friend goto i386 if imaginary import inline int interface linux long module mutable
    namespace near new noexcept noreturn not not_eq nullptr operator or or_eq private protected
    public reflexpr register reinterpret_cast requires restrict return short signed sizeof small
    static static_assert static_cast stderr stdin stdout struct switch synchronized template this
    thread_local throw true try typedef typeid typename typeof typeof_unqual unix union unsigned
    using valid virtual void volatile wchar_t while xor xor_eq
    """.split()  # noqa: SIM905  # a list of 120 strings is no table to read
)
"""Keywords of C and C++, macros of their headers in lower case, and `valid`, a field of ours."""


HEADERS = frozenset(
    """
    assert complex ctype elf endian errno fcntl features fenv float inttypes iso646 limits link
    locale malloc math memory poll sched semaphore setjmp signal stdalign stdarg stdatomic stdbool
    stddef stdint stdio stdlib stdnoreturn string strings syslog tgmath threads time uchar unistd
    values wchar wctype
    """.split()  # noqa: SIM905
)
"""Headers of the system, which `NAME.h` would hide from a compiler that looks in its folder."""


def identifiers(names: Sequence[str]) -> list[str]:
    """Return an identifier for each column name: the name itself if it may be one, else its number.

    Example:
        >>> identifiers(["distance", "Speed", "for"])
        ['distance', 'column_1', 'column_2']
    """
    plain = {name for name in names if _PLAIN.match(name) and name not in RESERVED}
    numbered = {f"column_{k}" for k in range(len(names))}
    return [
        name if name in plain and (name not in numbered or name == f"column_{k}") else f"column_{k}"
        for k, name in enumerate(names)
    ]


def c_literal(text: str | bytes) -> str:
    """Return a text as a literal of C; bytes outside of letters, digits and "_-. " are octal.

    Example:
        >>> c_literal('a"b')
        '"a\\\\042b"'
    """
    plain = b"_-. "
    parts = (
        chr(byte) if byte < 128 and (chr(byte).isalnum() or byte in plain) else f"\\{byte:03o}"
        for byte in (text if isinstance(text, bytes) else text.encode(errors="surrogateescape"))
    )
    return f'"{"".join(parts)}"'


def checked_name(name: object) -> str:
    """Return the name of an export; raise `InvalidPlan` unless it can begin an identifier."""
    if isinstance(name, str) and name in HEADERS:
        raise InvalidPlan(f"name={name!r}: {name}.h would hide a header of the system. Use another")
    if isinstance(name, str) and _EXPORT.match(name) and name != "ff":
        return name
    raise InvalidPlan(
        f"name={name!r}: the name of an export begins the names of its functions. Use 1 to 31 "
        "letters a to z, digits and underscores, a letter first, such as 'flights'; ff is taken"
    )
