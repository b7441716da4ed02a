"""`polynomial_features`: the products of several columns up to a degree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, combinations_with_replacement
from typing import Any

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import InvalidPlan, shortened
from fastfeat.expr import Expr, lit, several_columns
from fastfeat.ir.node import Column
from fastfeat.ir.parameters import BoolChoice, Parameter, Parameters, Whole
from fastfeat.operators.horizontal import Operand, operands
from fastfeat.operators.operator import Case, Operator, ReferenceColumn, check_parameters

POLYNOMIAL_FEATURES: Parameters = (
    Parameter("degree", Whole(1), "Maximum number of factors in a product", 2),
    Parameter(
        "interaction_only",
        BoolChoice(),
        "Whether to leave out products that repeat a factor",
        False,
    ),
    Parameter(
        "include_bias", BoolChoice(), "Whether to add a first column with the constant 1", False
    ),
)
MOST_COLUMNS = 10_000

FactorNumbers = tuple[int, ...]
"""The factors of a product as positions in rising order; empty for the constant 1."""


@with_argument_errors
def polynomial_features(
    *exprs: Operand | Iterable[Operand],
    degree: int = 2,
    interaction_only: bool = False,
    include_bias: bool = False,
) -> Expr:
    """Return one column for each product of the expressions up to a degree.

    Names end in "_" and scikit-learn's name of the product: "_a", "_b", "_a^2", "_a b", "_b^2", and
    "_1" for the constant. An expression is named by its `alias`, a column by its name, and anything
    else "x0", "x1" and so on by its position.

    A product is multiplied from its last factor to its first: a b c is a * (b * c). Products of
    integers are int64.

    Args:
        exprs: Numbers, as expressions or names of columns. A product with a missing factor is
            missing.
        degree: Largest number of factors, from 1.
        interaction_only: Whether each expression appears at most once in a product (no powers).
        include_bias: Whether the first column is the constant 1.

    Raises:
        InvalidPlan: Nothing is given, two expressions have the same name, or there would be more
            than 10,000 columns.
        Overflow: At transform, if a product of integers does not fit into int64.

    Source:
        scikit-learn's PolynomialFeatures: the same columns in the same order with the same bits.

    Example:
        >>> plan = ff.Plan({"p": polynomial_features("a", "b")})
        >>> fitted = plan.fit({"a": [0.0], "b": [0.0]})
        >>> fitted.transform({"a": [2.0], "b": [3.0]}, backend="reference").to_pydict()
        {'p_a': [2.0], 'p_b': [3.0], 'p_a^2': [4.0], 'p_a b': [6.0], 'p_b^2': [9.0]}
    """
    factors = operands("polynomial_features", exprs)
    given = check_parameters(
        "polynomial_features",
        POLYNOMIAL_FEATURES,
        degree=degree,
        interaction_only=interaction_only,
        include_bias=include_bias,
    )
    degree, interaction_only = given["degree"], given["interaction_only"]
    n_terms = _count(len(factors), degree, interaction_only)
    if n_terms > MOST_COLUMNS:
        raise InvalidPlan(
            f"polynomial_features(degree={degree}) of {len(factors)} expressions gives {n_terms:,} "
            f"columns, more than {MOST_COLUMNS:,}. Use fewer expressions or a lower degree"
        )
    names = _names(factors)
    products: dict[FactorNumbers, Expr] = {(): lit(1.0)} if given["include_bias"] else {}
    for term in _terms(len(factors), degree, interaction_only):
        first = factors[term[0]]
        products[term] = first * products[term[1:]] if len(term) > 1 else first
    parts = {"_" + _name(term, names): product for term, product in products.items()}
    if len(parts) < len(products):
        raise InvalidPlan(
            f"polynomial_features: two products of {shortened(names)} would be columns with the "
            "same name. Give the expressions other names: col('x').alias('y')"
        )
    return replace(several_columns(parts), name=None)


def _count(n: int, degree: int, interaction_only: bool) -> int:
    """Return the number of products up to a degree of n expressions, without the constant."""
    if interaction_only:
        return sum(math.comb(n, k) for k in range(1, min(n, degree) + 1))
    return math.comb(n + degree, min(n, degree)) - 1


def _terms(n: int, degree: int, interaction_only: bool) -> Iterator[FactorNumbers]:
    """Yield the products (terms) of 1 factor, then those of 2 factors, up to the degree."""
    choose = combinations if interaction_only else combinations_with_replacement
    for size in range(1, (min(n, degree) if interaction_only else degree) + 1):
        yield from choose(range(n), size)


def _names(factors: Sequence[Expr]) -> list[str]:
    """Return the name of each expression within product names; raise if two are equal."""
    names: list[str] = []
    for place, factor in enumerate(factors):
        node = factor.node
        names.append(factor.name or (node.name if isinstance(node, Column) else f"x{place}"))
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise InvalidPlan(
            f"polynomial_features: two expressions are called {twice[0]!r}. "
            "Rename one of them: col('x').alias('y')"
        )
    return names


def _name(term: FactorNumbers, names: Sequence[str]) -> str:
    """Return the name of a product in scikit-learn's form: "a^2 b"."""
    powers = {place: term.count(place) for place in term}
    shown = [names[p] if power == 1 else f"{names[p]}^{power}" for p, power in powers.items()]
    return " ".join(shown) or "1"


def _polynomial_features(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    degree: int = 2,
    interaction_only: bool = False,
    include_bias: bool = False,
) -> tuple[list[Any], ...]:
    choose = combinations if interaction_only else combinations_with_replacement
    columns = [[1.0] * len(rows[0])] if include_bias else []
    for size in range(1, degree + 1):
        for chosen in choose(rows, size):
            columns.append([_product(row) for row in zip(*chosen, strict=True)])
    return tuple(columns)


def _product(factors: Sequence[Any]) -> Any:
    if any(factor is None for factor in factors):
        return None
    *others, result = factors
    for factor in reversed(others):
        result = factor * result
    return result


OPERATORS: dict[str, Operator] = {
    "polynomial_features": Operator(
        polynomial_features,
        _polynomial_features,
        (
            Case(("float", "float")),
            Case(("degrees", "degrees", "float"), {"degree": 4, "include_bias": True}),
            Case(("float", "integer", "bool"), {"interaction_only": True}),
            Case(("bool",), {"degree": 3}),
        ),
        method=False,
        parameters=POLYNOMIAL_FEATURES,
    ),
}
