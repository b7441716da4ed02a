"""Encoders of categories: codes, counts and indicator columns, learnt from the training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call, literal_table, several_columns
from fastfeat.ir import node as ir
from fastfeat.ir.literals import Scalar, in_order, literal_value
from fastfeat.ir.node import Call
from fastfeat.ir.parameters import MAX_MEMORY, BoolChoice, Parameter, Whole
from fastfeat.ir.writing import Texts, Writer
from fastfeat.operators.keys import (
    as_key_parts,
    codes_options,
    encode_keys,
    group_text,
    keys_text,
    min_rows_of,
)
from fastfeat.operators.operator import (
    Case,
    Operator,
    ReferenceColumn,
    check_parameters,
    parameters_of,
)

if TYPE_CHECKING:
    from fastfeat.scalars.categories import Drop, MissingOption

NORMALIZE = Parameter(
    "normalize",
    BoolChoice(),
    "Whether to return the share of the training rows, not the count",
    False,
)

N_COLUMNS = Parameter("n_columns", Whole(2, 31), "Number of columns")


def ordinal_encode(
    x: Expr,
    *,
    min_frequency: float | None = None,
    max_categories: int | None = None,
    n_unseen_buckets: int = 1,
    vocabulary: Iterable[Scalar] | None = None,
    max_memory: int = MAX_MEMORY,
) -> Expr:
    """Return the code of each category: 0 missing, 1 unseen or rare, then the most frequent first.

    Equally frequent categories are ordered by value; text is ordered by its bytes.
    `fitted.vocabulary(name)` lists the categories, `fitted.encoding(name).inverse(codes)` turns
    codes back into categories.

    Args:
        x: Text, numbers, bools, dates or times; or several of them combined by `ff.cross`.
        min_frequency: Categories with fewer training rows are rare: a number of rows, or a float
            below 1 for a share of all rows.
        max_categories: Greatest number of categories with a code, counting the rare ones as one.
        n_unseen_buckets: Number of codes, from 1, that unseen and rare categories share by their
            hash.
        vocabulary: The categories in the order of their codes, instead of those that `fit` finds.
        max_memory: Bytes that `fit` may use for the categories. Needing more is an error.

    Raises:
        InvalidPlan: A parameter is out of range or has the wrong type; or `vocabulary` is given
            together with `min_frequency` or `max_categories`.

    Source:
        The parameters are those of scikit-learn's OrdinalEncoder; the codes are this library's own.

    Example:
        >>> plan = ff.Plan({"k": col("k").ordinal_encode()})
        >>> fitted = plan.fit({"k": ["b", "a", "a", None]})
        >>> fitted.transform({"k": ["a", "b", "c", None]}, backend="reference")["k"].to_pylist()
        [2, 3, 1, 0]
    """
    unseen = check_parameters(
        "ordinal_encode", parameters_of("encode"), n_unseen_buckets=n_unseen_buckets
    )
    if vocabulary is not None:
        if min_frequency is not None or max_categories is not None:
            raise InvalidPlan(
                "ordinal_encode(vocabulary=...): min_frequency= and max_categories= apply only to "
                "a vocabulary that fit learns. Leave them out, or leave out vocabulary="
            )
        return call("encode", x, _vocabulary_table(vocabulary), missing="key", **unseen)
    return encode_keys(
        x,
        "ordinal_encode",
        n_unseen=unseen["n_unseen"],
        min_frequency=min_frequency,
        max_categories=max_categories,
        max_memory=max_memory,
    )


def _vocabulary_table(vocabulary: Any) -> Expr:
    """Return the user's `vocabulary=` as a literal table; InvalidPlan if a category repeats."""
    if isinstance(vocabulary, str | bytes | Expr) or not isinstance(vocabulary, Iterable):
        raise TypeMismatch(f"ordinal_encode(vocabulary={vocabulary!r}): takes a list of categories")
    given = cast("Any", vocabulary)
    listed: Any = given.to_pylist() if hasattr(given, "to_pylist") else in_order(given)
    values = [literal_value(value) for value in listed]
    if any(value is None or value != value for value in values):
        raise InvalidPlan(
            "ordinal_encode(vocabulary=...): a missing value always has the code 0. Leave it out "
            "of the list"
        )
    again = [value for value, n in Counter(map(repr, values)).items() if n > 1]
    if again or not values:
        told = f"lists {again[0]} twice" if again else "the list of categories is empty"
        raise InvalidPlan(f"ordinal_encode(vocabulary=...): {told}")
    return literal_table(values)


