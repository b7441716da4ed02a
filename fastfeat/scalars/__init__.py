"""The table of scalar functions: what each row function means, by type."""

from __future__ import annotations

from fastfeat.scalars import (
    arithmetic,
    boolean,
    cast,
    choice,
    comparison,
    learnt,
    membership,
    rounding,
    temporal,
)
from fastfeat.scalars.value import ScalarFunction

SCALARS: dict[str, ScalarFunction] = {
    **arithmetic.FUNCTIONS,
    **boolean.FUNCTIONS,
    **cast.FUNCTIONS,
    **choice.FUNCTIONS,
    **comparison.FUNCTIONS,
    **learnt.FUNCTIONS,
    **membership.FUNCTIONS,
    **rounding.FUNCTIONS,
    **temporal.FUNCTIONS,
}
