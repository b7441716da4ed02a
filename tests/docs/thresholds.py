"""`python tests/docs/thresholds.py`: write the table of thresholds of docs/trust.md anew."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from fastfeat.trust.quality.thresholds import SECTIONS, FlagKey, GateKey, NumberKey, TextListKey

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trust.md"
BEGIN, END = "<!-- written by: python tests/docs/thresholds.py -->\n\n", "\n<!-- end -->\n"
HEAD = ["| in | word | is | takes | unless said |", "|---|---|---|---|---|"]


def main() -> None:
    """Write the page."""
    PAGE.write_text(refreshed(PAGE.read_text("utf-8")), "utf-8")


def refreshed(text: str) -> str:
    """Return the text of the page with the table that the sections give."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join([*HEAD, *rows()])
    return f"{before}{BEGIN}{table}\n{END}{after}"


def rows() -> Iterator[str]:
    """Yield a row for each word of each section."""
    for name, section in SECTIONS.items():
        for word, kind in section.words.items():
            own = word in section.named
            place = f"`[{name}]`" + (f", `[{name}.{section.of_names}.NAME]`" if own else "")
            told = f"{kind.told[0].lower()}{kind.told[1:]}".rstrip(".")
            yield f"| {place} | `{word}` | {told} | {' | '.join(takes(kind))} |"


def takes(kind: GateKey) -> tuple[str, str]:
    """Return what a word takes, and its default."""
    match kind:
        case NumberKey(_, low, high, default):
            bounds = f"from {low:g} on" if math.isinf(high) else f"{low:g} to {high:g}"
            return f"a number, {bounds}", "no limit" if default is None else f"{default:g}"
        case FlagKey(_, default):
            return "true or false", str(default).lower()
        case TextListKey(_, known, default):
            names = ", ".join(f"`{one}`" for one in known) or "names"
            return f"a list of {names}", ", ".join(f"`{one}`" for one in default) or "none"
        case _:
            assert_never(kind)


if __name__ == "__main__":
    main()
