"""The addresses that pickles name: they stay where they are when other code moves.

A pickle names a function by its module, and later versions read it. So plans and contracts are
pickled by functions of this module, whose names, arguments and place do not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any


def plan_of(text: str) -> Any:
    """Return the `Plan` of its JSON."""
    return import_module("fastfeat.api.plan").Plan.from_json(text)


def fitted_of(content: bytes) -> Any:
    """Return the `FittedPlan` of the content of its artifact."""
    return import_module("fastfeat.api.plan").fitted_of(content)


def contract_of(text: str) -> Any:
    """Return the `Contract` of its JSON."""
    return import_module("fastfeat.trust.quality.contract").Contract.from_json(text)


def set_fields(value: Any, state: Sequence[Any]) -> None:
    """Set the fields of a dataclass with slots from its pickle: its `__setstate__`.

    Such a pickle holds values by position. New fields stand after older ones and have a default,
    which they take from a pickle of an earlier version.
    """
    for number, field in enumerate(fields(value)):
        if number < len(state):
            one = state[number]
        else:
            one = field.default if field.default_factory is MISSING else field.default_factory()
            assert one is not MISSING, f"{field.name} is newer than a pickle, and has no default"
        object.__setattr__(value, field.name, one)  # the dataclass may be frozen
