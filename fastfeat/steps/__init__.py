"""The table of steps: functions of whole columns, run between the programs over rows."""

from __future__ import annotations

from fastfeat.ir.node import Call, Node
from fastfeat.steps.encode import ENCODE
from fastfeat.steps.fold import FOLD, TIME_FOLD
from fastfeat.steps.lists import LISTS
from fastfeat.steps.lookup import LOOKUP_ROW, LOOKUP_VALUE
from fastfeat.steps.step import Argument, StepFailed, StepFunction

STEPS: dict[str, StepFunction] = {
    "encode": ENCODE,
    "lookup_row": LOOKUP_ROW,
    "lookup_value": LOOKUP_VALUE,
    **LISTS,
    "fold": FOLD,
    "time_fold": TIME_FOLD,
}


def is_step(node: Node) -> bool:
    """Return whether a node is a call of a step."""
    return isinstance(node, Call) and node.function in STEPS


__all__ = ["STEPS", "Argument", "StepFailed", "StepFunction", "is_step"]
