"""`python tests/docs/folders.py`: write the table of folders of `contributing/layout.md` anew."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "contributing" / "layout.md"
BEGIN, END = "<!-- written by: python tests/docs/folders.py -->\n\n", "\n<!-- end -->\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(refreshed(PAGE.read_text("utf-8")), "utf-8")


def refreshed(text: str) -> str:
    """Return the text of the page with the table that the folders give."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = [f"| `{folder}/` | {sentence} |" for folder, sentence in sentences()]
    table = "\n".join(["| folder | what stands there |", "|---|---|", *rows])
    return f"{before}{BEGIN}{table}\n{END}{after}"


def sentences() -> Iterator[tuple[str, str]]:
    """Yield each folder of the packages, and the first sentence of its docstring."""
    for package in ("fastfeat", "kernels/fastfeat_kernels"):
        for file in sorted((ROOT / package).rglob("__init__.py"), key=lambda file: file.parts[:-1]):
            if package.startswith("kernels") and file.parent.name in ("cpu", "cuda"):
                continue  # told once for all on the page
            told = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
            first = re.split(r"(?<=\.)\s", " ".join(told.split("\n\n")[0].split()), maxsplit=1)[0]
            yield file.parent.relative_to(ROOT).as_posix(), first.replace("|", r"\|")


if __name__ == "__main__":
    main()
