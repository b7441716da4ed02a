"""Parameters of which some are tested in each run, the others now and then; see `conftest.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_always(values: Iterable[Any], n_always: int = 1) -> list[Any]:
    """Return parameters, the first of them for each run, the others `sampled`.

    Args:
        values: a parameter each, or as a tuple several.
        n_always: how many of the first.
    """
    known = list(values)
    others = [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.sampled)
        for value in known[n_always:]
    ]
    return [*known[:n_always], *others]
