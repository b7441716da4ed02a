"""The `.list` namespace: features of columns that hold a list in each row.

Summaries skip missing elements. A missing list gives a missing result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.calls.arguments import with_method_errors
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call, lit, several_columns, when
from fastfeat.ir.literals import Scalar, literal_value
from fastfeat.ir.node import Aggregate, Call
from fastfeat.ir.parameters import MAX_MEMORY, Parameter, Whole
from fastfeat.ir.writing import Texts, Writer
from fastfeat.operators.categories import OPERATORS as ENCODERS
from fastfeat.operators.categories import ordinal_encode
from fastfeat.operators.hashing import OPERATORS as HASHES
from fastfeat.operators.hashing import hash, hash_params
from fastfeat.operators.keys import encode_keys, vocabulary_options
from fastfeat.operators.operator import (
    Case,
    Operator,
    ReferenceColumn,
    check_parameters,
    compute_by_definition,
    parameters_of,
)
from fastfeat.scalars.categories import MISSING, MissingOption

WIDTH = Parameter("width", Whole(1, 10_000), "Number of columns")


@with_method_errors(lambda of: f"{of.expr!r}.list.")
@dataclass(frozen=True, slots=True)
class ListElements:
    """Functions of the list in each row: `col("tags").list`.

    Lists hold numbers, bools, text, dates or times. Methods have the names that Polars gives them.
    A missing list gives a missing result.

    Example:
        >>> from fastfeat import col
        >>> col("prices").list.mean() / col("prices").list.len()
        (col('prices').list.mean() / col('prices').list.len())
    """

    expr: Expr

    def len(self) -> Expr:
        """Return the number of elements, including missing ones, as int64.

        Example:
            >>> col("x").list.len()
            col('x').list.len()
        """
        return call("list.len", self.expr)

    def sum(self) -> Expr:
        """Return the exact sum, rounded once; 0 if there are no values.

        Integers and bools give int64, and overflow is an error. Missing elements are skipped.

        Example:
            >>> col("x").list.sum()
            col('x').list.sum()
        """
        return call("list.sum", self.expr)

    def mean(self) -> Expr:
        """Return the mean, float64: the exact sum, rounded once, divided by the number of values.

        Missing elements are skipped; missing if there are no values.

        Example:
            >>> col("x").list.mean()
            col('x').list.mean()
        """
        return call("list.mean", self.expr)

    def var(self, *, ddof: int = 1) -> Expr:
        """Return the variance, float64; missing for `ddof` or fewer values.

        Missing elements are skipped.

        Args:
            ddof: The divisor is the number of values minus `ddof`: 1 for a sample, 0 for a
                population.

        Example:
            >>> col("x").list.var()
            col('x').list.var(ddof=1)
        """
        return call(
            "list.var",
            self.expr,
            **check_parameters("list.var", parameters_of("list.var"), ddof=ddof),
        )

    def std(self, *, ddof: int = 1) -> Expr:
        """Return the standard deviation, float64; missing for `ddof` or fewer values.

        Missing elements are skipped.

        Args:
            ddof: The divisor is the number of values minus `ddof`: 1 for a sample, 0 for a
                population.

        Example:
            >>> col("x").list.std(ddof=0)
            col('x').list.std(ddof=0)
        """
        return call(
            "list.std",
            self.expr,
            **check_parameters("list.std", parameters_of("list.std"), ddof=ddof),
        )

    def min(self) -> Expr:
        """Return the smallest element; missing if there are no values.

        Elements are numbers, bools, dates or times; the type is kept. Missing ones are skipped.

        Example:
            >>> col("x").list.min()
            col('x').list.min()
        """
        return call("list.min", self.expr)

    def max(self) -> Expr:
        """Return the largest element; missing if there are no values.

        Elements are numbers, bools, dates or times; the type is kept. Missing ones are skipped.

        Example:
            >>> col("x").list.max()
            col('x').list.max()
        """
        return call("list.max", self.expr)

    def get(self, index: int, *, null_on_oob: bool = True) -> Expr:
        """Return one element; any method of the element's type can follow.

        Args:
            index: Position from 0, or from the end: -1 is the last.
            null_on_oob: Whether a list that is too short gives missing. False makes it an error,
                which is the default in Polars.

        Raises:
            InvalidPlan: A parameter has the wrong type.

        Example:
            >>> col("tags").list.get(0) == "new"
            (col('tags').list.get(index=0) == 'new')
        """
        given = check_parameters(
            "list.get", parameters_of("list.get"), index=index, null_on_oob=null_on_oob
        )
        return call("list.get", self.expr, **given)

    def first(self) -> Expr:
        """Return the first element; missing if the list is empty.

        Example:
            >>> col("x").list.first()
            col('x').list.get(index=0)
        """
        return self.get(0)

    def last(self) -> Expr:
        """Return the last element; missing if the list is empty.

        Example:
            >>> col("x").list.last()
            col('x').list.get(index=-1)
        """
        return self.get(-1)

    def slice(self, offset: int, length: int | None = None) -> Expr:
        """Return a part of each list, as a list.

        Args:
            offset: Position of the first element, from 0; negative counts from the end.
            length: Maximum number of elements. None takes all that follow.

        Raises:
            InvalidPlan: A parameter is not a whole number in range.

        Example:
            >>> col("x").list.slice(-3).list.mean()
            col('x').list.slice(offset=-3).list.mean()
        """
        given = check_parameters(
            "list.slice", parameters_of("list.slice"), offset=offset, length=length
        )
        return call("list.slice", self.expr, **given)

    def contains(self, item: Expr | Scalar) -> Expr:
        """Return whether a value is among the elements; missing if value or list is missing.

        Args:
            item: A constant, or an expression with a value for each row.

        Raises:
            TypeMismatch: `item` is None or NaN: a missing value is never an element.

        Example:
            >>> col("tags").list.contains("new")
            col('tags').list.contains('new')
        """
        if not isinstance(item, Expr):
            item = lit(item)
            value = literal_value(getattr(item.node, "value", None))
            if value is None or value != value:
                raise TypeMismatch(
                    f"list.contains({value!r}): cannot look for a missing value, since it is never "
                    "an element of a list"
                )
        return call("list.contains", self.expr, item)

    def pad(self, width: int, *, value: Scalar = None) -> Expr:
        """Return the first `width` elements as `width` columns with suffixes "_0", "_1" and so on.

        If a list is shorter, the further columns are missing, or equal to `value`. A missing list
        gives missing columns. Elements beyond `width` are left out.

        Args:
            width: Number of columns.
            value: Fills the columns after the end of a short list. None leaves them missing.

        Raises:
            InvalidPlan: `width` is not a whole number in range.

        Example:
            >>> plan = ff.Plan({"x": col("x").list.pad(2, value=0.0)})
            >>> plan.fit({"x": [[1.5]]}).transform({"x": [[2.5], [1.0, 2.0, 3.0]]}).to_pydict()
            {'x_0': [2.5, 1.0], 'x_1': [0.0, 2.0]}
        """
        n = check_parameters("list.pad", (WIDTH,), width=width)["width"]
        columns = {f"_{k}": self.get(k) for k in range(n)}
        if value is not None:
            columns = {
                suffix: when(self.len() <= k).then(value).otherwise(column)
                for k, (suffix, column) in enumerate(columns.items())
            }
        return several_columns(columns)

    def ordinal_encode(
        self,
        *,
        width: int,
        min_frequency: float | None = None,
        max_categories: int | None = None,
        n_unseen_buckets: int = 1,
        vocabulary: Iterable[Scalar] | None = None,
        max_memory: int = MAX_MEMORY,
    ) -> Expr:
        """Return codes of the first `width` elements as columns with suffixes "_0", "_1" and so on.

        This is the input of an embedding layer, with code 0 as padding. Code 0 stands for a missing
        element, and fills up a list that is too short or missing. Code 1 is an unseen or rare
        element. The further codes are the elements by descending frequency among all elements of
        the training rows. All columns share one vocabulary. To take the last elements, slice first:
        `.list.slice(-5).list.ordinal_encode(width=5)`.

        Args:
            width: Number of columns.
            min_frequency: Elements with fewer occurrences are rare: a number, or a float below 1
                for a share of all elements.
            max_categories: Greatest number of elements with a code, counting the rare ones as one.
            n_unseen_buckets: Number of codes, from 1, that unseen and rare elements share by their
                hash.
            vocabulary: The elements in the order of their codes, instead of those that `fit` finds.
            max_memory: Bytes that `fit` may use for the elements. Needing more is an error.

        Raises:
            InvalidPlan: A parameter is out of range or has the wrong type.

        Example:
            >>> plan = ff.Plan({"tag": col("tags").list.ordinal_encode(width=2)})
            >>> fitted = plan.fit({"tags": [["b", "a"], ["a"]]})
            >>> fitted.transform({"tags": [["a", "b", "c"], ["z"], []]}).to_pydict()
            {'tag_0': [2, 1, 0], 'tag_1': [3, 0, 0]}
        """
        n = check_parameters("list.ordinal_encode", (WIDTH,), width=width)["width"]
        encoded = ordinal_encode(
            call("list.explode", self.expr),
            min_frequency=min_frequency,
            max_categories=max_categories,
            n_unseen_buckets=n_unseen_buckets,
            vocabulary=vocabulary,
            max_memory=max_memory,
        ).node
        assert isinstance(encoded, Call)
        _, learnt = encoded.args
        places = [self.get(k).node for k in range(n)]
        codes = [Expr((Call("encode", (place, learnt), encoded.params),)) for place in places]
        return several_columns({f"_{k}": code for k, code in enumerate(codes)})

    def hash_encode(self, *, width: int, n_buckets: int, seed: int = 0) -> Expr:
        """Return hashed codes of the first `width` elements as columns "_0", "_1" and so on, int32.

        Nothing is learnt. The code of an element is 1 + its bucket from `hash`, so codes run from 1
        to `n_buckets`. Code 0 stands for a missing element, and fills up a list that is too short
        or missing.

        Args:
            width: Number of columns.
            n_buckets: Number of codes that the elements share.
            seed: Seed of the hash.

        Raises:
            InvalidPlan: A parameter is out of range or has the wrong type.

        Example:
            >>> plan = ff.Plan({"tag": col("tags").list.hash_encode(width=2, n_buckets=100)})
            >>> plan.fit({"tags": [["a"]]}).transform({"tags": [["a", "b"], [None]]}).to_pydict()
            {'tag_0': [83, 0], 'tag_1': [47, 0]}
        """
        n = check_parameters("list.hash_encode", (WIDTH,), width=width)["width"]
        if n_buckets is None:  # pyright: ignore[reportUnnecessaryComparison]  # user input
            raise InvalidPlan("list.hash_encode(n_buckets=None): takes a number of buckets")
        params = hash_params("list.hash_encode", n_buckets, seed)
        buckets = [hash(self.get(k), **params) for k in range(n)]
        return several_columns(
            {f"_{k}": (bucket.fill_null(-1) + 1).cast("int32") for k, bucket in enumerate(buckets)}
        )

    def multi_hot_encode(
        self,
        *,
        min_frequency: float | None = None,
        max_categories: int | None = None,
        missing: MissingOption = "zeros",
        max_memory: int = MAX_MEMORY,
    ) -> Expr:
        """Return one column per category, 1 if the list has it; names end in "_" and the category.

        The columns are known once the plan is fitted, in the order of `ordinal_encode`: by
        descending frequency among all elements of the training rows. If `fit` found rare elements,
        a column "__other" is 1 for these and for unseen elements; otherwise an unseen element is in
        no column. A missing element is in no column.

        Args:
            min_frequency: Elements with fewer occurrences are rare and share the column "__other":
                a number, or a float below 1 for a share of all elements.
            max_categories: Greatest number of category columns, "__other" included.
            missing: "zeros" gives zeros for a missing list; "column" also adds a column
                "__missing".
            max_memory: Bytes that `fit` may use for the elements and for the columns of the
                training rows. Needing more is an error.

        Raises:
            InvalidPlan: A parameter is out of range or has an unknown value.

        Source:
            scikit-learn's MultiLabelBinarizer.

        Example:
            >>> plan = ff.Plan({"tag": col("tags").list.multi_hot_encode()})
            >>> fitted = plan.fit({"tags": [["b", "a"], ["a"]]})
            >>> fitted.transform({"tags": [["a"], ["z", "b"], []]}).to_pydict()
            {'tag_a': [1, 0, 0], 'tag_b': [0, 1, 0]}
        """
        given = check_parameters("list.multi_hot_encode", (MISSING,), missing=missing)
        encoded = encode_keys(
            call("list.explode", self.expr),
            "list.multi_hot_encode",
            n_unseen=1,
            min_frequency=min_frequency,
            max_categories=max_categories,
            max_memory=max_memory,
        ).node
        assert isinstance(encoded, Call)
        learnt = Expr((encoded.args[-1],))
        codes = call("list.encode", self.expr, learnt, missing="key", n_unseen=1)
        return call("one_hot", codes, drop=None, **given)


@property
def elements(expr: Expr) -> ListElements:
    """Functions of the list in each row, such as `col("tags").list.len()`."""
    return ListElements(expr)


def _aggregate(function: str) -> Callable[..., Any]:
    """Return the reference function of a list aggregate: a training aggregate of each list."""

    def reference(
        train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], **params: Any
    ) -> Sequence[Any]:
        return [
            None if x is None else compute_by_definition(function, _elements(x), **params)
            for x in rows[0]
        ]

    return reference


def _elements(x: Sequence[Any] | None) -> Sequence[Any]:
    """Return a list's elements, NaN as None; an empty list for a missing one."""
    return [None if element != element else element for element in x or ()]


