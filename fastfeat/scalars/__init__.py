"""The table of scalar functions: what each row function means, by type.

`aggregates` and what stands above import it.
"""

from __future__ import annotations

from fastfeat.scalars import (
    arithmetic,
    binning,
    boolean,
    calendar,
    cast,
    categories,
    choice,
    comparison,
    cyclical,
    elementary_functions,
    hashing,
    learnt,
    membership,
    power,
    rounding,
    splines,
    truncation,
    zone_replacement,
)
from fastfeat.scalars.value import ScalarFunction

SCALARS: dict[str, ScalarFunction] = {
    **arithmetic.FUNCTIONS,
    **binning.FUNCTIONS,
    **boolean.FUNCTIONS,
    **calendar.FUNCTIONS,
    **cast.FUNCTIONS,
    **categories.FUNCTIONS,
    **choice.FUNCTIONS,
    **comparison.FUNCTIONS,
    **cyclical.FUNCTIONS,
    **elementary_functions.FUNCTIONS,
    **hashing.FUNCTIONS,
    **learnt.FUNCTIONS,
    **membership.FUNCTIONS,
    **power.FUNCTIONS,
    **rounding.FUNCTIONS,
    **splines.FUNCTIONS,
    **truncation.FUNCTIONS,
    **zone_replacement.FUNCTIONS,
}
