"""Writes `unicode_table.py` from Python's `unicodedata`: `python generate.py > unicode_table.py`.

Python 3.13 wrote the shipped table. `str.upper` and `str.lower` give the full mapping of a code
point. If that is longer than one code point, the simple mapping of UnicodeData.txt is found as
follows. Upper: the title-case mapping if it is one code point (the Greek letters with iota
subscript), else none. Lower: only U+0130 has such a full mapping, and its simple one is "i".
White_Space of PropList.txt is `str.isspace` without the separators U+001C to U+001F.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable

CodePointRun = tuple[int, int, int, int]


def upper_of(character: str) -> str:
    """Return the simple upper-case mapping of a character."""
    mapped = character.upper()
    title = character.title()
    return mapped if len(mapped) == 1 else title if len(title) == 1 else character


def lower_of(character: str) -> str:
    """Return the simple lower-case mapping of a character."""
    mapped = character.lower()
    return mapped if len(mapped) == 1 else "i"


def runs_of(mapping: Callable[[str], str]) -> list[CodePointRun]:
    """Return the runs (first, last, step, difference) of code points that a mapping changes."""
    runs: list[CodePointRun] = []
    for code in range(sys.maxunicode + 1):
        difference = ord(mapping(chr(code))) - code
        if difference == 0:
            continue
        if runs and runs[-1][3] == difference:
            first, last, step, _ = runs[-1]
            if code - last == step or (first == last and code - last <= 2):
                runs[-1] = (first, code, code - last, difference)
                continue
        runs.append((code, code, 1, difference))
    return runs


def white_space() -> list[int]:
    """Return the code points with the property White_Space."""
    codes = [code for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    return [code for code in codes if not 0x1C <= code <= 0x1F]


def main() -> None:
    """Print the module."""
    print('"""Simple case mappings and white space of Unicode; written by `generate.py`."""\n')
    print("from __future__ import annotations\n")
    print("from typing import Final\n")
    print("# fmt: off")
    print(f'UNICODE_VERSION: Final = "{unicodedata.unidata_version}"\n')
    print("# Runs (first, last, step, difference) of the code points that a mapping changes.")
    print("Runs = tuple[tuple[int, int, int, int], ...]")
    for name, mapping in (("LOWERCASE", lower_of), ("UPPERCASE", upper_of)):
        print(f"{name}: Final[Runs] = (")
        for first, last, step, difference in runs_of(mapping):
            print(f"    (0x{first:04X}, 0x{last:04X}, {step}, {difference}),")
        print(")")
    print("WHITE_SPACE: Final[tuple[int, ...]] = (")
    for code in white_space():
        print(f"    0x{code:04X},")
    print(")")


if __name__ == "__main__":
    main()
