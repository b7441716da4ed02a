"""Ray: plans fitted on a Ray Data dataset, and its features as a dataset, on the workers of Ray.

Each pass of fit maps the blocks to states, which tasks merge in a tree while others still read; the
driver receives one state a pass. What travels is data alone: the plan as JSON, what is learnt, and
tables, as bytes. Ray runs a task of a worker that died again, and the bits are the same.

    from fastfeat.integrations import ray as ff_ray

    train = ray.data.read_parquet("s3://bucket/train")
    fitted, features = ff_ray.fit_transform(plan, train, label=True)  # encodings out of fold
    trainer = TorchTrainer(loop, datasets={"train": features}, ...)
    ff_ray.transform(fitted, ray.data.read_parquet("s3://bucket/later")).write_parquet("features")
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from fastfeat.api.learning import Learning
from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.arguments import explaining_as
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.integrations.library import library
from fastfeat.integrations.on_workers import (
    STATES,
    Features,
    Training,
    Transform,
    check_no_windows,
    columns_read,
    features_of,
    learn,
    merged_states,
    state_of_part,
    training_of,
    transform_of,
)
from fastfeat.io.arrow import Schema, Table, pa
from fastfeat.plan.run.lookup_tables import Tables

__all__ = ["fit", "fit_transform", "transform"]

_ray = library("ray")
_data = library("ray.data", "ray")
_MERGED_AT_ONCE = 4
"""States of one task: with more, merging waits for the last of them and then takes long."""


@explaining_as("ray.", {})
def fit(plan: Plan, dataset: Any, *, tables: Tables = None) -> FittedPlan:
    """Return the plan fitted on all rows of a dataset: bit for bit that of `Plan.fit`.

    Args:
        plan: what is fitted.
        dataset: a Ray Data dataset, which is executed once a pass, for the columns of the pass:
            one that shuffles or samples at random, or takes long, is materialized first.
        tables: as in `Plan.fit`; they are read on the driver, and go to each worker.

    Raises:
        InvalidPlan: folds are made of the number of a row, which a dataset has not; windows are
            learnt from, or the label looks ahead.
        TypeMismatch: it is no dataset, or a column has no Arrow type.
        FastfeatError: as `Plan.fit`. Of rows that fail one is told, not always the first.

    Warns:
        FastfeatWarning: as `Plan.fit`.
    """
    return _learnt(plan, dataset, tables).finish()


@explaining_as("ray.", {})
def transform(
    fitted: FittedPlan, dataset: Any, *, tables: Tables = None, label: bool = False
) -> Any:
    """Return the features of the rows as a dataset, computed when it is read.

    Args:
        fitted: the plan.
        dataset: a Ray Data dataset. The rows that were learnt from have their own labels in an
            encoding of these: train on those of `fit_transform`.
        tables: as in `FittedPlan.transform`; they are read here.
        label: whether the label of the plan follows the features, under its name.

    Returns:
        A dataset of as many rows, in Ray's order of blocks: `keep=` columns tell them apart.

    Raises:
        InvalidPlan: a feature sees other rows, `transform_to` computes it of files; there is no
            label.
        FastfeatError: as `FittedPlan.transform`, of columns and tables; of values where it is read.
    """
    schema = _schema_of(dataset)
    given = transform_of(fitted, tables, label=label)
    return _features(dataset, columns_read(fitted.plan, schema, label=label), given)


@explaining_as("ray.", {})
def fit_transform(
    plan: Plan, dataset: Any, *, tables: Tables = None, label: bool = False
) -> tuple[FittedPlan, Any]:
    """Return the fitted plan, and the features of the rows as a dataset: out of fold.

    Args:
        plan: what is fitted.
        dataset: as in `fit`.
        tables: as in `fit`.
        label: as in `transform`.

    Returns:
        The plan, and a dataset as of `transform`, in which the encodings of a row have learnt from
        other folds than its own, as in `Plan.fit_transform`.

    Raises:
        FastfeatError: as `fit` and `transform`.

    Warns:
        FastfeatWarning: as `Plan.fit_transform`.
    """
    check_no_windows(plan)
    columns = columns_read(plan, _schema_of(dataset), label=label)
    learning = _learnt(plan, dataset, tables)
    given = training_of(learning, plan, label=label)
    columns = list(dict.fromkeys([*learning.columns, *columns]))
    return learning.finish(), _features(dataset, columns, given)


def _learnt(plan: Plan, dataset: Any, tables: Tables) -> Learning[FittedPlan]:
    """Return the learning after passes over a dataset."""

    def state_of_all(learning: Learning[FittedPlan]) -> Table:
        content = _ray.put(learning.to_bytes())
        states = dataset.select_columns(learning.columns).map_batches(
            _state_of_block, fn_args=[content], batch_format="pyarrow", batch_size=None
        )
        found = (ref for bundle in states.iter_internal_ref_bundles() for ref in bundle.block_refs)
        return _merged_on_workers(content, found)

    return learn(plan, _schema_of(dataset), tables, state_of_all)


def _merged_on_workers(content: Any, states: Iterable[Any]) -> Table:
    """Return the state of all rows, which tasks merge in a tree as states come.

    Args:
        content: reference to the learning.
        states: references to tables of states.
    """
    merge = _ray.remote(_merged)
    levels: list[list[Any]] = [[]]
    for ref in states:
        levels[0].append(ref)
        for level, waiting in enumerate(levels):
            if len(waiting) == _MERGED_AT_ONCE:
                if level + 1 == len(levels):
                    levels.append([])
                levels[level + 1].append(merge.remote([content], *waiting))
                waiting.clear()
    left = [ref for waiting in levels for ref in waiting]
    while len(left) > 1:
        first, left = left[:_MERGED_AT_ONCE], left[_MERGED_AT_ONCE:]
        left.append(merge.remote([content], *first))
    return _ray.get(left[0]) if left else STATES.empty_table()


def _features(dataset: Any, columns: list[str], given: Transform | Training) -> Any:
    """Return a dataset of features."""
    return dataset.select_columns(columns).map_batches(
        _features_of_block, fn_args=[_ray.put(given)], batch_format="pyarrow", batch_size=None
    )


def _schema_of(dataset: Any) -> Schema:
    """Return the Arrow schema of a dataset.

    Raises:
        TypeMismatch: it is none, or a column has no Arrow type.
        InvalidData: it has no columns.
    """
    if not isinstance(dataset, _data.Dataset):
        raise TypeMismatch(
            f"takes a ray.data.Dataset, got {type(dataset).__name__}. ray.data.from_pandas(frame), "
            "from_arrow(table) or read_parquet(files) makes one"
        )
    schema = dataset.schema()
    if schema is None:
        raise InvalidData("the dataset has neither rows nor columns")
    pairs: list[tuple[str, Any]] = list(zip(schema.names, schema.types, strict=True))
    return pa.schema([(n, t if isinstance(t, pa.DataType) else pa.string()) for n, t in pairs])


# What workers run. A process keeps what it has read last, for the blocks to come.


def _state_of_block(block: Table, content: Any) -> Table:
    return state_of_part(_learning_in(content), [block])


def _merged(content: list[Any], *states: Table) -> Table:
    return merged_states(_learning_in(content[0]), states)


def _features_of_block(block: Table, given: Any) -> Table:
    if not block.num_columns:  # one without rows may have none
        return block
    return _features_in(given)(block)


@lru_cache(maxsize=1)
def _learning_in(content: Any) -> Learning[Any]:
    return Learning.from_bytes(_ray.get(content))


@lru_cache(maxsize=2)
def _features_in(given: Any) -> Features:
    return features_of(_ray.get(given))