def _len(train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn]) -> Sequence[Any]:
    return [None if x is None else len(x) for x in rows[0]]


def _get(
    train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], index: int
) -> Sequence[Any]:
    lists = [_elements(x) for x in rows[0]]
    return [x[index] if -len(x) <= index < len(x) else None for x in lists]


def _contains(
    train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], item: Any
) -> Sequence[Any]:
    return [None if x is None else item in x for x in rows[0]]


def _pad(
    train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], width: int, value: Any = None
) -> tuple[Sequence[Any], ...]:
    padded = [
        [None] * width if x is None else [*_elements(x), *[value] * width][:width] for x in rows[0]
    ]
    return tuple([x[k] for x in padded] for k in range(width))


def _ordinal_encode(
    train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], width: int, **params: Any
) -> tuple[Sequence[int], ...]:
    learnt_from = [element for x in train[0] for element in _elements(x)]
    padded = _pad(train, rows, width)
    encode = ENCODERS["ordinal_encode"].reference
    return tuple(encode([learnt_from], [column], **params) for column in padded)


def _hash_encode(
    train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], width: int, **params: Any
) -> tuple[Sequence[int], ...]:
    bucket = HASHES["hash"].reference
    hashed = [bucket((), [column], **params) for column in _pad(train, rows, width)]
    return tuple([0 if h is None else 1 + h for h in column] for column in hashed)


