"""The table of scalar functions: what each row function means, by type."""

from __future__ import annotations

from fastfeat.scalars import (
    arithmetic,
    bins,
    boolean,
    calendar_parts,
    cast,
    choice,
    comparison,
    learnt,
    membership,
    periodic,
    rounding,
    truncation,
)
from fastfeat.scalars.value import ScalarFunction

SCALARS: dict[str, ScalarFunction] = {
    **arithmetic.FUNCTIONS,
    **bins.FUNCTIONS,
    **boolean.FUNCTIONS,
    **calendar_parts.FUNCTIONS,
    **cast.FUNCTIONS,
    **choice.FUNCTIONS,
    **comparison.FUNCTIONS,
    **learnt.FUNCTIONS,
    **membership.FUNCTIONS,
    **periodic.FUNCTIONS,
    **rounding.FUNCTIONS,
    **truncation.FUNCTIONS,
}
