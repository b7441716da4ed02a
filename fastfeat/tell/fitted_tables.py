"""Tables of a fitted plan for users: categories, values per key, and the map of features.

The map lists the source columns of each output column; importances and SHAP values can be grouped
by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import is_target
from fastfeat.aggregates.keys import Groups, Vocabulary
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch, did_you_mean
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import Array, Table, call, pa
from fastfeat.io.columns.bits import array_of_values, present_rows
from fastfeat.io.columns.keys import comparable
from fastfeat.io.columns.times import python_value
from fastfeat.io.columns.types import arrow_type, storage_type
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Column, Node, TableColumn, fold, postorder
from fastfeat.ir.show import show_all
from fastfeat.keep.state import aggregates_of
from fastfeat.plan.declare.bind import list_names
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower import indicators
from fastfeat.plan.lower.lower import LearntConstant, NodeTypes


def encoder_of(known: Mapping[str, Sequence[Node]], feature: str) -> Call:
    """Return the first call in a feature's expression that encodes categories.

    `known` has the expressions of each feature and of each output column, by name.

    Raises:
        InvalidPlan: There is no such feature, or it has no codes.
    """
    if feature not in known:
        hint = did_you_mean(str(feature), known) or f" The features are: {list_names(known)}"
        raise InvalidPlan(f"there is no feature {feature!r}.{hint}")
    for node in postorder(known[feature]):
        if isinstance(node, Call) and node.function in ("encode", "list.encode"):
            return node
    raise InvalidPlan(f"feature {feature!r} has no categories: it has no encoder and no by=")


def vocabulary_table(codes: Call, learnt: Mapping[Node, LearntConstant], types: NodeTypes) -> Table:
    """Return a table of an encoder's categories: code, parts of the key, and number of rows.

    `codes` is the call of the encoder. The first codes stand for missing and unseen keys.
    """
    vocabulary = code_plans.vocabulary_of_codes(codes, learnt, types)
    n_unseen = int(dict(codes.params)["n_unseen"])
    # with several codes, the hash of a rare key chooses one, and no counts are kept per code
    rare = [vocabulary.n_rare] if n_unseen == 1 else [None if vocabulary.n_rare else 0] * n_unseen
    counts = [vocabulary.n_missing, *rare]
    numbers = np.arange(1 + n_unseen + len(vocabulary), dtype=np.int32)
    columns = {
        "code": array_of_values(numbers, None, pa.int32()),
        **_parts(codes, vocabulary, types, 1 + n_unseen),
        "count": pa.array([*counts, *vocabulary.counts.tolist()], pa.int64()),
    }
    return pa.table(columns)


def categories_of_codes(
    codes: Call, given: Any, learnt: Mapping[Node, LearntConstant], types: NodeTypes
) -> Any:
    """Return an Arrow array with the category of each code, null for codes without a category.

    With several keys, a category is a struct of their values.

    Raises:
        InvalidData: A number is not a code of the encoder.
        TypeMismatch: The codes are not integers.
    """
    vocabulary = code_plans.vocabulary_of_codes(codes, learnt, types)
    n_codes = 1 + int(dict(codes.params)["n_unseen"]) + len(vocabulary)
    places = _integers(given)
    odd = [c for c in places.to_pylist() if c is not None and not 0 <= c < n_codes]
    if odd:
        raise InvalidData(f"{odd[0]} is not a code: the encoder has the codes 0 to {n_codes - 1}")
    parts = _parts(codes, vocabulary, types, n_codes - len(vocabulary))
    taken = {name: call("take", part, places) for name, part in parts.items()}
    if len(taken) == 1:
        return next(iter(taken.values()))
    first = n_codes - len(vocabulary)
    none = pa.array([code is None or code < first for code in places.to_pylist()], pa.bool_())
    return pa.StructArray.from_arrays(list(taken.values()), names=list(taken), mask=none)


def _integers(given: Any) -> Array:
    """Return codes, in any form that PyArrow accepts, as one array of int64.

    Raises:
        TypeMismatch: They are not whole numbers.
    """
    try:
        column = given if isinstance(given, pa.ChunkedArray | pa.Array) else pa.array(given)
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            return whole.cast(pa.int64())
        if pa.types.is_null(column.type):
            return pa.nulls(len(column), pa.int64())
        found = f"got values of type {column.type}"
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        found = str(error)
    raise TypeMismatch(f"inverse() takes codes as a list or array of whole numbers: {found}")


def learnt_table(
    aggregate: Aggregate,
    value: Vocabulary | Groups,
    learnt: Mapping[Node, LearntConstant],
    types: NodeTypes,
) -> Table:
    """Return a table of learnt keys, with the row count or the learnt value of each."""
    if isinstance(value, Vocabulary):
        parts = _key_columns(aggregate.args, value, types, 0)
        return pa.table({**parts, "count": array_of_values(value.counts, None, pa.int64())})
    codes = aggregate.args[1]
    assert isinstance(codes, Call)
    vocabulary = code_plans.vocabulary_of_codes(codes, learnt, types)
    first = len(value.values) - len(vocabulary)
    found = _group_values(value, types[aggregate])
    keys = _key_columns(_keys(codes), vocabulary, types, first, unnamed="key", taken=("value",))
    return pa.table({**keys, "value": found})


def _group_values(groups: Groups, dtype: DType) -> Array:
    """Return the values of groups as an Arrow array of type `dtype`, null if a group has none."""
    if dtype.name == "bool":
        return array_of_values(groups.values.astype(bool), groups.present, pa.bool_())
    if dtype.physical == "f64":
        return array_of_values(np.ascontiguousarray(groups.values), groups.present, pa.float64())
    narrow = groups.values.astype(storage_type(dtype).to_pandas_dtype())
    return array_of_values(narrow, groups.present, arrow_type(dtype))


def _parts(
    codes: Call, vocabulary: Vocabulary, types: NodeTypes, n_before: int
) -> dict[str, Array]:
    return _key_columns(_keys(codes), vocabulary, types, n_before)


def _keys(codes: Call) -> Sequence[Node]:
    of_lists = codes.function == "list.encode"
    return codes.args[-1].args if of_lists else codes.args[:-1]


def _key_columns(
    keys: Sequence[Node],
    vocabulary: Vocabulary,
    types: NodeTypes,
    n_before: int,
    *,
    unnamed: str = "value",
    taken: Sequence[str] = ("code", "count"),
) -> dict[str, Array]:
    """Return the columns of a table of keys by name, one per part of the key.

    Each begins with `n_before` nulls, for the codes of missing and unseen keys. `unnamed` is the
    name of parts that are computed expressions. A name that is in `taken` gets a "_" appended.
    """
    parts: dict[str, Array] = {}
    for key, values in zip(keys, vocabulary.parts, strict=True):
        name = key.name if isinstance(key, Column) else unnamed
        while name in parts or name in taken:
            name += "_"
        array = column_of_keys(values, types[key])
        parts[name] = pa.concat_arrays([pa.nulls(n_before, array.type), array])
    return parts


def column_of_keys(keys: Array, dtype: DType) -> Array:
    """Return keys, as they are stored, in the Arrow type of the column that they came from."""
    wanted = arrow_type(comparable(dtype))
    if dtype.name == "utf8" or keys.type == wanted:
        return keys
    if dtype.name == "bool":
        values = keys.fill_null(0).to_numpy(zero_copy_only=False).astype(bool)
        return array_of_values(values, present_rows(keys), pa.bool_())
    plain = keys.cast(storage_type(dtype), safe=False)
    return plain if plain.type == wanted else plain.view(wanted)


_SCHEMA = pa.schema(
    [("column", pa.string()), ("feature", pa.string()), ("sources", pa.list_(pa.string()))]
)


def feature_map(fitted: Fitted) -> Table:
    """Return a table of the output columns; see `ff.quality.feature_map`."""
    sources = sources_of(list(fitted.nodes.values()))
    rows = [(name, of, sources[fitted.nodes[name]]) for name, of in features_of_columns(fitted)]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    return pa.table(columns, schema=_SCHEMA)


def sources_of(roots: list[Node]) -> dict[Node, list[str]]:
    """Return the names of the source columns of each root, in order of first use.

    Targets and folds of target encoders are left out, since transform does not read them.
    """

    def visit(node: Node, args: list[dict[str, None]]) -> dict[str, None]:
        match node:
            case Column(name):
                return {name: None}
            case TableColumn(table, name):
                return {f"{table}.{name}": None}
            case _:
                read = args[1:2] if is_target(node) else args
                return {name: None for names in read for name in names}

    found = fold(roots, visit)
    return {root: list(found[root]) for root in roots}


def features_of_columns(fitted: Fitted) -> Iterator[tuple[str, str]]:
    """Yield the name of each output column with the name of its feature."""
    plan = fitted.declaration
    for feature, expression in plan.features.items():
        written = {feature + suffix: plan.nodes[feature + suffix] for suffix in expression.suffixes}
        for column in indicators.expand_one_hot(written, fitted.learnt, fitted.types):
            yield column, feature


def learnt_values(fitted: Fitted) -> dict[str, Any]:
    """Return each learnt value, keyed by the text of the expression that learns it.

    See `FittedPlan.learnt`.
    """
    aggregates = aggregates_of(fitted.declaration.nodes.values())
    values: dict[str, Any] = {}
    for aggregate, text in show_all(aggregates).items():
        # shortened texts may be equal
        name = text if text not in values else f"{text} #{len(values)}"
        value = fitted.learnt[aggregate]
        if isinstance(aggregate, Aggregate) and isinstance(value, Vocabulary | Groups):
            values[name] = learnt_table(aggregate, value, fitted.learnt, fitted.types)
        else:
            values[name] = python_value(value, fitted.types[aggregate])
    return values


def vocabulary(fitted: Fitted, feature: str) -> Table:
    """Return a table of the categories of an encoder; see `FittedPlan.vocabulary`."""
    return vocabulary_table(_encoder(fitted, feature), fitted.learnt, fitted.types)


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """The encoding of a feature; `FittedPlan.encoding` returns it.

    Args:
        feature: The feature.
        n_codes: The number of codes: the size that an embedding table needs.
        record: The internal record of the fitted plan.
        encoder: The internal record of the encoder.
    """

    feature: str
    n_codes: int
    record: Fitted = field(repr=False)
    encoder: Call = field(repr=False)

    @property
    def categories(self) -> Array:
        """The categories as text, in the order of codes, from code 1.

        First comes "__other", for unseen and rare values ("__other_1" to "__other_k" with
        `n_unseen_buckets=k`), then the vocabulary. A value is written as in the names of one-hot
        columns. The parts of a `cross` are separated by a space, and a missing part is "missing".
        If two texts are equal, the later one gets a "_" appended.
        """
        return code_plans.category_names(self.encoder, self.record.constants, self.record.types)

    def inverse(self, codes: Any) -> Any:
        """Return the category that each code stands for.

        Args:
            codes: Integer codes, in any form that pyarrow takes.

        Returns:
            An array of the type of the column; for a `cross` a struct array. The codes of missing,
            unseen and rare categories give missing values, because the original value is not known.

        Raises:
            InvalidData: A code that the encoder does not produce.
            TypeMismatch: The codes are not integers.
        """
        return categories_of_codes(self.encoder, codes, self.record.learnt, self.record.types)


def encoding_of(fitted: Fitted, feature: str) -> Encoding:
    """Return the encoding of a feature; see `FittedPlan.encoding`."""
    encoder = _encoder(fitted, feature)
    return Encoding(feature, code_plans.n_codes(encoder, fitted.constants), fitted, encoder)


def _encoder(fitted: Fitted, feature: str) -> Call:
    """Return the first call that encodes categories, in an output column or feature of the plan."""
    plan = fitted.declaration
    of_plan: dict[str, list[Node]] = {
        name: [plan.nodes[name + suffix] for suffix in expression.suffixes]
        for name, expression in plan.features.items()
    }
    return encoder_of({name: [node] for name, node in fitted.nodes.items()} | of_plan, feature)
