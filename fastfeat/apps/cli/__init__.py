"""The command line; `fastfeat --help` lists the commands.

It may import every other folder, each when a command needs it; no folder imports it.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; without typer, print how to install it."""
    try:
        from fastfeat.apps.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        print("the command line needs typer: pip install 'fastfeat[cli]'", file=sys.stderr)
        sys.exit(2)
    app()
