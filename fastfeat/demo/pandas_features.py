# pyright: basic
"""The features of the demo, as one would write them by hand in pandas and NumPy (no type stubs)."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from fastfeat.demo.plan import NEW_YORK, REGIONAL, WEST_COAST

N_QUANTILES = 1000
SMOOTH = 20
HOUR = np.timedelta64(1, "h")
LANDED = 36 * HOUR

PandasFrame = Any
LearntByName = dict[str, Any]


def fit(flights: PandasFrame) -> LearntByName:
    """Return the values learned from training rows, by name."""
    distance, delay = np.log1p(flights["distance"]), flights["dep_delay"]
    imputed = delay.fillna(delay.median())
    low, high = delay.quantile(0.01), delay.quantile(0.99)
    clipped = delay.clip(low, high)
    known = delay.dropna().to_numpy()
    carriers = (
        flights["carrier"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    )
    late = (flights["arr_delay"] > 15)[flights["arr_delay"].notna()]
    routes = late.groupby([flights["origin"], flights["dest"]]).agg(["sum", "count"])
    prior = late.mean()
    return {
        "carriers": {name: 2 + k for k, name in enumerate(carriers[carriers >= 100].index)},
        "carrier_share": carriers / len(flights),
        "routes": (routes["sum"] + SMOOTH * prior) / (routes["count"] + SMOOTH),
        "prior": prior,
        "distance_of_carrier": flights.groupby("carrier")["distance"].mean(),
        "delay_of_origin": flights.groupby("origin")["dep_delay"].median(),
        "distance_mean": distance.mean(),
        "distance_std": distance.std(ddof=0),
        "median": delay.median(),
        "centre": imputed.median(),
        "spread": imputed.quantile(0.75) - imputed.quantile(0.25),
        "clip": (low, high),
        "range": (clipped.min(), clipped.max()),
        "deciles": np.unique(np.quantile(known, np.arange(1, 10) / 10)),
        "quantiles": np.quantile(known, np.linspace(0, 1, N_QUANTILES)),
    }


def transform(flights: PandasFrame, learnt: LearntByName, weather: PandasFrame) -> PandasFrame:
    """Return the features of flights in order of their hour.

    `flights` must include the earlier flights of each plane, which windows see.
    """
    import pandas as pd

    leaves = flights["time_hour"].dt.tz_convert(NEW_YORK).dt
    scheduled, delay, distance = (
        flights["sched_dep_time"],
        flights["dep_delay"],
        flights["distance"],
    )
    low, high = learnt["range"]
    routes = pd.MultiIndex.from_frame(flights[["origin", "dest"]])
    features = {
        **_cyclical("hour", leaves.hour, 24),
        **_cyclical("weekday", leaves.day_of_week + 1, 7),
        **_cyclical("day", leaves.day_of_year, 365),
        **_cyclical("minute", scheduled // 100 * 60 + scheduled % 100, 1440),
        "is_weekend": leaves.day_of_week >= 5,
        "origin": flights["origin"].map({"EWR": 0, "JFK": 1, "LGA": 2}),
        "is_west_coast": flights["dest"].isin(WEST_COAST),
        "is_regional": flights["carrier"].isin(REGIONAL),
        "carrier": flights["carrier"].map(learnt["carriers"]).fillna(1),
        "carrier_flights": flights["carrier"].map(learnt["carrier_share"]).fillna(0),
        "route": learnt["routes"].reindex(routes).fillna(learnt["prior"]).to_numpy(),
        "distance": (np.log1p(distance) - learnt["distance_mean"]) / learnt["distance_std"],
        "distance_band": np.searchsorted([250, 500, 1000, 2000], distance, side="right"),
        "distance_vs_carrier": distance - flights["carrier"].map(learnt["distance_of_carrier"]),
        "never_left": delay.isna(),
        "left_late": delay > 15,
        "delay": (delay.fillna(learnt["median"]) - learnt["centre"]) / learnt["spread"],
        "delay_vs_origin": delay - flights["origin"].map(learnt["delay_of_origin"]),
        "delay_log": np.sign(delay) * np.log1p(delay.abs()),
        "delay_clipped": (delay.clip(*learnt["clip"]) - low) / (high - low),
        "delay_rank": _rank(delay.to_numpy(), learnt["quantiles"]),
        "delay_decile": _bins(delay.to_numpy(), learnt["deciles"]),
        "delay_per_mile": delay / distance,
        **_last_week(flights),
        **_weather(flights, weather),
    }
    frame = pd.DataFrame(features, copy=False)
    floats = frame.select_dtypes("float64").columns
    return frame.astype(dict.fromkeys(floats, "float32"))


def _last_week(flights: PandasFrame) -> dict[str, Any]:
    """Return features of each plane's last seven days before a flight, by name.

    Arrival delays are known only after the landing. Their windows therefore end earlier than
    the flight, by the duration `LANDED`.
    """
    import pandas as pd

    plane = flights[["tailnum", "time_hour"]]
    delay = flights["arr_delay"]
    done = plane.assign(
        n=1.0,
        speed_7d=flights["distance"] / (flights["air_time"] / 60),
        arr_delay_7d=delay,
        late_7d=(delay > 15).where(delay.notna()).astype(float),
    )
    # The window ends before its row: extra rows without a flight mark its end.
    ends = plane.assign(time_hour=plane["time_hour"] - LANDED)
    means = _at(
        ends, _rolled(pd.concat([done, ends]), ["speed_7d", "arr_delay_7d", "late_7d"]).mean()
    )
    n_flights = _at(plane, _rolled(done, ["n"]).count())["n"]
    hours = plane.dropna().drop_duplicates()
    hours = hours.assign(since=hours.groupby("tailnum")["time_hour"].diff() / HOUR)
    since = plane.merge(hours, how="left")["since"]
    return {
        "flights_7d": n_flights.to_numpy(),
        "hours_since_last": since.where(since <= 168).to_numpy(),
        **{name: means[name].to_numpy() for name in means.columns},
    }


def _rolled(rows: PandasFrame, columns: list[str]) -> Any:
    """Return rolling windows of seven days per plane, without rows at the window's end time."""
    by_plane = rows.sort_values("time_hour", kind="stable").groupby("tailnum")
    return by_plane.rolling("7D", on="time_hour", closed="left", min_periods=0)[columns]


