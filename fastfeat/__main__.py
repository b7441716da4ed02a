"""`python -m fastfeat`: the command line, as `fastfeat` is."""

from __future__ import annotations

from fastfeat.apps.cli import main

if __name__ == "__main__":
    main()
