"""The registry of scalar functions, which compute a value of a row from values of the same row.

A kernel is compiled code that computes features for all rows. To make one, every call is lowered:
the function's registry entry (`value.ScalarFunction`) turns the arguments into a graph of primitive
operations (`op.Op`). So the functions in this folder build operations; they do not compute.

A new function is an entry in the `FUNCTIONS` of a module, and its name here. `aggregates` and the
layers above it import the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastfeat.first_use import LazyRows

if TYPE_CHECKING:
    from fastfeat.scalars.value import ScalarFunction

SCALARS: LazyRows[ScalarFunction] = LazyRows(
    "fastfeat.scalars.{}:FUNCTIONS",
    {
        "arithmetic": "add sub mul div floordiv mod pow neg abs sign",
        "binning": "bin bin_inside",
        "boolean": "and or xor not",
        "calendar": (
            "dt.year dt.quarter dt.month dt.week dt.weekday dt.day dt.ordinal_day dt.hour "
            "dt.minute dt.second dt.millisecond dt.microsecond dt.nanosecond "
            "dt.is_leap_year dt.is_weekend dt.is_month_start dt.is_month_end "
            "dt.is_quarter_end dt.days_in_month dt.date dt.epoch dt.total_days "
            "dt.total_hours dt.total_minutes dt.total_seconds dt.total_milliseconds "
            "dt.total_microseconds dt.total_nanoseconds"
        ),
        "cast": "cast",
        "categories": "category_count category_share cross is_code one_hot",
        "choice": (
            "when coalesce fill_null is_null is_not_null min_horizontal max_horizontal "
            "sum_horizontal mean_horizontal"
        ),
        "comparison": "eq ne lt le gt ge",
        "cyclical": "cyclical_sin cyclical_cos",
        "elementary_functions": (
            "cbrt exp expm1 log1p log2 log10 arcsin arccos arctan sinh cosh tanh sigmoid "
            "normal_quantile sin cos tan sqrt log"
        ),
        "hashing": "hash",
        "constant_scale": "scale_or_one",
        "rank_interpolation": "interpolate_rank",
        "membership": "is_in is_between replace_strict",
        "power": "yeo_johnson box_cox",
        "rounding": "floor ceil round clip is_finite is_infinite fill_infinite",
        "splines": "spline_basis",
        "truncation": "dt.truncate",
        "zone_replacement": "dt.replace_time_zone",
    },
)
LAYOUTS: LazyRows[Callable[[Any, int], list[Any]]] = LazyRows(
    "fastfeat.scalars.{}:LAYOUTS",
    {
        "local_time": "zone_changes zone_offsets",
        "spline_knots": (
            "spline_starts spline_knots_0 spline_knots_1 spline_knots_2 spline_knots_3 "
            "spline_knots_4 spline_knots_5 spline_knots_6 spline_knots_7 spline_knots_8 "
            "spline_knots_9 spline_knots_10 periodic_knots_0 periodic_knots_1 "
            "periodic_knots_2 periodic_knots_3 periodic_knots_4 periodic_knots_5 "
            "periodic_knots_6 periodic_knots_7 periodic_knots_8 periodic_knots_9 "
            "periodic_knots_10"
        ),
        "table": (
            "edges inner_edges knots first_of_ties padded bits category_counts category_rows "
            "groups groups_of_folds groups_present"
        ),
    },
)
"""Layouts of tables in kernels: functions of (elements or learnt values, length)."""
