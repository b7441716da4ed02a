"""Smaller floats: the features that fit a narrower type, and the rounding errors."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import counted, shortened
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import Table, pa
from fastfeat.io.sinks import results as result_forms
from fastfeat.ir.dtypes import FLOAT_FORMATS
from fastfeat.markup.html import short, table
from fastfeat.trust.quality.profile import Profile
from fastfeat.trust.quality.rounding import NARROW, Rounding, roundings_of
from fastfeat.trust.report.page import section

MOST_ROWS = 2_048
"""Largest number of evenly spaced rows to round; profiles tell whether all values fit."""


@dataclass(frozen=True, slots=True)
class SmallerFloats:
    """The rounding errors of float features in types that are narrower than their own.

    Args:
        of_features: Rounding errors by name of the feature and of the type.
        n_rows: Number of rows that were rounded.
        own: Float type of the features.
    """

    of_features: Mapping[str, Mapping[str, Rounding]]
    n_rows: int
    own: str


def smaller_floats(fitted: Fitted, features: Table) -> SmallerFloats:
    """Return the rounding errors of computed features, from up to `MOST_ROWS` of their rows."""
    own = fitted.declaration.dtype or "float64"
    narrower = [name for name in NARROW if FLOAT_FORMATS[name].n_bits < FLOAT_FORMATS[own].n_bits]
    n_rows = features.num_rows
    n_sampled = min(n_rows, MOST_ROWS)
    numbers = np.arange(n_sampled, dtype=np.int64) * n_rows // max(n_sampled, 1)
    sampled = features.take(pa.array(numbers)).combine_chunks()
    found: dict[str, Mapping[str, Rounding]] = {}
    for name, node in fitted.nodes.items():
        if fitted.types[node].is_float:
            chunks = [result_forms.float_values(chunk) for chunk in sampled.column(name).chunks]
            values = np.concatenate([np.zeros(0), *chunks]).astype(np.float64)
            found[name] = roundings_of(values, narrower)
    return SmallerFloats(found if narrower else {}, n_sampled, own)


def smaller_section(smaller: SmallerFloats | None, *profiles: Profile | None) -> str:
    """Return the section on smaller floats as HTML, with a table row per type.

    "" if no type is smaller. `profiles` cover all rows, and so give the largest values.
    """
    if smaller is None or not smaller.of_features or not smaller.n_rows:
        return ""
    names = list(next(iter(smaller.of_features.values())))
    rows = [_row(smaller, name, profiles) for name in names]
    told = (
        f"Errors from rounding {counted(smaller.n_rows, 'row')} of {smaller.own} features to each "
        'type. Plan(dtype="float16") computes such a matrix. Whether a type can hold all values '
        "was checked on all rows and on the training profile."
    )
    titles = ("type", "features that fit", "largest error", "rms error", "do not fit")
    return section("Smaller floats", told, f'<div class="wide">{table(titles, rows)}</div>')


def _row(smaller: SmallerFloats, dtype: str, profiles: tuple[Profile | None, ...]) -> list[str]:
    """Return the HTML table cells on one float type."""
    of_type = {name: found[dtype] for name, found in smaller.of_features.items()}
    bad = [
        name
        for name, found in of_type.items()
        if not found.fits or _is_beyond(name, dtype, profiles)
    ]
    held = {name: found for name, found in of_type.items() if name not in set(bad)}
    worst = max(held, key=lambda name: held[name].largest_relative, default=None)
    costs = ["–", "–"]
    if worst is not None:
        largest = f"{100 * held[worst].largest_relative:.2g} % ({short(worst)})"
        costs = [largest, f"{100 * max(of.rms_relative for of in held.values()):.2g} %"]
    not_held = shortened(map(short, bad)) if bad else ""
    texts = [dtype, f"{len(held):,} of {counted(len(of_type), 'feature')}", *costs, not_held]
    return [escape(text) for text in texts]


def _is_beyond(name: str, dtype: str, profiles: tuple[Profile | None, ...]) -> bool:
    """Return whether any value of a feature in the profiles exceeds a type's largest number."""
    least = FLOAT_FORMATS[dtype].rounds_to_infinity
    columns = [of.features[name] for of in profiles if of is not None and name in of.features]
    return any(max(-column.least, column.greatest) >= least for column in columns)
