"""The parts of `Plan` and of `FittedPlan` that methods in other modules of this folder read."""

from __future__ import annotations

from typing import Protocol

from fastfeat.execute.fitted import Fitted
from fastfeat.plan.declare.declaration import Declaration


class OfDeclaration(Protocol):
    """A `Plan`."""

    @property
    def declaration(self) -> Declaration: ...


class OfRecord(Protocol):
    """A `FittedPlan`."""

    @property
    def record(self) -> Fitted: ...
