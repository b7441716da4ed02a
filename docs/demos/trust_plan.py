"""Features of a flight that has just left, from possibly wrong data: the plan of the trust demo.

A plan is plain Python. `fastfeat fit trust_plan.py train.parquet -o trust.fastfeat` runs this file
and fits its variable `plan`.
"""

import fastfeat as ff
from fastfeat import col

NEW_YORK = "America/New_York"
leaves = col("time_hour").dt
delay = col("dep_delay")

plan = ff.Plan(
    {
        # when it leaves, and whether two columns agree about that
        "hour": leaves.hour(tz=NEW_YORK).cyclical(24),
        "weekday": leaves.weekday(tz=NEW_YORK).cyclical(7),
        "clock_differs": leaves.hour(tz=NEW_YORK) - col("hour"),
        # from where to where, and with whom
        "origin": col("origin").one_hot_encode(),
        "dest": col("dest").ordinal_encode(),
        "carrier": col("carrier").ordinal_encode(),
        "route": ff.cross("origin", "dest").target_encode("is_late", smooth=20),
        "distance": col("distance").log1p().standard_scale(),
        "plane_flights": col("tailnum").count_encode(normalize=True),
        # how late it left; missing where it never did
        "never_left": delay.is_null(),
        "left_late": (delay > 15).fill_null(False),
        "delay": delay.impute("median").robust_scale(),
        "delay_rank": delay.quantile_transform(),
        "delay_vs_carrier": delay - delay.median(by="carrier"),
    },
    label={"is_late": col("arr_delay") > 15},
    dtype="float32",
)