def count_encode(
    x: Expr,
    *,
    normalize: bool = False,
    min_rows: int | None = None,
    max_memory: int = MAX_MEMORY,
) -> Expr:
    """Return the number of training rows with the row's category; 0 if the category is unseen.

    Args:
        x: Text, numbers, bools, dates or times; or several of them combined by `ff.cross`. Missing
            is a category too.
        normalize: Whether to return the share of the training rows instead.
        min_rows: `fit` drops categories with fewer training rows than this and treats them as
            unseen. None keeps all. The count of missing is always kept.
        max_memory: Bytes that `fit` may use for the categories. Needing more is an error.

    Raises:
        InvalidPlan: A parameter is out of range or has the wrong type.

    Source:
        category_encoders' CountEncoder.

    Example:
        >>> plan = ff.Plan({"n": col("k").count_encode()})
        >>> fitted = plan.fit({"k": ["b", "a", "a", None]})
        >>> fitted.transform({"k": ["a", "b", "c", None]}, backend="reference")["n"].to_pylist()
        [2, 1, 0, 1]
    """
    given = check_parameters("count_encode", (NORMALIZE,), normalize=normalize)
    least = min_rows_of("count_encode", min_rows)
    codes = encode_keys(x, "count_encode", n_unseen=1, min_frequency=least, max_memory=max_memory)
    node = codes.node
    assert isinstance(node, Call)
    learnt = Expr((node.args[-1],))
    return call("category_share" if given["normalize"] else "category_count", codes, learnt)


def one_hot_encode(
    x: Expr,
    *,
    min_frequency: float | None = None,
    max_categories: int | None = None,
    drop: Drop | None = None,
    missing: MissingOption = "zeros",
    max_memory: int = MAX_MEMORY,
) -> Expr:
    """Return one column per category, 1 in its rows, else 0; names end in "_" and the category.

    The columns are known once the plan is fitted, in the order of `ordinal_encode`: by descending
    frequency in the training rows. If `fit` found rare categories, a column "__other" is 1 for
    these and for unseen ones; otherwise an unseen category is 0 in all columns. Columns of times
    are named as Python writes the time, in UTC if it has a zone.

    Args:
        x: Text, numbers, bools, dates or times; or several of them combined by `ff.cross`.
        min_frequency: Categories with fewer training rows are rare and share the column "__other":
            a number of rows, or a float below 1 for a share of all rows.
        max_categories: Greatest number of category columns, "__other" included.
        drop: "first" leaves out the most frequent category. "if_binary" does so only if there are
            two columns, counting "__other" but not "__missing". None keeps all.
        missing: "zeros" gives zeros for a missing value; "column" adds a column "__missing".
        max_memory: Bytes that `fit` may use for the categories and for the columns of the training
            rows. Needing more is an error.

    Raises:
        InvalidPlan: A parameter is out of range or has an unknown value.

    Source:
        scikit-learn's OneHotEncoder.

    Example:
        >>> plan = ff.Plan({"k": col("k").one_hot_encode()})
        >>> fitted = plan.fit({"k": ["b", "a", "a"]})
        >>> fitted.transform({"k": ["a", "c"]}, backend="reference").to_pydict()
        {'k_a': [1, 0], 'k_b': [0, 0]}
    """
    given = check_parameters("one_hot_encode", parameters_of("one_hot"), drop=drop, missing=missing)
    codes = encode_keys(
        x,
        "one_hot_encode",
        n_unseen=1,
        min_frequency=min_frequency,
        max_categories=max_categories,
        max_memory=max_memory,
    )
    return call("one_hot", codes, **given)