def _multi_hot_encode(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    missing: str = "zeros",
    **params: Any,
) -> tuple[Sequence[int], ...]:
    learnt_from = [element for x in train[0] for element in _elements(x)]
    encode = ENCODERS["ordinal_encode"].reference
    known = set(encode([learnt_from], [learnt_from], **params))
    codes = [encode([learnt_from], [_elements(x)], **params) for x in rows[0]]
    wanted = [*sorted(known - {0, 1}), None, *known & {1}]
    return tuple(
        [
            int(x is None if one is None else one in row)
            for x, row in zip(rows[0], codes, strict=True)
        ]
        for one in wanted
        if one is not None or missing == "column"
    )


_NUMBERS = (Case(("list",)),)


def _row(
    function: Any, reference: Any, cases: tuple[Case, ...] = _NUMBERS, **more: Any
) -> Operator:
    return Operator(function, reference, cases, method=False, namespace="list", **more)


def _codes_text(node: Call, texts: Texts) -> str | None:
    match node.args:
        case (lists, Aggregate("vocabulary") as learnt):
            return f"{texts[lists]}.list.encode({', '.join(vocabulary_options(learnt, texts))})"
        case _:
            return None


def _multi_hot_text(node: Call, texts: Texts) -> str | None:
    match node.args:
        case (Call("list.encode", (lists, Aggregate("vocabulary") as learnt)),):
            given = [*vocabulary_options(learnt, texts), *texts.options(node)]
            return f"{texts[lists]}.list.multi_hot_encode({', '.join(given)})"
        case _:
            return None


