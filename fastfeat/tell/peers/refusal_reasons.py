"""Functions that pandas and Polars compute with other results than a plan, with the reasons."""

from __future__ import annotations

_HASH = "pandas and Polars have no XXH64"
_LISTS = "functions of lists are not supported"
_TEXT = "text rules differ from those of fastfeat"
_PART = "it is exported only as part of the function that reads it"
_TRAINING = "only training rows belong to folds"
_WEIGHTS = "exponential weights that restart in each window are not supported"

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
    "interpolate_rank": "pandas and Polars have no interpolated rank among quantiles",
    "spline_basis": "pandas and Polars have no splines",
    "dt.replace_time_zone": "rules for skipped and repeated local times differ",
    "over.first": "pandas has no first value of a window that skips missing values",
    "over.last": "pandas has no last value of a window that skips missing values",
    "over.time_since": "the time since a row of the window is not supported",
    "over.time_since_lag": "the time since a row of the window is not supported",
    "over.rank": "ranks within a window are not supported",
    "over.slope": "slopes within a window are not supported",
    "over.streak": "streaks are not supported",
    "over.mode": "the most frequent value of a window is not supported",
    "over.n_unique": "counts of distinct values in a window are not supported",
    "over.skew": "pandas and Polars compute the skewness of a window from rounded sums",
    "over.kurtosis": "pandas and Polars compute the kurtosis of a window from rounded sums",
}