def _at(plane: PandasFrame, rolled: PandasFrame) -> PandasFrame:
    """Return window results for each row of `plane`, found by its plane and time."""
    import pandas as pd

    return rolled[~rolled.index.duplicated()].reindex(pd.MultiIndex.from_frame(plane))


def _weather(flights: PandasFrame, weather: PandasFrame) -> dict[str, Any]:
    """Return the weather at each flight's airport in the last full hour before it, by name."""
    import pandas as pd

    measured = weather.assign(time_hour=weather["time_hour"] + HOUR).sort_values("time_hour")
    asked, age = flights[["origin", "time_hour"]], datetime.timedelta(hours=2)
    joined = pd.merge_asof(asked, measured, on="time_hour", by="origin", tolerance=age)
    names = {"temp": "temp", "wind_speed": "wind_speed", "visibility": "visib", "rain": "precip"}
    return {name: joined[column].to_numpy() for name, column in names.items()}


def _cyclical(name: str, values: Any, period: float) -> dict[str, Any]:
    angle = values * (2 * np.pi / period)
    return {f"{name}_sin": np.sin(angle), f"{name}_cos": np.cos(angle)}


def _rank(values: Any, quantiles: Any) -> Any:
    """Return each value's rank among the quantiles, from 0 to 1; ties get the middle rank."""
    places = np.linspace(0, 1, N_QUANTILES)
    below = np.interp(values, quantiles, places)
    above = 1 - np.interp(-values, -quantiles[::-1], places)
    return (below + above) / 2


def _bins(values: Any, edges: Any) -> Any:
    """Return the number of each value's bin, given the edges; missing values stay missing."""
    bins = np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), np.nan, bins)
