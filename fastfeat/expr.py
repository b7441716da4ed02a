"""Expressions, as users write them: an `Expr` wraps plan nodes, and operators map Expr to Expr.

A plan node (`ir.node`) is a column, a literal, the call of a function or an aggregate. An operator
is a method of `Expr` or a function such as `ff.haversine`.

The lines under TYPE_CHECKING make each operator a method for type checkers; `operators` sets the
same names at run time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from fastfeat_kernels.records import dataclass

from fastfeat.calls.arguments import (
    TOO_MANY,
    with_argument_errors,
    with_argument_errors_as,
    with_method_errors,
)
from fastfeat.calls.completion import with_completion
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.ir.literals import Scalar, literal_value
from fastfeat.ir.node import (
    GROUPS,
    TRAINING,
    Aggregate,
    Call,
    Column,
    GroupFrame,
    Literal,
    Node,
    params_of,
)
from fastfeat.ir.show import show_columns

if TYPE_CHECKING:
    from fastfeat.operators import (
        aggregates,
        binning,
        calendar,
        cast,
        categories,
        cyclical,
        distribution,
        elementary,
        hashing,
        imputation,
        lists,
        membership,
        missing,
        power,
        rounding,
        scaling,
        splines,
        targets,
        text,
        trends,
        trigonometry,
        windows,
    )

Text: TypeAlias = str
"""`str` inside `Expr`, where the name `str` is the namespace of text functions."""

_TWO = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
_SIGNS = (
    *(f"__{side}{name}__" for name in _TWO for side in ("", "r")),
    *(f"__{name}__" for name in ("eq", "ne", "lt", "le", "gt", "ge")),
    *(f"__{name}__" for name in ("neg", "pos", "abs", "round", "floor", "ceil", "invert")),
)
"""The methods of an expression that Python calls for operators and for built-in functions."""


@with_method_errors(lambda x: f"{x!r}.")
@dataclass(frozen=True, slots=True, eq=False)
class Expr:
    """An expression over columns: a feature before it meets data.

    Build expressions from `ff.col("x")`, arithmetic, comparisons and the methods listed here.
    Nothing is computed until a plan is fitted or applied.

    Args:
        nodes: The plan node of the expression; several if its last operator gives several columns,
            such as `cyclical`.
        suffixes: With several nodes, the suffix of each feature's name, such as "_sin".
        name: Name given by `alias`, to this expression or to its first operand.
    """

    nodes: tuple[Node, ...]
    suffixes: tuple[Text, ...] = ("",)
    name: Text | None = None

    if TYPE_CHECKING:  # one line an operator: `operators` sets the same names at run time
        dt = calendar.dt
        list = lists.elements
        str = text.str_
        abs = rounding.abs
        sign = rounding.sign
        floor = rounding.floor
        ceil = rounding.ceil
        round = rounding.round
        clip = rounding.clip
        sqrt = elementary.sqrt
        cbrt = elementary.cbrt
        exp = elementary.exp
        expm1 = elementary.expm1
        log = elementary.log
        log1p = elementary.log1p
        log2 = elementary.log2
        log10 = elementary.log10
        sigmoid = elementary.sigmoid
        sin = trigonometry.sin
        cos = trigonometry.cos
        tan = trigonometry.tan
        arcsin = trigonometry.arcsin
        arccos = trigonometry.arccos
        arctan = trigonometry.arctan
        sinh = trigonometry.sinh
        cosh = trigonometry.cosh
        tanh = trigonometry.tanh
        is_null = missing.is_null
        is_not_null = missing.is_not_null
        fill_null = missing.fill_null
        eq_missing = missing.eq_missing
        ne_missing = missing.ne_missing
        is_finite = missing.is_finite
        is_infinite = missing.is_infinite
        fill_infinite = missing.fill_infinite
        is_nan = missing.is_nan
        is_not_nan = missing.is_not_nan
        fill_nan = missing.fill_nan
        is_between = membership.is_between
        is_in = membership.is_in
        replace_strict = membership.replace_strict
        cast = cast.cast
        count = aggregates.count
        null_count = aggregates.null_count
        sum = aggregates.sum
        mean = aggregates.mean
        var = aggregates.var
        std = aggregates.std
        skew = aggregates.skew
        kurtosis = aggregates.kurtosis
        min = aggregates.min
        max = aggregates.max
        quantile = aggregates.quantile
        median = aggregates.median
        mode = aggregates.mode
        n_unique = aggregates.n_unique
        all = windows.all
        any = windows.any
        diff = windows.diff
        first = windows.first
        lag = windows.lag
        last = windows.last
        pct_change = windows.pct_change
        ewm_mean = trends.ewm_mean
        ewm_sum = trends.ewm_sum
        range = trends.range
        rank = trends.rank
        slope = trends.slope
        streak = trends.streak
        standard_scale = scaling.standard_scale
        min_max_scale = scaling.min_max_scale
        max_abs_scale = scaling.max_abs_scale
        robust_scale = scaling.robust_scale
        impute = imputation.impute
        cut = binning.cut
        qcut = binning.qcut
        k_bins_discretize = binning.k_bins_discretize
        quantile_transform = distribution.quantile_transform
        power_transform = power.power_transform
        spline_transform = splines.spline_transform
        cyclical = cyclical.cyclical
        ordinal_encode = categories.ordinal_encode
        one_hot_encode = categories.one_hot_encode
        count_encode = categories.count_encode
        binary_encode = categories.binary_encode
        hash = hashing.hash
        target_encode = targets.target_encode
        woe_encode = targets.woe_encode

    @property
    def node(self) -> Node:
        """The single node; raises InvalidPlan if the last operator gives several columns."""
        if len(self.nodes) != 1:
            raise InvalidPlan(
                f"an operator that gives {len(self.nodes)} columns ({', '.join(self.suffixes)}) "
                "must be the last in its expression. Apply the other operators before it"
            )
        return self.nodes[0]

    def alias(self, name: Text) -> Expr:
        """Return the expression with a name, for plans given as a list.

        An expression that is computed from the named one takes over the name, if the named one is
        its first operand, or the first value of a `when`. Another `alias` replaces the name.

        Args:
            name: The name of the feature.

        Example:
            >>> plan = ff.Plan([(col("x") + 1).alias("next")])
            >>> plan.fit_transform({"x": [1]})[1].to_pydict()
            {'next': [2]}
        """
        return replace(self, name=name)

    def __repr__(self) -> Text:
        """Return the expression as Python source."""
        return show_columns(self.nodes)

    def __bool__(self) -> NoReturn:
        """Raise TypeMismatch: an expression has no truth value until it meets data."""
        raise TypeMismatch(
            f"{self!r} has no truth value. Use & | ~ for logic, is_between() for ranges, "
            "fastfeat.when() for if, and .clip(), fastfeat.max_horizontal() and "
            "fastfeat.min_horizontal() for max() and min()"
        )

    def __add__(self, other: Expr | Scalar) -> Expr:
        return call("add", self, other)

    def __radd__(self, other: Scalar) -> Expr:
        return call("add", other, self)

    def __sub__(self, other: Expr | Scalar) -> Expr:
        return call("sub", self, other)

    def __rsub__(self, other: Scalar) -> Expr:
        return call("sub", other, self)

    def __mul__(self, other: Expr | Scalar) -> Expr:
        return call("mul", self, other)

    def __rmul__(self, other: Scalar) -> Expr:
        return call("mul", other, self)

    def __truediv__(self, other: Expr | Scalar) -> Expr:
        """Return the quotient as float64; between integers, a zero divisor gives missing."""
        return call("div", self, other)

    def __rtruediv__(self, other: Scalar) -> Expr:
        return call("div", other, self)

    def __floordiv__(self, other: Expr | Scalar) -> Expr:
        """Return the quotient rounded down; divisor 0 gives missing or, for floats, ±inf."""
        return call("floordiv", self, other)

    def __rfloordiv__(self, other: Scalar) -> Expr:
        return call("floordiv", other, self)

    def __mod__(self, other: Expr | Scalar) -> Expr:
        """Return the remainder, with the sign of the divisor; missing for divisor 0."""
        return call("mod", self, other)

    def __rmod__(self, other: Scalar) -> Expr:
        return call("mod", other, self)

    def __pow__(self, other: Expr | Scalar) -> Expr:
        """Return the power; of integers an integer, so a negative exponent is an error."""
        return call("pow", self, other)

    def __rpow__(self, other: Scalar) -> Expr:
        return call("pow", other, self)

    def __neg__(self) -> Expr:
        return call("neg", self)

    def __pos__(self) -> Expr:
        return self

    def __abs__(self) -> Expr:
        return call("abs", self)

    def __round__(self, decimals: int = 0) -> Expr:
        return self.round(decimals)

    def __floor__(self) -> Expr:
        return call("floor", self)

    def __ceil__(self) -> Expr:
        return call("ceil", self)

    def __invert__(self) -> Expr:
        return call("not", self)

    def __and__(self, other: Expr | Scalar) -> Expr:
        return call("and", self, other)

    def __rand__(self, other: Scalar) -> Expr:
        return call("and", other, self)

    def __or__(self, other: Expr | Scalar) -> Expr:
        return call("or", self, other)

    def __ror__(self, other: Scalar) -> Expr:
        return call("or", other, self)

    def __xor__(self, other: Expr | Scalar) -> Expr:
        return call("xor", self, other)

    def __rxor__(self, other: Scalar) -> Expr:
        return call("xor", other, self)

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return _comparison("eq", self, other)

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return _comparison("ne", self, other)

    def __lt__(self, other: Expr | Scalar) -> Expr:
        return _comparison("lt", self, other)

    def __le__(self, other: Expr | Scalar) -> Expr:
        return _comparison("le", self, other)

    def __gt__(self, other: Expr | Scalar) -> Expr:
        return _comparison("gt", self, other)

    def __ge__(self, other: Expr | Scalar) -> Expr:
        return _comparison("ge", self, other)

    __hash__ = object.__hash__


@with_argument_errors_as(
    "", {TOO_MANY: "Write one expression per column: [col(name) for name in ('x', 'y')]"}
)
def col(name: str) -> Expr:
    """Return the input column with this name.

    Args:
        name: Name of a column of the data.

    Raises:
        TypeMismatch: `name` is not a text.

    Example:
        >>> ff.Plan({"x": col("x") + 1}).fit_transform({"x": [1, None]})[1]["x"].to_pylist()
        [2, None]
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        several = isinstance(name, list | tuple)
        hint = ". Write one expression per column: [col(name) for name in names]" if several else ""
        raise TypeMismatch(f"col() takes the name of a column, got {name!r}{hint}")
    return Expr((Column(name),))


