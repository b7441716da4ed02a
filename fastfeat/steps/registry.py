"""The table of steps: functions of whole columns, run between the programs over rows."""

from __future__ import annotations

from collections.abc import Mapping

from fastfeat.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Literal, Node
from fastfeat.steps.keys import rows as hashing
from fastfeat.steps.keys.rows import ENCODE
from fastfeat.steps.lists.rows import LISTS
from fastfeat.steps.step import Argument, StepFailed, StepFunction
from fastfeat.steps.tables.rows import ASOF_ROW, LOOKUP_ROW, LOOKUP_VALUE
from fastfeat.steps.targets.rows import FOLD
from fastfeat.steps.targets.time_folds import TIME_FOLD, TIME_FOLD_KNOWN
from fastfeat.steps.text import choice, patterns
from fastfeat.steps.text import rows as text
from fastfeat.steps.windows import rows as windows
from fastfeat.steps.windows import table_rows as table_windows

STEPS: dict[str, StepFunction] = {
    "asof_row": ASOF_ROW,
    "encode": ENCODE,
    "lookup_row": LOOKUP_ROW,
    "lookup_value": LOOKUP_VALUE,
    **LISTS,
    "fold": FOLD,
    "time_fold": TIME_FOLD,
    "time_fold_known": TIME_FOLD_KNOWN,
    **hashing.STEPS,
    **patterns.STEPS,
    **table_windows.STEPS,
    **text.STEPS,
    **windows.STEPS,
}
OF_CONTENT: dict[str, StepFunction] = {**choice.OF_CONTENT, **hashing.OF_CONTENT}
"""Scalar functions that are steps where an argument is text or bytes."""
PARTS_OF_WINDOWS = frozenset(part for step in STEPS.values() for part in step.ends_with)
"""The functions that are no values of rows: windows, and what orders rows."""


def is_step(node: Node, types: Mapping[Node, DType]) -> bool:
    """Return whether a node is a column that is made: by a step, or of a text that fit has learnt.

    Args:
        node: of a plan.
        types: type of every node.
    """
    if isinstance(node, Aggregate):
        return types[node].holds_bytes
    if not isinstance(node, Call) or node.function in PARTS_OF_WINDOWS:
        return False
    if node.function in OF_CONTENT:
        return any(types[arg].holds_bytes for arg in node.args)
    return node.function in STEPS


def step_function(call: Call) -> StepFunction:
    """Return the row of a call that is a step."""
    return STEPS.get(call.function) or OF_CONTENT[call.function]


def is_constant_step(node: Call, texts: set[Node]) -> bool:
    """Return whether a call of constants is a step.

    Args:
        node: a call whose arguments are constants.
        texts: the constants that are text, among all nodes below; this one is added if it is one.
    """
    if node.function not in OF_CONTENT:
        return node.function in STEPS
    of_text = any(isinstance(a, Literal) and isinstance(a.value, str) for a in node.args)
    if of_text or not texts.isdisjoint(node.args):
        texts.add(node)
        return True
    return False


__all__ = [
    "OF_CONTENT",
    "PARTS_OF_WINDOWS",
    "STEPS",
    "Argument",
    "StepFailed",
    "StepFunction",
    "is_constant_step",
    "is_step",
    "step_function",
]
