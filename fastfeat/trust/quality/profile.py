"""`Profile`: the values of columns as counts, which are exact and merge without loss.

A profile is a layout, from a sample of training rows (`layout`), with counts of all rows
(`counting`). Profiles of parts with one layout merge to the profile of the whole.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, cast, get_args

import numpy as np
from fastfeat_kernels.binned import OFFSET_BITS
from fastfeat_kernels.moments.exact import nearest_float, rounded, scaled_quotient
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.state_bytes import seal, unseal
from fastfeat.errors import ArtifactError, InvalidData

ProfileKind = Literal["number", "category", "moment", "other"]
Category = str | bytes | bool | int
Exact = tuple[int, int]
"""A number mantissa * 2**exponent as (mantissa, exponent): the mantissa odd, or both 0."""

POSITIONS: Final = 1 << OFFSET_BITS
"""Number of steps within a bin, for the place of a value."""
FORMAT: Final = 1
_NO_INTEGERS: Final = np.empty(0, np.int64)
_NO_FLOATS: Final = np.empty(0, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class ColumnProfile:
    """The values of a column, counted.

    Args:
        name: Name of the column.
        dtype: Type as text.
        kind: "number" (also bins and other ordered integers); "moment" (times, dates, durations as
            integers of their unit since 1970); "category" (text, bytes, bools, codes); "other"
            (lists and types that expressions cannot read: only rows are counted).
        n_rows: Number of rows.
        n_missing: Number of missing rows, NaN included.
        edges: For numbers and moments, ascending finite float64, shape `(n_edges,)`. Bin j holds
            [edges[j-1], edges[j]); the first bin is everything below, the last everything from the
            last edge on. An integer counts in the bin of its nearest float.
        is_atom: Whether a bin holds a single float, a frequent value, shape `(n_edges + 1,)`.
        counts: Finite values per bin, shape `(n_edges + 1,)`, or rows per category, shape
            `(n_categories,)`.
        offsets: Sum per bin of places floor((x - low) / (high - low) * POSITIONS), each accurate
            within 1; 0 for the first bin, the last bin, and bins of a single float.
        n_low: Number of values -inf.
        n_high: Number of values +inf.
        least: Least finite value; NaN without any.
        greatest: Greatest finite value; NaN without any.
        sum: Exact sum of the finite values (see `Exact`).
        squares: Exact sum of the squares of the finite values.
        tails: Exact sums of the values in the first bin and in the last bin.
        categories: Most frequent categories of the sample, by descending count, then by value.
        n_other: Rows of all other categories.
    """

    name: str
    dtype: str
    kind: ProfileKind
    n_rows: int = 0
    n_missing: int = 0
    edges: NDArray[np.float64] = field(default_factory=lambda: _NO_FLOATS)
    is_atom: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    counts: NDArray[np.int64] = field(default_factory=lambda: _NO_INTEGERS)
    offsets: NDArray[np.int64] = field(default_factory=lambda: _NO_INTEGERS)
    n_low: int = 0
    n_high: int = 0
    least: float = math.nan
    greatest: float = math.nan
    sum: Exact = (0, 0)
    squares: Exact = (0, 0)
    tails: tuple[Exact, Exact] = ((0, 0), (0, 0))
    categories: tuple[Category, ...] = ()
    n_other: int = 0

    @property
    def has_bins(self) -> bool:
        """Whether values are counted in bins: numbers and moments are."""
        return self.kind in ("number", "moment")

    @property
    def n_values(self) -> int:
        """The number of rows with a value, infinite ones included."""
        return self.n_rows - self.n_missing

    @property
    def n_finite(self) -> int:
        """The number of rows with a finite value."""
        return self.n_values - self.n_low - self.n_high

    @property
    def mean(self) -> float:
        """The mean of the finite values, rounded twice; NaN without any."""
        if not self.has_bins or self.n_finite == 0:
            return math.nan
        mantissa, exponent = rounded(self.sum[0])
        return scaled_quotient(mantissa, exponent + self.sum[1], self.n_finite)

    @property
    def std(self) -> float:
        """The standard deviation of the finite values (ddof=0); NaN without any."""
        if not self.has_bins or self.n_finite == 0:
            return math.nan
        n, (total, scale), (squares, scale_of_squares) = self.n_finite, self.sum, self.squares
        low = min(2 * scale, scale_of_squares)
        spread = (n * squares << (scale_of_squares - low)) - (total * total << (2 * scale - low))
        low, spread = (low - 1, spread << 1) if low % 2 else (low, spread)
        root = math.isqrt(spread << 128)  # n * std with 64 fractional bits
        up = low // 2 - 64
        return nearest_float(root << max(up, 0), n << max(-up, 0))

    @property
    def lows(self) -> NDArray[np.float64]:
        """Least possible value of each bin, `(n_edges + 1,)`; `least` for the first bin."""
        return np.concatenate([[min(self.least, *self.edges[:1])], self.edges])

    @property
    def highs(self) -> NDArray[np.float64]:
        """The upper end of each bin, shape `(n_edges + 1,)`; `greatest` for the last bin.

        Ends are exclusive, except that the last bin contains `greatest`.
        """
        return np.concatenate([self.edges, [max(self.greatest, *self.edges[-1:])]])


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The values of columns, counted: exact for any split of the rows.

    Args:
        inputs: Profiles of the columns that a plan reads, by name.
        features: Profiles of its features, by name.
        n_rows: Number of rows counted.
        no_features: Why there are no features; "" if there are.

    Example:
        >>> import fastfeat as ff
        >>> fitted = ff.Plan({"x": ff.col("x") * 2}).fit({"x": [1.0, 2.0, None]}, profile=True)
        >>> profile = ff.quality.profile(fitted)
        >>> x = profile.inputs["x"]
        >>> x.n_rows, x.n_missing, x.mean, x.counts.sum()
        (3, 1, 1.5, np.int64(2))
        >>> more = ff.quality.profile(fitted, {"x": [7.0]})
        >>> profile.merge(more).features["x"].greatest
        14.0
    """

    inputs: Mapping[str, ColumnProfile]
    features: Mapping[str, ColumnProfile]
    n_rows: int
    no_features: str = ""

    def merge(self, other: Profile) -> Profile:
        """Return the profile of the rows of both, byte for byte equal to a profile of all rows.

        Args:
            other: A profile with the same columns, edges and categories: made by `profile_of` of
                the same fitted plan, or its own profile.

        Raises:
            InvalidData: The columns, edges or categories differ.
        """
        return Profile(
            _merge_by_name(self.inputs, other.inputs),
            _merge_by_name(self.features, other.features),
            self.n_rows + other.n_rows,
            self.no_features or other.no_features,
        )

    def to_bytes(self) -> bytes:
        """Return the profile as bytes, without code: equal profiles give equal bytes."""
        arrays: list[bytes] = []
        head = {
            "profile": FORMAT,
            "n_rows": self.n_rows,
            "no_features": self.no_features,
            "inputs": [_head_of(column, arrays) for column in self.inputs.values()],
            "features": [_head_of(column, arrays) for column in self.features.values()],
        }
        return seal(head, arrays)

    @staticmethod
    def from_bytes(content: bytes) -> Profile:
        """Return the profile from the bytes of `to_bytes`.

        Raises:
            ArtifactError: The bytes are truncated, changed, not a profile, or from a newer version.
        """
        try:
            head, rest = unseal(bytes(content))
        except InvalidData as error:
            raise ArtifactError(f"the profile is damaged: {error}") from None
        if not isinstance(head, dict) or "profile" not in head:
            raise ArtifactError("the bytes are not a profile")
        parts = cast("dict[str, Any]", head)
        if parts["profile"] != FORMAT:
            raise ArtifactError(
                f"the profile has format {parts['profile']!r}; this version reads {FORMAT}. "
                "Update fastfeat"
            )
        try:
            reader = _Reader(rest)
            inputs = _mapping(_column_of(one, reader) for one in parts["inputs"])
            features = _mapping(_column_of(one, reader) for one in parts["features"])
            if reader.rest:
                raise ArtifactError("the profile is damaged: it has extra bytes at the end")
            n_rows, reason = parts["n_rows"], parts["no_features"]
            if len(inputs) != len(parts["inputs"]) or len(features) != len(parts["features"]):
                raise ArtifactError("the profile is damaged: two columns have the same name")
            if type(n_rows) is not int or n_rows < 0 or not isinstance(reason, str):
                raise ArtifactError("the profile is damaged: its number of rows is invalid")
        except ArtifactError:
            raise
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise ArtifactError(f"the profile is damaged: {error!r}") from None
        return Profile(inputs, features, n_rows, reason)

    def __eq__(self, other: object) -> bool:
        """Return whether the other profile has the same columns, layouts and counts."""
        if not isinstance(other, Profile):
            return NotImplemented
        return self is other or self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        """Return a hash; equal profiles have equal hashes."""
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        """Return the number of rows, inputs and features."""
        told = self.no_features and f", no_features={self.no_features!r}"
        return (
            f"Profile({self.n_rows:,} rows, {len(self.inputs)} inputs, "
            f"{len(self.features)} features{told})"
        )


