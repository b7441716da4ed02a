"""What to write in place of a method that expressions do not have.

Users of pandas, Polars and NumPy type the names in these tables. The nearest name is often that of
something else: `square` is near `sqrt`, and `cumsum` near `sum`, which is learnt.
"""

from __future__ import annotations

from fastfeat.errors import did_you_mean

LIKELY = 0.75
"""How near two names must be for one to be the other misspelt: as near as `mena` is to `mean`."""

WRITE = {
    **{name: f"x {sign} y" for name, sign in {
        "add": "+", "radd": "+", "sub": "-", "subtract": "-", "mul": "*", "multiply": "*",
        "div": "/", "divide": "/", "truediv": "/", "floordiv": "//", "floor_divide": "//",
        "mod": "%", "rem": "%", "remainder": "%", "pow": "**", "power": "**",
        "eq": "==", "ne": "!=", "neq": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
        "and_": "&", "logical_and": "&", "or_": "|", "logical_or": "|", "xor": "^",
        "logical_xor": "^",
    }.items()},
    **dict.fromkeys(("neg", "negate", "negative"), "-x"),
    **dict.fromkeys(("not_", "logical_not", "invert"), "~x"),
    "square": "x ** 2",
    "reciprocal": "1 / x",
    "exp2": "2.0 ** x",
    "degrees": "x * (180 / math.pi)",
    "radians": "x * (math.pi / 180)",
    "nan_to_num": ".fill_null(0), and .fill_infinite(...) for infinities",
    **dict.fromkeys(("isnan", "is_missing", "isna", "isnull"),
                    ".is_null(): a NaN is a missing value here"),
    **dict.fromkeys(("notna", "notnull", "is_present"), ".is_not_null()"),
    **dict.fromkeys(("fillna", "fill_na", "fill_missing"), ".fill_null(...)"),
    "isfinite": ".is_finite()",
    "isinf": ".is_infinite()",
    **dict.fromkeys(("fabs", "absolute"), ".abs()"),
    **dict.fromkeys(("around", "rint"), ".round(...)"),
    "trunc": ".cast('int64')",
    **dict.fromkeys(("astype", "to_numeric", "as_type"), ".cast(...)"),
    **dict.fromkeys(("asin", "acos", "atan"), ".arcsin(), .arccos(), .arctan()"),
    **dict.fromkeys(("map", "map_dict", "replace", "recode"), ".replace_strict({...})"),
    "isin": ".is_in([...])",
    "between": ".is_between(...)",
    "digitize": ".cut([...])",
    **dict.fromkeys(("ntile", "qbin", "quantile_bin"), ".qcut(...)"),
    **dict.fromkeys(("bin", "bucketize", "discretize"),
                    ".cut([...]), or .qcut(...) and .k_bins_discretize(...), learnt in fit"),
    **dict.fromkeys(("splines", "bspline", "spline"), ".spline_transform(...)"),
    **dict.fromkeys(("yeo_johnson", "yeojohnson", "box_cox", "boxcox"),
                    ".power_transform(method=...), whose power is learnt in fit"),
    **dict.fromkeys(("k_bins", "kbins", "kbins_discretize"), ".k_bins_discretize(...)"),
    "percentile": ".quantile(percent / 100), or .rank(over=fastfeat.window(...), pct=True)",
    "kurt": ".kurtosis(bias=False), which is learnt in fit",
    **dict.fromkeys(("nunique", "approx_n_unique"), ".n_unique(), which is learnt in fit"),
    "average": ".mean(), which is learnt in fit",
    "winsorize": ".clip(x.quantile(0.01), x.quantile(0.99))",
    **dict.fromkeys(("clip_min", "lower_bound"), ".clip(lower)"),
    **dict.fromkeys(("clip_max", "upper_bound"), ".clip(None, upper)"),
    **dict.fromkeys(("scale", "zscore", "standardize", "normalize"), ".standard_scale()"),
    **dict.fromkeys(("minmax", "minmax_scale"), ".min_max_scale()"),
    **dict.fromkeys(("len", "size"), "x.count() + x.null_count()"),
    **dict.fromkeys(("cat", "codes", "factorize", "encode", "label_encode", "to_physical"),
                    ".ordinal_encode()"),
    **dict.fromkeys(("one_hot", "get_dummies", "to_dummies"), ".one_hot_encode()"),
    **dict.fromkeys(("mean_encode", "likelihood_encode", "target_mean", "leave_one_out",
                     "leave_one_out_encode"), ".target_encode(target), which is out of fold"),
    **dict.fromkeys(("hash_encode", "hashing"), ".hash(n_buckets)"),
    "frequency_encode": ".count_encode(normalize=True)",
    "combine_first": "fastfeat.coalesce(x, y)",
    **dict.fromkeys(("where", "mask", "when", "select", "if_else"),
                    "fastfeat.when(condition).then(x).otherwise(y)"),
    **dict.fromkeys(("rename", "name", "prefix", "suffix", "set_name"), ".alias('name')"),
    "pipe": "function(x)",
    "arr": ".list, which reads lists of one length too",
    **{name: f"fastfeat.{name}(...)" for name in (
        "coalesce", "haversine", "max_horizontal", "mean_horizontal", "min_horizontal",
        "polynomial_features", "session_id", "sum_horizontal", "time_since", "time_since_last")},
    **dict.fromkeys(("shift", "lagged"), ".lag(n, over=fastfeat.window(...))"),
    "lead": ".last(over=fastfeat.ahead('30m', ...)), in label= alone",
    **{f"{start}{name}": f".{name}(over=fastfeat.window(...)), of the rows before each"
       for start in ("cum", "cum_", "expanding_", "rolling_")
       for name in ("count", "max", "mean", "median", "min", "quantile", "std", "sum", "var")},
    **dict.fromkeys(("ewm", "ewm_mean_by"),
                    ".ewm_mean(alpha=..., over=fastfeat.window(...)), or half_life="),
    "rolling_rank": ".rank(over=fastfeat.window(...), method=...)",
    **dict.fromkeys(("percent_rank", "cume_dist"), ".rank(over=fastfeat.window(...), pct=True)"),
    **dict.fromkeys(("rolling", "expanding"),
                    ".mean(over=fastfeat.window(...)), or another aggregate, of the rows before"),
    "poly_features": "fastfeat.polynomial_features(x, y, ...)",
    **dict.fromkeys(("missing_indicator", "add_indicator"),
                    ".is_null(), or .impute(..., add_indicator=True)"),
    "maximum": "fastfeat.max_horizontal(x, y), which skips missing values, or .clip(lower)",
    "minimum": "fastfeat.min_horizontal(x, y), which skips missing values, or .clip(None, upper)",
    **dict.fromkeys(("to_numpy", "to_list", "tolist", "to_series", "to_frame", "values", "item",
                     "collect", "compute"),
                    "Plan({'name': x}).fit(data).transform(data): an expression has no values"),
}  # fmt: skip
"""What to write, by the name that a user of another library types."""

