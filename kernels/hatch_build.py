"""The wheel's build: it compiles the hand-written kernels, which then need no compiler.

An editable install compiles them into the checkout, once. FASTFEAT_SHIP=0 leaves that to `make`,
which shows how far it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """The hook that hatchling looks for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernels into the package's folder, from which the wheel takes them."""
        if version == "editable" and os.environ.get("FASTFEAT_SHIP") == "0":
            return
        own = [self.root, str(Path(self.root) / "kernels")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(own)}
        command = [sys.executable, "-m", "fastfeat.engine.cpu.ship"]
        subprocess.run(command, cwd=self.root, env=environment, check=True)
        build_data["artifacts"] += ["kernels/fastfeat_kernels/objects/**"]
