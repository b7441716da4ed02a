"""The wheel's build: it compiles the hand-written kernels, which then need no compiler.

An editable install compiles them into the checkout, once. With FASTFEAT_SHIP=0 nothing is compiled:
`make` does that itself, where it is of use, and shows how far it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _is_left_to_make() -> bool:
    return os.environ.get("FASTFEAT_SHIP") == "0"


class CustomBuildHook(BuildHookInterface[Any]):
    """The hook that hatchling looks for."""

    def dependencies(self) -> list[str]:
        """Return the packages that compile the kernels."""
        return [] if _is_left_to_make() else ["numba>=0.62", "numpy>=2.0"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernels into the package's folder, from which the wheel takes them."""
        if _is_left_to_make():
            return
        root = Path(__file__).parents[1]
        # by PYTHONPATH pip names the folder in which it has installed what the build needs
        given = os.environ.get("PYTHONPATH")
        own = [str(root), str(root / "kernels"), *([given] if given else [])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(own)}
        command = [sys.executable, "-m", "fastfeat.engine.cpu.ship"]
        subprocess.run(command, cwd=root, env=environment, check=True)
        build_data["artifacts"] += ["kernels/fastfeat_kernels/objects/**"]
