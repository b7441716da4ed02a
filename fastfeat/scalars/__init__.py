"""The table of scalar functions: what each row function means, by type.

A new function is a row in the `FUNCTIONS` of a module, and its name here. `aggregates` and what
stands above import the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastfeat.first_use import Rows

if TYPE_CHECKING:
    from fastfeat.scalars.value import ScalarFunction

SCALARS: Rows[ScalarFunction] = Rows(
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
        "learnt": "scale_or_one interpolate_rank",
        "membership": "is_in is_between replace_strict",
        "power": "yeo_johnson box_cox",
        "rounding": "floor ceil round clip is_finite is_infinite fill_infinite",
        "splines": "spline_basis",
        "truncation": "dt.truncate",
        "zone_replacement": "dt.replace_time_zone",
    },
)