WRITTEN: dict[str, Writer] = {"list.encode": _codes_text, "one_hot": _multi_hot_text}
"""Writers (see `ir.writing`) of encoders of lists, by the function of the last node."""


OPERATORS: dict[str, Operator] = {
    "list.len": _row(
        ListElements.len,
        _len,
        (*_NUMBERS, Case(("text_list",))),
    ),
    **{
        f"list.{name}": _row(getattr(ListElements, name), _aggregate(name))
        for name in ("sum", "mean", "min", "max")
    },
    "list.var": _row(ListElements.var, _aggregate("var"), (Case(("list",), {"ddof": 1}),)),
    "list.std": _row(ListElements.std, _aggregate("std"), (Case(("list",), {"ddof": 0}),)),
    "list.get": _row(
        ListElements.get, _get, tuple(Case(("list",), {"index": k}) for k in (0, -1, 2, -3))
    ),
    "list.first": _row(ListElements.first, partial(_get, index=0)),
    "list.last": _row(ListElements.last, partial(_get, index=-1)),
    "list.contains": _row(
        ListElements.contains,
        _contains,
        (
            *(Case(("list",), {"item": item}) for item in (1, 0.5)),
            Case(("text_list",), {"item": "a"}),
        ),
    ),
    "list.pad": _row(
        ListElements.pad,
        _pad,
        (Case(("list",), {"width": 3}), Case(("list",), {"width": 2, "value": 0})),
        parameters=(WIDTH,),
    ),
    "list.ordinal_encode": _row(
        ListElements.ordinal_encode,
        _ordinal_encode,
        (
            *(Case((kind,), {"width": 2}) for kind in ("text_list", "list")),
            Case(("text_list",), {"width": 1, "max_categories": 2}),
            Case(("text_list",), {"width": 3, "vocabulary": ("é", "a")}),
        ),
        parameters=(WIDTH,),
    ),
    "list.hash_encode": _row(
        ListElements.hash_encode,
        _hash_encode,
        (
            *(Case((kind,), {"width": 2, "n_buckets": 7}) for kind in ("text_list", "list")),
            Case(("text_list",), {"width": 1, "n_buckets": 2**31 - 1, "seed": 3}),
        ),
        parameters=(WIDTH,),
    ),
    "list.multi_hot_encode": _row(
        ListElements.multi_hot_encode,
        _multi_hot_encode,
        (
            Case(("text_list",)),
            Case(("text_list",), {"max_categories": 2, "missing": "column"}),
            Case(("list",), {"max_categories": 3}),
        ),
    ),
}
