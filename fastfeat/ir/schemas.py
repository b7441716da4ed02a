"""Which parameters the functions of steps, aggregates and windows have: the data of their rows.

The rows themselves import NumPy and PyArrow, and the tables put their parameters into them from
here: operators check by them, and expressions are printed by them, before either is imported. Those
of scalar functions stand in their rows. A function that is not named has no parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from fastfeat_kernels.words import Interpolation, RankMethod

from fastfeat.ir.parameters import (
    FARTHEST,
    FARTHEST_ELEMENT,
    LONGEST,
    MAX_MEMORY,
    Either,
    Flag,
    Number,
    Parameter,
    Parameters,
    Several,
    Text,
    Whole,
    Words,
)
from fastfeat.ir.scope import OVER

Closed = Literal["left", "right", "both", "neither"]
"""Which ends belong to a window."""

_SHARE = Number(0.0, 1.0, or_whole=True)
_WEIGHT = Number(0.0, 1e300, or_whole=True)
_FOLDS = Whole(2, 1000)
_MOMENT = Whole(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1)
"""Those of the years 1 to 9999, in nanoseconds."""
_REACH = Whole(0, LONGEST)
_LONGEST_TEXT = 2**60
_PLACE = Whole(-FARTHEST_ELEMENT, FARTHEST_ELEMENT)
_UNIT = Words(("time", "steps"))

# aggregates

DDOF = Parameter("ddof", Whole(0), "what is taken from the number of values in the divisor", 1)
Q = Parameter("q", _SHARE, "the quantile: 0 is the minimum, 1 the maximum")
INTERPOLATION = Parameter(
    "interpolation", Words(get_args(Interpolation)), "what stands between two values", "linear"
)
_OF_FOLDS: Parameters = (
    Parameter(
        "n_folds",
        _FOLDS,
        "into how many folds training rows are divided",
        5,
        or_none=True,
        written_as="folds",
    ),
    Parameter("ordered", Flag(), written_as=None),
    Parameter(
        "min_rows",
        Whole(2),
        "of fewer training rows a category is as one unseen",
        None,
        may_lack=True,
    ),
)
MIN_FREQUENCY = Parameter(
    "min_frequency",
    Either((Whole(1), Number(0.0, 1.0, above=True, below=True))),
    "categories with fewer training rows are rare: a number, or a share as a float below 1",
    None,
    or_none=True,
    hidden=True,
)
_SMOOTH = Parameter("smooth", _WEIGHT, "how many rows of the prior are added to each category")

AGGREGATES: Mapping[str, Parameters] = {
    "even_quantiles": (
        Parameter("n_quantiles", Whole(1, 100_000), "how many quantiles are learnt", 1000),
    ),
    "evenly_spaced": (Parameter("n_points", Whole(2, 100_001), "how many points", 5),),
    "quantile": (Q, INTERPOLATION),
    "quantiles": (Parameter("probabilities", Several(_SHARE), "the quantiles"),),
    "std": (DDOF,),
    "target_mean": (
        Parameter("smooth", Either((Words(("auto",)), _WEIGHT)), _SMOOTH.about, "auto"),
        *_OF_FOLDS,
    ),
    "target_odds": (
        Parameter(
            "regularization",
            Number(1e-300, 1e300, or_whole=True),
            "how many rows of each class are added to each category",
            1.0,
        ),
        *_OF_FOLDS,
    ),
    "target_quantile": (Q, _SMOOTH, *_OF_FOLDS),
    "target_var": (_SMOOTH, *_OF_FOLDS),
    "var": (DDOF,),
    "vocabulary": (
        MIN_FREQUENCY,
        Parameter(
            "max_categories",
            Whole(1),
            "how many categories there may be, that of the rare included",
            None,
            or_none=True,
            hidden=True,
        ),
        Parameter(
            "max_memory",
            Whole(1),
            "bytes that fit may need for the categories, beyond which it fails",
            MAX_MEMORY,
        ),
        Parameter("missing", Words(("key", "value")), written_as=None),
    ),
}

# functions over windows, without "over."

_N_BACK = (Parameter("n", Whole(1, LONGEST), "which row of the window, 1 for the latest", 1),)

WINDOWS: Mapping[str, Parameters] = {
    **{name: AGGREGATES[name] for name in ("quantile", "std", "var")},
    "ewm_mean": (Parameter("alpha", Number(0.0, 1.0, above=True), "what the latest row weighs"),),
    "ewm_mean_by": (
        Parameter("half_life", Whole(1, LONGEST), "after how long a weight is half of what it was"),
    ),
    "lag": _N_BACK,
    "rank": (
        Parameter("method", Words(get_args(RankMethod)), "the rank of equal values", "average"),
        Parameter("pct", Flag(), "whether to divide by the number of values", False),
    ),
    "time_since_lag": _N_BACK,
}

# steps

_ORDER = (
    Parameter("n_keys", Whole(0), written_as=None),
    Parameter("has_tie", Flag(), written_as=None),
)
_PATTERN = Parameter("pattern", Text(), "a regular expression of RE2")
_PLAIN = Parameter("pattern", Text(), "a plain text")
_STRIPPED = (
    Parameter(
        "characters",
        Text(),
        "the set of characters; None for white space",
        None,
        or_none=True,
        hidden=True,
    ),
)
_SEED = Parameter("seed", Whole(0, 2**64 - 1), "of the hash", 0, hidden=True)
_HASH = (
    Parameter(
        "n_buckets",
        Whole(1, 2**31 - 1),
        "how many buckets to give instead of the hash",
        None,
        or_none=True,
        hidden=True,
    ),
    _SEED,
)
_N_COLUMNS = Parameter("n_buckets", Whole(1, 2**16), "how many columns")
_N_FOLDS = Parameter("n_folds", _FOLDS, _OF_FOLDS[0].about, 5, written_as="folds")
_STRICT = Parameter("strict", Flag(), "whether other text is an error; else it is missing", True)

STEPS: Mapping[str, Parameters] = {
    **{OVER + name: parameters for name, parameters in WINDOWS.items()},
    "ahead": (
        Parameter("next", Whole(1, LONGEST), "how far the window reaches"),
        Parameter("gap", _REACH, "how long after the row the window begins", 0, hidden=True),
        Parameter(
            "end", _MOMENT, "until when what happened is recorded", None, or_none=True, hidden=True
        ),
        Parameter("unit", _UNIT, written_as=None),
    ),
    "asof_row": (
        Parameter(
            "tolerance", _REACH, "how old a row may be at most", None, or_none=True, hidden=True
        ),
        Parameter(
            "delay", _REACH, "how long after its time a row of the table is known", 0, hidden=True
        ),
        Parameter(
            "allow_exact_matches",
            Flag(),
            "whether a row that is known at the very moment counts",
            True,
            hidden=True,
        ),
        Parameter("unit", _UNIT, or_none=True, written_as=None),
    ),
    "bucket_count": (Parameter("bucket", Whole(0), written_as=None),),
    "encode": (
        Parameter(
            "n_unseen",
            Whole(1, 1 << 24),
            "how many codes the unseen and the rare share",
            1,
            hidden=True,
            written_as="n_unseen_buckets",
        ),
        Parameter("missing", Words(("key", "value")), written_as=None),
    ),
    "fold": (_N_FOLDS,),
    "hash": _HASH,
    "hash_cross": _HASH,
    "list.encode": (
        Parameter("n_unseen", Whole(1, 1), written_as=None),
        Parameter("missing", Words(("key",)), written_as=None),
    ),
    "list.get": (
        Parameter("index", _PLACE, "its place from 0, or below 0 from the end"),
        Parameter(
            "null_on_oob",
            Flag((False,)),
            "whether it is missing where the list is too short",
            True,
            may_lack=True,
        ),
    ),
    "list.has_code": (Parameter("code", Whole(0), or_none=True, written_as=None),),
    "list.slice": (
        Parameter("offset", _PLACE, "where it begins, from 0, or below 0 from the end"),
        Parameter(
            "length", Whole(0, FARTHEST_ELEMENT), "how many elements at most", None, may_lack=True
        ),
    ),
    "list.std": AGGREGATES["std"],
    "list.var": AGGREGATES["var"],
    "order": _ORDER,
    "str.contains": (_PATTERN,),
    "str.contains_literal": (_PLAIN,),
    "str.count_matches": (_PATTERN,),
    "str.count_matches_literal": (_PLAIN,),
    "str.ends_with": (Parameter("pattern", Text(), "a plain text", written_as="suffix"),),
    "str.extract": (
        _PATTERN,
        Parameter("group_index", Whole(0, FARTHEST), "which group; 0 is the whole match", 1),
    ),
    "str.hash_ngrams": (
        Parameter("n", Whole(1, _LONGEST_TEXT), "how many characters in a row"),
        _N_COLUMNS,
        _SEED,
    ),
    "str.hash_tokens": (_N_COLUMNS, _SEED),
    "str.replace": (
        _PATTERN,
        Parameter("value", Text(), "the replacement"),
        Parameter(
            "literal", Flag(), "whether pattern and value are plain text", False, hidden=True
        ),
        Parameter(
            "max_memory",
            Whole(1),
            "bytes that text may take while it grows",
            MAX_MEMORY,
            may_lack=True,
        ),
        Parameter("n", Whole(-1, FARTHEST), default=1, hidden=True, written_as=None),
    ),
    "str.slice": (
        Parameter(
            "offset",
            Whole(-_LONGEST_TEXT, _LONGEST_TEXT),
            "where it begins, from 0, or below 0 from the end",
        ),
        Parameter(
            "length",
            Whole(0, _LONGEST_TEXT),
            "how many characters; None up to the end",
            None,
            or_none=True,
            hidden=True,
        ),
    ),
    "str.starts_with": (Parameter("pattern", Text(), "a plain text", written_as="prefix"),),
    "str.strip_chars": _STRIPPED,
    "str.strip_chars_end": _STRIPPED,
    "str.strip_chars_start": _STRIPPED,
    "str.to_datetime": (
        Parameter("format", Text(), "how the time is written, as of `strptime`"),
        _STRICT,
    ),
    "str.to_float": (_STRICT,),
    "str.to_integer": (Parameter("base", Whole(2, 36), "of the digits", 10), _STRICT),
    "table_order": _ORDER,
    "time_fold": (_N_FOLDS,),
    "time_fold_known": (
        _N_FOLDS,
        Parameter("delay", _REACH, written_as=None),
        Parameter("unit", _UNIT, written_as=None),
    ),
    "window": (
        Parameter(
            "last",
            Whole(1, LONGEST),
            "how far the window reaches back",
            None,
            or_none=True,
            hidden=True,
        ),
        Parameter(
            "rows",
            Whole(1, LONGEST),
            "how many of the latest rows are kept",
            None,
            or_none=True,
            hidden=True,
        ),
        Parameter("offset", _REACH, "how long before the row the window ends", 0, hidden=True),
        Parameter(
            "closed",
            Words(get_args(Closed)),
            "which ends belong to the window",
            "left",
            hidden=True,
        ),
        Parameter("min_samples", _REACH, "of fewer values a result is missing", 0, hidden=True),
        Parameter("unit", _UNIT, or_none=True, written_as=None),
    ),
}
