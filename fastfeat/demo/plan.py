"""Features of a flight that has just left: will it land more than 15 minutes late?

A plan is plain Python. `fastfeat fit plan.py train.parquet -o flights.fastfeat` runs this file and
fits its `plan`.
"""

import fastfeat as ff
from fastfeat import col

NEW_YORK = "America/New_York"
REGIONAL = ["9E", "EV", "MQ", "OO", "YV"]
WEST_COAST = ["LAX", "OAK", "PDX", "SAN", "SEA", "SFO", "SJC"]

delay = col("dep_delay")
leaves = col("time_hour").dt
minute_of_day = col("sched_dep_time") // 100 * 60 + col("sched_dep_time") % 100
late = col("arr_delay") > 15

# A plane's flights in the last seven days, and in seven days that end 36 hours earlier, so that all
# have landed: the latest arrival of the year was 34 hours after its scheduled hour.
LANDED = "36h"
week = ff.window("7d", by="tailnum", time="time_hour")
landed = ff.window("7d", by="tailnum", time="time_hour", offset=LANDED)
# The weather measured during an hour is known when the hour is over.
weather = ff.asof("weather", by="origin", time="time_hour", delay="1h", tolerance="3h")

plan = ff.Plan(
    {
        # departure time in New York
        "hour": leaves.hour(tz=NEW_YORK).cyclical(24),
        "weekday": leaves.weekday(tz=NEW_YORK).cyclical(7),
        "day": leaves.ordinal_day(tz=NEW_YORK).cyclical(365),
        "minute": minute_of_day.cyclical(1440),
        "is_weekend": leaves.is_weekend(tz=NEW_YORK),
        # route and carrier
        "origin": col("origin").replace_strict({"EWR": 0, "JFK": 1, "LGA": 2}),
        "is_west_coast": col("dest").is_in(WEST_COAST),
        "is_regional": col("carrier").is_in(REGIONAL),
        "carrier": col("carrier").ordinal_encode(min_frequency=100),
        "carrier_flights": col("carrier").count_encode(normalize=True),
        "route": ff.cross("origin", "dest").target_encode("is_late", smooth=20),
        "distance": col("distance").log1p().standard_scale(),
        "distance_vs_carrier": col("distance") - col("distance").mean(by="carrier"),
        "distance_band": col("distance").cut([250, 500, 1000, 2000]),
        # departure delay; missing if the flight never left
        "never_left": delay.is_null(),
        "left_late": (delay > 15).fill_null(False),
        "delay": delay.impute("median").robust_scale(),
        "delay_vs_origin": delay - delay.median(by="origin"),
        "delay_log": delay.sign() * delay.abs().log1p(),
        "delay_clipped": delay.clip(delay.quantile(0.01), delay.quantile(0.99)).min_max_scale(),
        "delay_rank": delay.quantile_transform(),
        "delay_decile": delay.qcut(10),
        "delay_per_mile": delay / col("distance"),
        # earlier flights of the plane; missing without a tail number
        "flights_7d": ff.count(over=week),
        "hours_since_last": ff.time_since_last(over=week) / 3600,
        "speed_7d": (col("distance") / (col("air_time") / 60)).mean(over=landed),
        "arr_delay_7d": col("arr_delay").mean(over=landed),
        "late_7d": late.mean(over=landed),
        # the weather at the scheduled departure
        "temp": weather.col("temp"),
        "wind_speed": weather.col("wind_speed"),
        "visibility": weather.col("visib"),
        "rain": weather.col("precip"),
    },
    label={"is_late": late},
    label_delay=LANDED,
    outcomes=["arr_time", "air_time"],
    dtype="float32",
)
