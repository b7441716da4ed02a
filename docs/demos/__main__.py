"""`python -m docs.demos NAME` at the root of the repository; `make demo-NAME` does everything."""

from __future__ import annotations

from docs.demos.commands import app

if __name__ == "__main__":
    app()