_ROWS = (
    "a feature is computed from its own row, what fit learns, and earlier rows through a window: "
    ".mean(over=fastfeat.window(...)), .lag(1, over=...)"
)
_KEYS = "what is learnt of the training rows of a key is x.mean(by='key'), x.count(by='key')"
_SAME_ROWS = "a plan gives one row for each row, in their order. Do that to the data first"
_PYTHON = "a plan runs no Python function. Write it as an expression, or compute the column first"
_STATISTIC = (
    "this statistic is not in this version. fit learns count, null_count, sum, mean, var, std, "
    "skew, kurtosis, min, max, median, quantile, mode and n_unique"
)
_NESTED = "structs and lists of lists are not read in this version. Take numbers out of them first"
NOT_HERE = {
    **dict.fromkeys(
        ("cumprod", "cumulative_eval", "cum_prod",
         "resample", "interpolate", "interpolate_by", "ffill",
         "bfill", "pad", "backfill", "forward_fill", "backward_fill", "duplicated",
         "is_duplicated", "is_unique", "is_first_distinct", "is_last_distinct", "rle", "rle_id",
         "searchsorted", "search_sorted", "get", "gather", "take", "peak_max", "peak_min"),
        _ROWS),
    **dict.fromkeys(("over", "groupby", "group_by"), _KEYS),
    **dict.fromkeys(
        ("sort", "sort_values", "sort_by", "argsort", "arg_sort", "reverse", "head", "tail",
         "limit", "slice", "sample", "shuffle", "filter", "drop_nulls", "drop_nans", "dropna",
         "unique", "drop_duplicates", "explode", "repeat_by", "top_k", "bottom_k", "append",
         "extend_constant", "value_counts", "set_sorted"),
        _SAME_ROWS),
    **dict.fromkeys(
        ("apply", "applymap", "map_elements", "map_batches", "agg", "aggregate", "transform",
         "reduce", "eval"),
        _PYTHON),
    **dict.fromkeys(
        ("unique_counts", "product", "prod",
         "mad", "entropy", "sem", "argmax", "argmin", "arg_max",
         "arg_min", "idxmax", "idxmin", "corr", "cov", "nan_max", "nan_min", "hist",
         "describe"),
        _STATISTIC),
    **dict.fromkeys(("arr", "struct"), _NESTED),
}  # fmt: skip
"""Why there is nothing to write."""