@with_argument_errors
def lit(value: Scalar) -> Expr:
    """Return a constant; `lit(None)` is a missing value.

    Args:
        value: A number, bool, text, date or time, or None.

    Example:
        >>> plan = ff.Plan({"x": ff.when(col("x") > 0).then(1.5).otherwise(ff.lit(None))})
        >>> plan.fit_transform({"x": [1, -1]})[1]["x"].to_pylist()
        [1.5, None]
    """
    return Expr((Literal(literal_value(value)),))


def as_expr(value: object) -> Expr:
    """Return an expression unchanged, and any other value as a literal."""
    return value if isinstance(value, Expr) else Expr((Literal(literal_value(value)),))


def call(function: str, *args: object, **params: Any) -> Expr:
    """Return an expression that calls a plan function; arguments are expressions or constants."""
    operands = [as_expr(argument) for argument in args]
    nodes = tuple(operand.node for operand in operands)
    return Expr((Call(function, nodes, params_of(**params)),), name=_name_of(operands))


def _name_of(operands: Iterable[Expr]) -> str | None:
    """Return the name of the first operand; None if it has none. Nameless literals are skipped."""
    for operand in operands:
        if operand.name is not None or not isinstance(operand.nodes[0], Literal):
            return operand.name
    return None


def _comparison(function: str, left: Expr, right: object) -> Expr:
    """Return a comparison as an expression.

    Raises TypeMismatch for None or NaN, because the result would be missing in every row.
    """
    sides = [left, as_expr(right)]
    for side, other in zip(sides, reversed(sides), strict=True):
        node = side.node
        if isinstance(node, Literal) and (node.value is None or node.value != node.value):
            raise TypeMismatch(
                f"comparing {other!r} with {side!r} gives a missing value in every row. "
                "Use is_null() or is_not_null()"
            )
    return call(function, *sides)