def profile_of_columns(
    inputs: Mapping[str, ColumnProfile],
    features: Mapping[str, ColumnProfile],
    n_rows: int,
    no_features: str = "",
) -> Profile:
    """Return a profile with read-only mappings."""
    return Profile(
        MappingProxyType(dict(inputs)), MappingProxyType(dict(features)), n_rows, no_features
    )


def normal(mantissa: int, exponent: int) -> Exact:
    """Return mantissa * 2**exponent with an odd mantissa, or (0, 0).

    >>> normal(12, 3), normal(0, 5)
    ((3, 5), (0, 0))
    """
    if mantissa == 0:
        return 0, 0
    n_zeros = (mantissa & -mantissa).bit_length() - 1
    return mantissa >> n_zeros, exponent + n_zeros


def add_exact(a: Exact, b: Exact) -> Exact:
    """Return the exact sum of two numbers.

    >>> add_exact((3, 0), (1, -1))
    (7, -1)
    """
    exponent = min(a[1], b[1])
    return normal((a[0] << (a[1] - exponent)) + (b[0] << (b[1] - exponent)), exponent)


def has_layout_of(a: ColumnProfile, b: ColumnProfile) -> bool:
    """Return whether two profiles of a column have the same edges and categories."""
    return (
        (a.name, a.dtype, a.kind, a.categories) == (b.name, b.dtype, b.kind, b.categories)
        and [type(one) for one in a.categories] == [type(one) for one in b.categories]
        and np.array_equal(a.edges, b.edges)
    )


