"""Steps in exported C: a row per step, with the text that computes it from the row's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastfeat.execute.fitted import Fitted
from fastfeat.export.c.layout import Field
from fastfeat.export.c.writer import CWriter
from fastfeat.ir.node import Aggregate, Call
from fastfeat.scalars.value import InputSlot

StepText = Callable[[CWriter, Call, Field], list[str]]
"""Returns the statements that compute a step into its field."""

STEPS: Mapping[str, StepText] = {}


def unsupported(fitted: Fitted, node: Call | Aggregate) -> str | None:
    """Return the reason why a step has no text in C; None if it has one."""
    if isinstance(node, Call) and node.function in STEPS:
        return None
    return f"{node.function} has no form in C"


def add_step(writer: CWriter, node: Call) -> None:
    """Add a step: its field, and the function that computes it."""
    target = writer.struct.add(node, writer.fitted.types[node])
    writer.add_function("step", STEPS[node.function](writer, node, target))


def add_slot(writer: CWriter, slot: InputSlot) -> None:
    """Add the field of an input that a program reads from text."""
    raise AssertionError(slot.kind)
