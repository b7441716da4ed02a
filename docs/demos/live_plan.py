"""Features of a flight that has just left, from data known at that moment and not an hour later.

Its plane, its carrier and its route each have a past. Its landing is known at the latest 36 hours
after its scheduled departure. `fastfeat stream` evaluates this plan as flights leave, and gives the
same bits as `transform` over the whole year.
"""

import fastfeat as ff
from fastfeat import col
from fastfeat.operators.windows import Window

NEW_YORK = "America/New_York"
LANDED = "36h"

delay = col("dep_delay")
late = col("arr_delay") > 15
leaves = col("time_hour").dt


def window(last: str, by: str | list[str], offset: str | None = None) -> Window:
    """Return earlier flights of a plane, a carrier or a route."""
    return ff.window(last, by=by, time="time_hour", offset=offset)


plane, carrier, route = "tailnum", "carrier", ["origin", "dest"]
# What the airport measured in an hour is known when the hour is over.
weather = ff.asof("weather", by="origin", time="time_hour", delay="1h", tolerance="3h")

plan = ff.Plan(
    {
        "hour": leaves.hour(tz=NEW_YORK).cyclical(24),
        "weekday": leaves.weekday(tz=NEW_YORK).cyclical(7),
        "carrier": col("carrier").ordinal_encode(min_frequency=100),
        "distance": col("distance").log1p().standard_scale(),
        "delay": delay.impute("median").robust_scale(),
        "left_late": (delay > 15).fill_null(False),
        # what the plane has done, and how late it was where it has landed
        "plane_flights_7d": ff.count(over=window("7d", plane)),
        "plane_hours_idle": ff.time_since_last(over=window("7d", plane)) / 3600,
        "plane_speed_7d": (col("distance") / (col("air_time") / 60)).mean(
            over=window("7d", plane, LANDED)
        ),
        "plane_arr_delay_7d": col("arr_delay").mean(over=window("7d", plane, LANDED)),
        # how the carrier's day goes, and how late it was the day before
        "carrier_delay_1d": delay.mean(over=window("1d", carrier)),
        "carrier_spread_1d": delay.std(over=window("1d", carrier)),
        "carrier_late_1d": late.mean(over=window("1d", carrier, LANDED)),
        # and the route's
        "route_flights_2d": ff.count(over=window("2d", route)),
        "route_worst_1d": delay.max(over=window("1d", route)),
        "route_late_2d": late.mean(over=window("2d", route, LANDED)),
        # the weather when it was to leave
        "temp": weather.col("temp"),
        "wind_speed": weather.col("wind_speed"),
        "visibility": weather.col("visib"),
        "rain": weather.col("precip"),
    },
    label={"is_late": late},
    label_delay=LANDED,
    outcomes=["air_time"],
    row_id="flight_id",
    dtype="float32",
)