WRITE_STR = {
    **dict.fromkeys(("lower", "casefold"), ".str.to_lowercase()"),
    "upper": ".str.to_uppercase()",
    **dict.fromkeys(("strip", "trim"), ".str.strip_chars()"),
    **dict.fromkeys(("lstrip", "ltrim", "strip_prefix", "removeprefix"),
                    ".str.strip_chars_start(...), of characters"),
    **dict.fromkeys(("rstrip", "rtrim", "strip_suffix", "removesuffix"),
                    ".str.strip_chars_end(...), of characters"),
    **dict.fromkeys(("length", "lengths", "n_chars", "str_len"), ".str.len_chars()"),
    "startswith": ".str.starts_with(...)",
    "endswith": ".str.ends_with(...)",
    **dict.fromkeys(("match", "regex_match", "fullmatch"), ".str.contains('^...$')"),
    **dict.fromkeys(("find", "index", "contains_any"), ".str.contains(...)"),
    "findall": ".str.count_matches(...)",
    "sub": ".str.replace_all(...)",
    **dict.fromkeys(("substring", "substr"), ".str.slice(offset, length)"),
    "head": ".str.slice(0, n)",
    "tail": ".str.slice(-n)",
    **dict.fromkeys(("to_date", "strptime", "to_time"), ".str.to_datetime('%Y-%m-%d')"),
    **dict.fromkeys(("to_decimal", "parse_float"), ".str.to_float()"),
    "parse_int": ".str.to_integer()",
    "bin_": ".hash(), or .str.len_bytes(): columns of bytes have what needs no characters",
}  # fmt: skip
"""What to write for a function of text that has another name elsewhere."""

NOT_HERE_STR = {
    **dict.fromkeys(("split", "split_exact", "splitn", "explode", "extract_all", "json_decode"),
                    "no feature is a list. Count tokens with .str.token_count() or hash them with "
                    ".str.hash_tokens(n_buckets), or take a part with .str.extract(...)"),
    **dict.fromkeys(("cat", "concat", "join", "zfill", "pad_start", "pad_end", "reverse"),
                    "text is not put together in this version. A key of several parts is "
                    "fastfeat.cross(x, y)"),
    **dict.fromkeys(("len", "size"), "say of what: .str.len_chars() or .str.len_bytes()"),
}  # fmt: skip
"""Why there is nothing to write."""

_ZONE = (
    "give the zone to the part: .dt.hour(tz='Europe/Berlin'). A column changes its zone by "
    ".cast('timestamp[us, Europe/Berlin]')"
)
_CALENDAR_TEXT = "an expression gives no text. Take numbers: .dt.year(), .dt.month(), .dt.day()"
WRITE_DT = {
    **dict.fromkeys(("dayofweek", "day_of_week", "weekday_", "isoweekday"),
                    ".dt.weekday(), Monday 1 to Sunday 7 (pandas has Monday 0)"),
    **dict.fromkeys(("dayofyear", "day_of_year", "yday", "ordinal"), ".dt.ordinal_day()"),
    **dict.fromkeys(("isocalendar", "weekofyear", "week_of_year", "iso_week"), ".dt.week()"),
    **dict.fromkeys(("daysinmonth", "days_of_month"), ".dt.days_in_month()"),
    **dict.fromkeys(("floor", "trunc", "to_period", "round_down"), ".dt.truncate('1h')"),
    "normalize": ".dt.truncate('1d')",
    "month_start": ".dt.truncate('1mo')",
    **dict.fromkeys(("timestamp", "to_epoch", "view", "asi8"), ".dt.epoch('us')"),
    "days": ".dt.total_days()",
    **dict.fromkeys(("seconds", "total_second"), ".dt.total_seconds()"),
    **dict.fromkeys(("is_leap", "leap_year"), ".dt.is_leap_year()"),
    "cast_time_unit": ".cast('timestamp[us]')",
    "is_quarter_start": "(x.dt.month() % 3 == 1) & (x.dt.day() == 1)",
    "is_year_start": "x.dt.ordinal_day() == 1",
    "is_year_end": "(x.dt.month() == 12) & (x.dt.day() == 31)",
    "century": "(x.dt.year() + 99) // 100",
    "iso_weekday": ".dt.weekday()",
}  # fmt: skip
"""What to write for a part of a time that has another name elsewhere."""