def merge_column_profiles(a: ColumnProfile, b: ColumnProfile) -> ColumnProfile:
    """Return the profile of one column over the rows of both profiles.

    Raises:
        InvalidData: The edges or categories differ.
    """
    if not has_layout_of(a, b):
        raise InvalidData(
            f"two profiles of {a.name!r} cannot be merged: their types, bins or categories "
            "differ. Create both with profile_of() of one fitted plan"
        )
    return replace(
        a,
        n_rows=a.n_rows + b.n_rows,
        n_missing=a.n_missing + b.n_missing,
        counts=a.counts + b.counts,
        offsets=a.offsets + b.offsets,
        n_low=a.n_low + b.n_low,
        n_high=a.n_high + b.n_high,
        least=float(np.fmin(a.least, b.least)),
        greatest=float(np.fmax(a.greatest, b.greatest)),
        sum=add_exact(a.sum, b.sum),
        squares=add_exact(a.squares, b.squares),
        tails=(add_exact(a.tails[0], b.tails[0]), add_exact(a.tails[1], b.tails[1])),
        n_other=a.n_other + b.n_other,
    )


def _merge_by_name(
    a: Mapping[str, ColumnProfile], b: Mapping[str, ColumnProfile]
) -> Mapping[str, ColumnProfile]:
    if list(a) != list(b):
        odd = sorted(set(a) ^ set(b))
        found = f"only one has {odd[0]!r}" if odd else "the columns are in another order"
        raise InvalidData(
            f"profiles with different columns cannot be merged: {found}. Create both with "
            "profile_of() of one fitted plan"
        )
    return MappingProxyType({name: merge_column_profiles(a[name], b[name]) for name in a})


_ARRAYS: Final = ("edges", "is_atom", "counts", "offsets", "ends")
_COUNTS: Final = ("n_rows", "n_missing", "n_low", "n_high", "n_other")


def _head_of(column: ColumnProfile, arrays: list[bytes]) -> dict[str, Any]:
    """Return the JSON header of a column's profile, and append its arrays as bytes to `arrays`."""
    known: dict[str, Any] = {"name": column.name, "dtype": column.dtype, "kind": column.kind}
    known |= {name: getattr(column, name) for name in _COUNTS}
    known |= {"sum": column.sum, "squares": column.squares, "tails": column.tails}
    known["categories"] = [_category_to_json(one) for one in column.categories]
    ends = np.array([column.least, column.greatest])
    ends[np.isnan(ends)] = np.nan  # a single bit pattern
    of_name: dict[str, NDArray[Any]] = {
        "edges": column.edges,
        "is_atom": column.is_atom.astype(np.uint8),
        "counts": _narrowed(column.counts),
        "offsets": _narrowed(column.offsets),
        "ends": ends,
    }
    for name in _ARRAYS:
        array = of_name[name]
        known[name] = [array.dtype.newbyteorder("<").str, len(array)]
        arrays.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return known


