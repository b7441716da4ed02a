"""`python tests/docs/thresholds.py`: write the table of thresholds of docs/trust.md anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fastfeat.calls.options import Option, type_of, words_of
from fastfeat.trust.quality.thresholds import SECTIONS

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
            told = f"{kind.about[0].lower()}{kind.about[1:]}".rstrip(".")
            yield f"| {place} | `{word}` | {told} | {words_of(type_of(kind))} | {default(kind)} |"


def default(row: Option) -> str:
    """Return the default of a word."""
    match row.default:
        case None:
            return "no limit"
        case bool() as flag:
            return str(flag).lower()
        case float() as number:
            return f"{number:g}"
        case names:
            return ", ".join(f"`{one}`" for one in names) or "none"


if __name__ == "__main__":
    main()