def aggregate(function: str, argument: Expr, **params: Any) -> Expr:
    """Return an aggregate of all training rows: learnt in `fit`, a constant afterwards."""
    node = Aggregate(function, (argument.node,), params_of(**params), TRAINING)
    return Expr((node,), name=argument.name)


def group_aggregate(
    function: str,
    argument: Expr,
    group: Expr,
    frame: GroupFrame = GROUPS,
    *folds: Expr,
    **params: Any,
) -> Expr:
    """Return an aggregate per group of training rows; each row gets the aggregate of its group.

    `group` is the group number of each row. `frame` says whether the rows with a missing key form a
    group. `folds` is the fold number of each training row, for aggregates that are learnt from the
    rows of other folds.
    """
    args = (argument.node, group.node, *(fold.node for fold in folds))
    return Expr((Aggregate(function, args, params_of(**params), frame),), name=argument.name)


def vocabulary(keys: Sequence[Expr], **params: Any) -> Expr:
    """Return the vocabulary that `fit` learns: the distinct keys of the training rows.

    `keys` holds the parts of the key; a key has one or several.
    """
    args = tuple(key.node for key in keys)
    return Expr((Aggregate("vocabulary", args, params_of(**params), TRAINING),))


def literal_table(elements: Sequence[Any]) -> Expr:
    """Return a tuple of constants as one literal, for functions that search in a table."""
    return Expr((Literal(tuple(literal_value(element) for element in elements)),))


