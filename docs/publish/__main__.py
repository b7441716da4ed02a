"""`python -m docs.publish stage FOLDER` writes pages to build; `check FOLDER` reads the built."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.publish.check import problems
from docs.publish.stage import stage


def main(arguments: list[str]) -> int:
    """Stage or check a folder; return the exit code."""
    match arguments:
        case ["stage", folder]:
            print(f"{stage(Path(folder))} pages staged in {folder}")
            return 0
        case ["check", folder]:
            n_pages, found = problems(Path(folder))
            print("\n".join([*found, f"{n_pages} pages checked, {len(found)} problems"]))
            return 1 if found or not n_pages else 0
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
