"""Functions that pandas and Polars compute with other results than a plan, with the reasons."""

from __future__ import annotations

_HASH = "pandas and Polars have no XXH64"
_LISTS = "functions of lists are not written"
_TEXT = "its rules for text differ from those of a plan"
_PART = "it is written with what reads it, and never alone"
_TRAINING = "folds are of training rows, no later row has one"
_WEIGHTS = "a weight that begins anew in every window is not written"

UNWRITTEN: dict[str, str] = {
    **dict.fromkeys(
        ("hash", "hash_cross", "bucket_count", "str.hash_ngrams", "str.hash_tokens"), _HASH
    ),
    **dict.fromkeys(
        (
            *("list.sum", "list.mean", "list.min", "list.max", "list.var", "list.std"),
            *("list.contains", "list.encode", "list.explode", "list.get", "list.has_code"),
            *("list.len", "list.slice"),
        ),
        _LISTS,
    ),
    **dict.fromkeys(
        (
            *("str.contains", "str.count_matches", "str.extract", "str.find", "str.replace"),
            *("str.to_datetime", "str.count_matches_literal", "str.find_literal", "str.slice"),
            *("str.to_float", "str.to_integer", "str.token_count"),
        ),
        _TEXT,
    ),
    **dict.fromkeys(
        (
            *("cross", "one_hot", "order", "table_order", "window", "lookup_row", "asof_row"),
            "ahead",
        ),
        _PART,
    ),
    **dict.fromkeys(("fold", "time_fold", "time_fold_known"), _TRAINING),
    **dict.fromkeys(
        ("over.ewm_mean", "over.ewm_mean_by", "over.ewm_sum", "over.ewm_sum_by"), _WEIGHTS
    ),
    "normal_quantile": "pandas and Polars have no quantiles of the normal distribution",
    "interpolate_rank": "they have no rank among quantiles in which equal ones share their ranks",
    "spline_basis": "pandas and Polars have no splines",
    "dt.replace_time_zone": "its rules for times that clocks skip or repeat differ",
    "over.first": "pandas has no first value of a window that skips missing ones",
    "over.last": "pandas has no last value of a window that skips missing ones",
    "over.time_since": "the time since a row of the window is not written",
    "over.time_since_lag": "the time since a row of the window is not written",
    "over.rank": "ranks within a window are not written",
    "over.slope": "slopes within a window are not written",
    "over.streak": "streaks are not written",
    "over.mode": "the most frequent value of a window is not written",
    "over.n_unique": "distinct values of a window are not written",
    "over.skew": "its skewness of a window is made of rounded sums",
    "over.kurtosis": "its kurtosis of a window is made of rounded sums",
}