NOT_HERE_DT = {
    **dict.fromkeys(("tz_convert", "convert_time_zone", "tz", "time_zone"), _ZONE),
    **dict.fromkeys(
        ("tz_localize", "replace_time_zone"),
        "a naive timestamp is taken as UTC. Give times of another zone to the data as such, first"),
    **dict.fromkeys(("strftime", "to_string", "day_name", "month_name", "strptime", "isoformat"),
                    _CALENDAR_TEXT),
    **dict.fromkeys(
        ("round", "ceil"),
        "times are rounded down only: .dt.truncate('1h'), and + datetime.timedelta(...) for more"),
    **dict.fromkeys(("offset_by", "add_business_days", "business_day_count"),
                    "add a duration: x + datetime.timedelta(days=1). Months differ in length"),
    **dict.fromkeys(("iso_year", "isoyear"), "the year of ISO weeks is not in this version"),
    "time": "the time of day is not in this version. Take its parts: .dt.hour(), .dt.minute()",
}  # fmt: skip
"""Why there is nothing to write."""


WRITE_LIST = {
    **dict.fromkeys(("lengths", "size", "count_elements"), ".list.len()"),
    **dict.fromkeys(("head", "limit"), ".list.slice(0, n)"),
    "tail": ".list.slice(-n)",
    **dict.fromkeys(("to_struct", "to_array", "to_columns", "split"),
                    ".list.pad(width), which gives so many columns"),
    **dict.fromkeys(("is_in", "has", "item_in"), ".list.contains(item)"),
    "average": ".list.mean()",
    **dict.fromkeys(("encode", "codes", "to_physical"), ".list.ordinal_encode(width=...)"),
    **dict.fromkeys(("one_hot_encode", "multi_hot", "one_hot", "get_dummies", "to_dummies"),
                    ".list.multi_hot_encode()"),
    "hash": ".list.hash_encode(width=..., n_buckets=...)",
    **dict.fromkeys(("nth", "element", "at"), ".list.get(index)"),
}  # fmt: skip
"""What to write for a function of lists that has another name elsewhere."""

_LISTS = "this function of lists is not in this version. Compute it first"
NOT_HERE_LIST = {
    **dict.fromkeys(("explode", "flatten"), _SAME_ROWS),
    **dict.fromkeys(("eval", "agg", "filter"), _PYTHON),
    **dict.fromkeys(
        ("sort", "reverse", "unique", "n_unique", "median", "mode", "join", "concat", "sample",
         "shift", "diff", "gather", "gather_every", "arg_min", "arg_max", "any", "all",
         "drop_nulls", "count_matches", "set_union", "set_intersection", "set_difference",
         "set_symmetric_difference", "target_encode"), _LISTS),
}  # fmt: skip
"""Why there is nothing to write."""


def instead_of(
    name: str, methods: frozenset[str], parts: frozenset[str], of_text: frozenset[str]
) -> str:
    """Return the end of a message about a method that expressions lack, or nothing.

    Args:
        name: what was typed.
        methods: the methods that there are.
        parts: those of `.dt`.
        of_text: those of `.str`.
    """
    if name in WRITE:
        return f" Write {WRITE[name]}"
    if name in NOT_HERE:
        return _because(NOT_HERE[name])
    if name.startswith(("rolling_", "ewm_")):
        return _because(_ROWS)
    if name in parts:
        return f" Write .dt.{name}()"
    if name in of_text:
        return f" Write .str.{name}()"
    if name in WRITE_STR or name in NOT_HERE_STR:
        return instead_of_text(name, of_text)
    if name in WRITE_DT or name in NOT_HERE_DT:
        return instead_of_part(name, parts)
    bare = name.removeprefix("nan")
    if bare != name and bare in methods:
        return f" Write .{bare}(): a NaN is a missing value here, and skipped"
    return did_you_mean(name, methods, LIKELY)


def instead_of_part(name: str, parts: frozenset[str]) -> str:
    """Return the end of a message about a part that `.dt` lacks, or nothing."""
    if name in WRITE_DT:
        return f" Write {WRITE_DT[name]}"
    if name in NOT_HERE_DT:
        return _because(NOT_HERE_DT[name])
    hint = did_you_mean(name, parts, LIKELY)
    return hint or f" There are: {', '.join(sorted(parts))}"


def instead_of_list(name: str, methods: frozenset[str]) -> str:
    """Return the end of a message about a method that `.list` lacks."""
    if name in WRITE_LIST:
        return f" Write {WRITE_LIST[name]}"
    if name in NOT_HERE_LIST:
        return _because(NOT_HERE_LIST[name])
    hint = did_you_mean(name, methods, LIKELY)
    return hint or f" There are: {', '.join(sorted(methods))}"


def instead_of_text(name: str, of_text: frozenset[str]) -> str:
    """Return the end of a message about a function that `.str` lacks, or nothing."""
    if name in WRITE_STR:
        return f" Write {WRITE_STR[name]}"
    if name in NOT_HERE_STR:
        return _because(NOT_HERE_STR[name])
    hint = did_you_mean(name, of_text, LIKELY)
    return hint or f" There are: {', '.join(sorted(of_text))}"


def _because(reason: str) -> str:
    return f" {reason[0].upper()}{reason[1:]}"
