"""Aggregates are tested on the columns in memory that the kernels are tested on."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "kernels"))