def several_columns(parts: dict[str, Expr]) -> Expr:
    """Return an expression with several columns, from a dict of suffix to expression."""
    return Expr(tuple(part.node for part in parts.values()), tuple(parts), _name_of(parts.values()))


@with_completion()
@with_method_errors(lambda chain: "ff.when(...).")
@dataclass(frozen=True, slots=True)
class When:
    """A conditional expression in progress, after `when`; `then` must follow."""

    branches: tuple[tuple[Expr, Expr], ...]
    condition: Expr

    def then(self, value: Expr | Scalar) -> Then:
        """Return the conditional with the value for rows that meet the last condition.

        Args:
            value: An expression or a constant. A text must be written as `col(...)` or `lit(...)`.
        """
        return Then((*self.branches, (self.condition, _choice("then", value))))


@with_completion()
@with_method_errors(lambda chain: "ff.when(...).then(...).")
@dataclass(frozen=True, slots=True)
class Then:
    """A conditional expression in progress, after `then`; `when` or `otherwise` must follow."""

    branches: tuple[tuple[Expr, Expr], ...]

    def when(self, condition: Expr | bool) -> When:
        """Return the conditional with one more condition, tried on rows that met no earlier one.

        Args:
            condition: Bools. A missing condition is not met.
        """
        return When(self.branches, _condition(condition))

    def otherwise(self, value: Expr | Scalar) -> Expr:
        """Return the finished expression, with this value for rows that met no condition.

        Args:
            value: An expression or a constant. A text must be written as `col(...)` or `lit(...)`.
        """
        result = last = _choice("otherwise", value)
        for condition, chosen in reversed(self.branches):
            result = call("when", condition, chosen, result)
        values = [chosen for _, chosen in self.branches]
        return replace(result, name=_name_of([*values, last]))


@with_argument_errors
def when(condition: Expr | bool) -> When:
    """Return the start of a conditional expression, `when(c).then(x).otherwise(y)`.

    Args:
        condition: Bools. A missing condition is not met: the row takes the value of `otherwise`.

    Example:
        >>> when(col("x") > 0).then(1).otherwise(0)
        ff.when(col('x') > 0).then(1).otherwise(0)
    """
    return When((), _condition(condition))


def _condition(given: Any) -> Expr:
    if isinstance(given, str):
        raise TypeMismatch(
            f"when({given!r}): a condition is an expression, not a text. Compare a column, such as "
            f"col({given!r}) > 0, or write col({given!r}) if the column has bools"
        )
    return as_expr(given)


def _choice(method: str, given: Any) -> Expr:
    if isinstance(given, str):
        raise TypeMismatch(
            f".{method}({given!r}): is the text a column or a value? Write col({given!r}) for a "
            f"column, or fastfeat.lit({given!r}) for the text itself"
        )
    return as_expr(given)