def binary_encode(
    x: Expr,
    *,
    n_columns: int,
    min_frequency: float | None = None,
    max_memory: int = MAX_MEMORY,
) -> Expr:
    """Return the bits of a category's code, uint8: "_0" is the lowest bit, "_1" the next.

    The codes are those of `ordinal_encode`: 0 missing, 1 unseen or rare, then the most frequent
    first, as many as the bits can hold. 8 columns hold up to 254 categories.

    Args:
        x: Text, numbers, bools, dates or times; or several of them combined by `ff.cross`.
        n_columns: Number of columns. If there are more categories than the bits can hold, the least
            frequent ones are rare.
        min_frequency: Categories with fewer training rows are rare: a number of rows, or a float
            below 1 for a share of all rows.
        max_memory: Bytes that `fit` may use for the categories. Needing more is an error.

    Raises:
        InvalidPlan: A parameter is out of range or has the wrong type.

    Source:
        category_encoders' BinaryEncoder, which numbers categories in the order of the rows and
        makes as many columns as it needs, with the highest bit first.

    Example:
        >>> plan = ff.Plan({"k": col("k").binary_encode(n_columns=2)})
        >>> fitted = plan.fit({"k": ["b", "a", "a", None]})
        >>> fitted.transform({"k": ["a", "b", "c", None]}, backend="reference").to_pydict()
        {'k_0': [0, 1, 1, 0], 'k_1': [1, 1, 0, 0]}
    """
    given = check_parameters("binary_encode", (N_COLUMNS,), n_columns=n_columns)
    codes = encode_keys(
        x,
        "binary_encode",
        n_unseen=1,
        min_frequency=min_frequency,
        max_categories=2 ** given["n_columns"] - 2,
        max_memory=max_memory,
    )
    bits = range(given["n_columns"])
    return several_columns({f"_{bit}": (codes // 2**bit % 2).cast("uint8") for bit in bits})


@with_argument_errors
def cross(*parts: Expr | str) -> Expr:
    """Return the exact combination of several values, in their order, for an encoder.

    A missing part counts as a value of its own. An encoder must follow.

    Args:
        parts: Expressions or names of columns, at least two.

    Raises:
        InvalidPlan: Fewer than two parts are given.

    Example:
        >>> ff.cross("origin", "dest").ordinal_encode()
        ff.cross(col('origin'), col('dest')).ordinal_encode()
    """
    if len(parts) < 2:
        raise InvalidPlan(f"cross(): takes two or more columns or expressions, got {len(parts)}")
    return call("cross", *as_key_parts("cross", parts))


def _codes(train: ReferenceColumn, rows: ReferenceColumn, **params: Any) -> list[int]:
    """Return the codes of `rows`, learnt from `train` by the definition of `ordinal_encode`."""
    ordered, counts = _sort_categories(train), Counter(x for x in train if x is not None)
    least, most = params.get("min_frequency") or 0, params.get("max_categories")
    if isinstance(least, float):
        least *= len(train)
    kept = [x for x in ordered if counts[x] >= least]
    if most is not None and len(kept) + (len(kept) < len(ordered)) > most:
        kept = kept[: most - 1]
    codes = {x: 2 + k for k, x in enumerate(kept)}
    return [0 if x is None else codes.get(x, 1) for x in rows]


def _sort_categories(train: ReferenceColumn) -> list[Any]:
    """Return the distinct values of the training rows: the most frequent first, then by value."""
    counts = Counter(x for x in train if x is not None)
    return sorted(counts, key=lambda x: (-counts[x], x.encode() if isinstance(x, str) else x))


def _ordinal_encode(
    train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], **params: Any
) -> list[int]:
    known = params.pop("vocabulary", None)
    if known is None:
        return _codes(train[0], rows[0], **params)
    codes = {x: 2 + k for k, x in enumerate(known)}
    return [0 if x is None else codes.get(x, 1) for x in rows[0]]


def _count_encode(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    normalize: bool = False,
    min_rows: int = 1,
) -> list[float]:
    counts = Counter({x: n for x, n in Counter(train[0]).items() if x is None or n >= min_rows})
    return [counts[x] / len(train[0]) if normalize else counts[x] for x in rows[0]]


def _one_hot_encode(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    drop: str | None = None,
    **params: Any,
) -> tuple[list[int], ...]:
    missing = params.pop("missing", "zeros")
    codes = _codes(train[0], rows[0], **params)
    learnt = set(_codes(train[0], train[0], **params))
    n_categories = max([1, *learnt]) - 1
    n_columns = n_categories + (1 in learnt)
    n_dropped = int(drop == "first" or (drop == "if_binary" and n_columns == 2))
    wanted = [2 + k for k in range(n_dropped, n_categories)]
    wanted += [0] * (missing == "column") + [1] * (1 in learnt)
    return tuple([int(code == one) for code in codes] for one in wanted)


def _binary_encode(
    train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], n_columns: int, **params: Any
) -> tuple[list[int], ...]:
    codes = _codes(train[0], rows[0], max_categories=2**n_columns - 2, **params)
    return tuple([code >> bit & 1 for code in codes] for bit in range(n_columns))


_KEYS = ("text", "integer", "bool", "number")


def _ordinal_text(node: Call, texts: Texts) -> str | None:
    return _encoder_text("ordinal_encode", node, [], texts)


def _encoder_text(function: str, codes: Call, more: Sequence[str], texts: Texts) -> str | None:
    """Return the text of an encoder's call; None if its codes have no learnt or given vocabulary.

    `codes` is the node that encodes keys; `more` has further options as text.
    """
    match codes.args:
        case (*parts, ir.Aggregate("vocabulary")):
            given = codes_options(codes, texts)
        case (*parts, ir.Literal(listed)):
            given = [f"vocabulary={list(listed)!r}", *codes_options(codes, texts)]
        case _:
            return None
    key = keys_text(parts, dict(codes.params).get("missing"), texts)
    return f"{key}.{function}({', '.join([*given, *more])})"


def _count_text(node: Call, texts: Texts) -> str | None:
    match node.args:
        case (Call("encode") as codes, _):
            key, least = group_text(codes, texts)
            share = ["normalize=True"] if node.function == "category_share" else []
            return f"{key}.count_encode({', '.join([*share, *least])})"
        case _:
            return None


def _one_hot_text(node: Call, texts: Texts) -> str | None:
    match node.args:
        case (Call("encode") as codes,):
            return _encoder_text("one_hot_encode", codes, texts.options(node), texts)
        case _:
            return None


WRITTEN: dict[str, Writer] = {
    "encode": _ordinal_text,
    "category_count": _count_text,
    "category_share": _count_text,
    "one_hot": _one_hot_text,
}
"""Writers (see `ir.writing`) of encoders, by the function of the last node."""


OPERATORS: dict[str, Operator] = {
    "ordinal_encode": Operator(
        ordinal_encode,
        _ordinal_encode,
        (
            *(Case((kind,)) for kind in _KEYS),
            Case(("text",), {"min_frequency": 2}),
            Case(("integer",), {"min_frequency": 0.05}),
            Case(("text",), {"max_categories": 3}),
            Case(("text",), {"vocabulary": ("a", "é", "")}),
            Case(("integer",), {"vocabulary": (3, 1, 2)}),
        ),
    ),
    "count_encode": Operator(
        count_encode,
        _count_encode,
        (*(Case((kind,)) for kind in _KEYS), Case(("text",), {"normalize": True})),
        parameters=(NORMALIZE,),
    ),
    "binary_encode": Operator(
        binary_encode,
        _binary_encode,
        (
            Case(("text",), {"n_columns": 5}),
            Case(("integer",), {"n_columns": 3}),
            Case(("bool",), {"n_columns": 2}),
            Case(("text",), {"n_columns": 3, "min_frequency": 2}),
        ),
        parameters=(N_COLUMNS,),
    ),
    "one_hot_encode": Operator(
        one_hot_encode,
        _one_hot_encode,
        (
            Case(("text",), {"max_categories": 20}),
            Case(("bool",)),
            Case(("text",), {"drop": "first", "missing": "column", "max_categories": 5}),
            Case(("bool",), {"drop": "if_binary"}),
            Case(("text",), {"max_categories": 3}),
        ),
    ),
}