def _narrowed(counts: NDArray[np.int64]) -> NDArray[Any]:
    """Return counts in the smallest unsigned type that holds them."""
    return counts.astype(np.min_scalar_type(counts.max(initial=0)))


@dataclass(slots=True)
class _Reader:
    """Arrays in bytes, read one after another from the start."""

    rest: bytes

    def array(self, given: Any) -> NDArray[Any]:
        """Return the next array, with the type and length from a header."""
        dtype, n = np.dtype(given[0]), given[1]
        n_bytes = dtype.itemsize * n
        if dtype.kind not in "fu" or type(n) is not int or not 0 <= n_bytes <= len(self.rest):
            raise ArtifactError("the profile is damaged: it is shorter than its header says")
        found, self.rest = self.rest[:n_bytes], self.rest[n_bytes:]
        return np.frombuffer(found, dtype)


def _column_of(given: Any, reader: _Reader) -> ColumnProfile:
    """Return a column's profile from its header and arrays; raises ArtifactError if damaged."""
    known = dict(given)
    edges, is_atom, counts, offsets, ends = (reader.array(known.pop(name)) for name in _ARRAYS)
    column = ColumnProfile(
        **{name: known.pop(name) for name in ("name", "dtype", "kind", *_COUNTS)},
        edges=edges.astype(np.float64),
        is_atom=is_atom.astype(np.bool_),
        counts=counts.astype(np.int64),
        offsets=offsets.astype(np.int64),
        least=float(ends[0]),
        greatest=float(ends[1]),
        sum=_exact_of(known.pop("sum")),
        squares=_exact_of(known.pop("squares")),
        tails=cast("Any", tuple(_exact_of(one) for one in known.pop("tails"))),
        categories=tuple(_category_of_json(one) for one in known.pop("categories")),
    )
    if known:
        raise ArtifactError(f"the profile has an unknown field {min(known)!r}. Update fastfeat")
    _check(column)
    return column


def _check(column: ColumnProfile) -> None:
    """Raise ArtifactError if the counts of a column's profile contradict each other."""
    texts, counts = (column.name, column.dtype, column.kind), [getattr(column, n) for n in _COUNTS]
    ok = all(type(one) is str for one in texts) and column.kind in get_args(ProfileKind)
    ok = ok and all(type(one) is int and one >= 0 for one in counts) and len(column.tails) == 2
    n_bins = len(column.edges) + 1 if column.has_bins else 0
    n_counts = n_bins or len(column.categories)
    ok = ok and len(column.counts) == n_counts and column.counts.min(initial=0) >= 0
    ok = ok and len(column.offsets) == len(column.is_atom) == n_bins
    ok = ok and bool(np.isfinite(column.edges).all() and (np.diff(column.edges) > 0).all())
    if ok and column.kind != "other":
        n = int(column.counts.sum()) + column.n_low + column.n_high + column.n_other
        ok = n + column.n_missing == column.n_rows
    if not ok:
        raise ArtifactError(f"the profile is damaged: the counts of {column.name!r} do not add up")


def _exact_of(given: Any) -> Exact:
    mantissa, exponent = given
    if type(mantissa) is not int or type(exponent) is not int or abs(exponent) > 1 << 16:
        raise ArtifactError("the profile is damaged: a sum is not a number")
    return normal(mantissa, exponent)


def _category_to_json(category: Category) -> Any:
    """Return a category as JSON; bytes become a list with their base64."""
    if isinstance(category, bytes):
        return [base64.b64encode(category).decode()]
    return category


def _category_of_json(given: Any) -> Category:
    if isinstance(given, list):
        (text,) = cast("list[str]", given)
        return base64.b64decode(text, validate=True)
    if type(given) not in (str, bool, int):
        raise ArtifactError(f"the profile is damaged: {given!r} is not a category")
    return given


def _mapping(columns: Any) -> Mapping[str, ColumnProfile]:
    return MappingProxyType({column.name: column for column in columns})
