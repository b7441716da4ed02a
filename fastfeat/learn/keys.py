"""Learning per key: vocabularies of keys, aggregates of the rows of each key, folds by time.

A vocabulary lists the distinct keys with their counts and gives each an integer code. Groups are
the rows with the same code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfeat.aggregates import target as targets
from fastfeat.aggregates.keys import (
    Groups,
    KeyCounts,
    Vocabulary,
    drop_rare_keys,
    keep_earlier_codes,
    remember_codes,
)
from fastfeat.backends import run_task
from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.execute.batch import (
    Batch,
    ComputedColumns,
    keep_codes,
    number_distinct_keys,
    order_selected_keys,
)
from fastfeat.execute.steps import make
from fastfeat.execute.values import compute_columns, computed_values, key_values, values_of
from fastfeat.io import host_memory
from fastfeat.io.arrow import pa
from fastfeat.io.columns import strings
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import BOOL, DType
from fastfeat.ir.node import (
    GROUPS_AND_MISSING,
    Aggregate,
    Call,
    GroupFrame,
    Node,
)
from fastfeat.ir.parameters import MAX_MEMORY
from fastfeat.ir.show import show
from fastfeat.learn import infinite
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower.lower import LearntConstant
from fastfeat.plan.lower.passes import key_of
from fastfeat.progress import report_progress
from fastfeat.steps.keys.tasks import GroupsTask, KeysTask
from fastfeat.steps.step import Argument
from fastfeat.steps.targets import tasks, time_folds

if TYPE_CHECKING:
    from fastfeat.aggregates.target import FoldedGroups
    from fastfeat.steps.targets.tasks import TargetTask
    from fastfeat.steps.targets.time_folds import TimesTask

StableVocabularies = Mapping[Aggregate, Vocabulary]
"""Vocabularies of an earlier fit with stable codes, by the aggregate that learns them now."""
NOTHING_HELD: StableVocabularies = {}

_MOST_CELLS = 2**31 - 1
"""Highest number of folds times categories, since groups have int32 numbers."""


def learn_keys(
    batch: Batch,
    aggregates: Sequence[Aggregate],
    codes: Sequence[Node],
    in_any_order: Set[Node] = frozenset(),
    held: StableVocabularies = NOTHING_HELD,
) -> None:
    """Learn vocabularies, modes and numbers of distinct keys; all `aggregates` have the same key.

    The keys are counted once. The learnt values and the codes go into `batch`, the training rows.
    `codes` are the steps that give rows the code of their key; counting may compute these too.
    `in_any_order` are vocabularies whose order no computation reads. `held` are the
    vocabularies with stable codes.
    """
    key = key_of(aggregates[0])
    report_progress(f"keys of {', '.join(map(show, aggregates[0].args))}")
    keys = None if batch.source is None else batch.source.rows.keys.get(key)
    chosen = (
        None if keys is None or batch.source is None else order_selected_keys(keys, batch.source)
    )
    encodes = [step for step in codes if isinstance(step, Call)]
    if chosen is not None:
        found = chosen.counts
    else:
        in_order = not all(one in in_any_order for one in aggregates)
        found = _counts(batch, aggregates[0], with_rows=bool(encodes), in_order=in_order)
    for member in aggregates:
        learnt = of_counts(member, found, batch.types[member], held)
        batch.learnt[member] = learnt
        if isinstance(learnt, Vocabulary) and learnt.held is not None:
            continue  # its codes have another order than the codes from counting
        if isinstance(learnt, Vocabulary) and keys is not None and chosen is not None:
            keep_codes(learnt, keys, chosen)
        own = [step for step in encodes if step.args[-1] is member]
        batch.made.update(_codes_of_rows(found, learnt, own))


def number_keys(batch: Batch, aggregates: Sequence[Aggregate]) -> None:
    """Give each distinct key of all rows a number, so that later fits on some rows are faster.

    The numbers go into `batch`. `aggregates` count keys that need no learning. A key that cannot be
    computed for all rows gets no numbers: each fit counts it for its own rows.
    """
    for aggregate in aggregates:
        if key_of(aggregate) in batch.keys or any(batch.types[a].is_list for a in aggregate.args):
            continue
        try:
            make(batch, aggregate.args)
            found = _counts(batch, aggregate, with_rows=True)
            _, missing, room = key_of(aggregate)
            dtypes = [batch.types[arg] for arg in aggregate.args]
            parts = [pa.chunked_array([part]) for part in found.parts]
            task = KeysTask(parts, dtypes, missing, room, with_rows=True)
            by_value = run_task(batch.backend, task)
        except FastfeatError:
            continue
        keys = number_distinct_keys(found, by_value)
        if keys is not None:
            batch.keys[key_of(aggregate)] = keys


def learn_groups(batch: Batch, members: Sequence[Aggregate]) -> None:
    """Learn aggregates per group; all `members` have the same input values and groups."""
    found = run_task(batch.backend, groups_task(batch, members))
    batch.learnt.update(learnt_groups(members, found, batch.learnt))


def groups_task(batch: Batch, members: Sequence[Aggregate]) -> GroupsTask:
    """Return the backend task that learns aggregates per group of the same input values."""
    argument, codes, *_ = members[0].args
    dtype, array = values_of(batch, argument)
    wanted = [(member.function, member.params) for member in members]
    n_groups = code_plans.n_codes(codes, batch.learnt)
    none = 0 if any(m.frame == GROUPS_AND_MISSING for m in members) else _n_without_key(codes)
    return GroupsTask(wanted, array, dtype, batch.made[codes], n_groups, none)


def learnt_groups(
    members: Sequence[Aggregate], found: Sequence[Groups], learnt: Mapping[Node, LearntConstant]
) -> dict[Node, LearntConstant]:
    """Return the learned value of each aggregate in `members`, from the results of the backend.

    The results in `found` are modified. `members` have the same groups. `learnt` has the
    vocabularies that number the groups.
    """
    vocabulary = learnt.get(members[0].args[1].args[-1])
    if isinstance(vocabulary, Vocabulary) and vocabulary.held is not None:
        for groups in found:
            _without(groups, vocabulary)
    return {m: _of_keys(groups, m) for m, groups in zip(members, found, strict=True)}


def _without(groups: Groups, vocabulary: Vocabulary) -> None:
    """Remove the group values of keys that are kept only for their codes: they count as unseen."""
    gone = np.flatnonzero(vocabulary.is_too_rare) + len(groups.values) - len(vocabulary)
    groups.values[gone] = np.nan if groups.values.dtype.kind == "f" else 0
    groups.present[gone] = False


def learn_target(batch: Batch, aggregate: Aggregate) -> None:
    """Learn a target encoding: a statistic of the target per category, of all rows and per fold.

    The statistic of a fold is learned without the rows of that fold.
    """
    batch.learnt[aggregate] = _target(batch, aggregate)


def learn_times(batch: Batch, origin: Call, steps: Iterable[Node]) -> None:
    """Learn folds by time from the times of all rows, and store them in `batch` under `origin`.

    `steps` assign rows to these folds.
    """
    batch.learnt[origin] = run_task(batch.backend, times_task(batch, origin, steps))


def times_task(batch: Batch, origin: Call, steps: Iterable[Node]) -> TimesTask:
    """Return the backend task that learns folds by time; see `learn_times`."""
    (time,) = origin.args
    times = Argument(key_values(batch, time, narrow=False), batch.types[time])
    with_begins = any(isinstance(s, Call) and s.function == "time_fold_known" for s in steps)
    return time_folds.TimesTask(times, dict(origin.params)["n_folds"], with_begins)


def _codes_of_rows(found: KeyCounts, vocabulary: Any, steps: Sequence[Call]) -> ComputedColumns:
    """Return the codes of the training rows, by encoding step, as counting keys has found them.

    Steps with codes that counting cannot give are left out: their codes must be looked up.
    """
    made: ComputedColumns = {}
    if found.of_rows is None or not steps:  # codes of dictionaries are there without a request
        return made
    n_kept, n_keys = len(vocabulary), len(found.counts)
    for step in steps:
        n_unseen = int(dict(step.params)["n_unseen"])
        if n_unseen > 1 and n_kept < n_keys:
            continue  # the rare share codes by their hash
        numbers = np.arange(1 + n_unseen, 1 + n_unseen + n_keys, dtype=np.int32)
        numbers[n_kept:] = 1
        codes = found.of_rows(numbers, 0)
        if not isinstance(codes, DeviceArray):
            if n_kept == n_keys:
                remember_codes(vocabulary, codes, n_unseen)
            codes = pa.chunked_array([array_of_values(codes, None, pa.int32())])
        made[step] = codes
    return made


def _target(batch: Batch, aggregate: Aggregate) -> FoldedGroups:
    """Return the statistic of the target per category, overall and without each fold."""
    task = target_task(batch, aggregate)
    found = run_task(batch.backend, task)
    prior = float(found.values[targets.UNSEEN])
    if aggregate.function == "target_odds" or not math.isfinite(prior):
        is_away = isinstance(task.values, DeviceArray)
        values = computed_values(batch, aggregate.args[0])[1] if is_away else task.values
        _check_target(show(aggregate), aggregate.function, values, prior, batch)
    return found


def target_task(batch: Batch, aggregate: Aggregate) -> TargetTask:
    """Return the backend task that learns a target encoding.

    Raises InvalidData if there are too many folds times categories.
    """
    target, codes, *folds = aggregate.args  # the last says from which fold on a row is known
    # classes are checked: NaN is null in computed values
    read = computed_values if aggregate.function == "target_odds" else values_of
    dtype, values = read(batch, target)
    n_categories, n_folds = code_plans.n_codes(codes, batch.learnt), _n_folds(batch, aggregate)
    shown = show(aggregate)
    cell_bytes = targets.bytes_per_cell(aggregate.function, aggregate.params)
    _check_cells(shown, n_folds, n_categories, cell_bytes)
    return tasks.TargetTask(
        aggregate.function,
        aggregate.params,
        values,
        dtype,
        batch.made[codes],
        batch.made[folds[-1]],
        n_categories,
        n_folds,
    )


def _check_target(shown: str, function: str, values: Any, prior: float, batch: Batch) -> None:
    """Raise InvalidData if the target has values that its encoding does not accept.

    Such values are classes other than 0 and 1, or infinite values, which would make all results
    infinite. `shown` is the encoder as text; `prior` was learned from all training rows.
    """
    if function == "target_odds":
        check_classes(shown, values)
    elif is_in_doubt(function, prior):
        first = infinite.first_infinite(values)
        if first.row is not None:
            raise infinite_target(shown, first.value, batch.number_of(first.row))


def is_in_doubt(function: str, prior: float) -> bool:
    """Return whether infinite target values may have entered a learned encoding.

    `prior` is the statistic over all training rows.
    """
    of_order = function == "target_quantile"
    return math.isinf(prior) if of_order else not math.isfinite(prior)


def check_classes(shown: str, values: Any) -> None:
    """Raise InvalidData if a target has values other than 0 and 1; `shown` is its encoding."""
    numbers = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    others = numbers[(numbers != 0) & (numbers != 1)]
    if len(others):
        raise InvalidData(
            f"{shown}: needs a target with the values 0 and 1, found {float(others[0])!r}. Compare "
            "the target with a value first: woe_encode(col('y') > 15)"
        )


def infinite_target(shown: str, value: float, row: int) -> InvalidData:
    """Return the error for an infinite target value; `shown` is the encoding as text."""
    return InvalidData(
        f"{shown} is not finite: the first infinite value of the target is {value!r} in row {row}. "
        "Replace infinite values before fit: target.fill_infinite(None), or clip them"
    )


def _n_folds(batch: Batch, aggregate: Aggregate) -> int:
    """Return the number of different fold numbers in the rows of a target encoding."""
    params = dict(aggregate.params)
    if params["n_folds"] is None:
        return code_plans.n_codes(aggregate.args[2], batch.learnt)
    return params["n_folds"] + (1 if params["ordered"] else 0)  # one more for rows without a time


def _check_cells(shown: str, n_folds: int, n_categories: int, cell_bytes: int) -> None:
    """Raise InvalidData if folds times categories exceed int32 numbers or memory."""
    n_cells, told = n_folds * n_categories, f"{n_folds:,} folds of {n_categories:,} categories"
    if n_cells > _MOST_CELLS:
        raise InvalidData(
            f"{shown}: {told} exceed the limit of {_MOST_CELLS:,} learnt numbers. Use fewer folds "
            "or fewer categories"
        )
    room = host_memory.host_memory()
    if room is not None and n_cells * cell_bytes > room:
        raise InvalidData(
            f"{shown}: {told} need about {n_cells * cell_bytes:,} bytes, and this machine has "
            f"{room:,}. Use fewer folds or fewer categories"
        )


def _of_keys(groups: Groups, aggregate: Aggregate) -> Groups:
    """Return the groups, modified in place: missing and unseen keys have no value any more.

    Missing keys keep their value if the aggregate has a group for them.
    """
    assert isinstance(aggregate.frame, GroupFrame)
    if aggregate.frame.with_missing:
        return groups
    first = _n_without_key(aggregate.args[1])
    groups.values[:first] = np.nan if groups.values.dtype.kind == "f" else 0
    groups.present[:first] = False
    return groups


def _n_without_key(codes: Node) -> int:
    """Return how many codes stand for no key: one for missing keys, the others for unseen keys."""
    assert isinstance(codes, Call)
    return 1 + int(dict(codes.params)["n_unseen"])


def _counts(
    batch: Batch, aggregate: Aggregate, *, with_rows: bool, in_order: bool = True
) -> KeyCounts:
    """Return the distinct keys of the training rows with their counts."""
    return run_task(
        batch.backend, keys_task(batch, aggregate, with_rows=with_rows, in_order=in_order)
    )


def keys_task(
    batch: Batch, aggregate: Aggregate, *, with_rows: bool = False, in_order: bool = True
) -> KeysTask:
    """Return the backend task that counts the distinct keys of an aggregate."""
    compute_columns(batch, aggregate.args)
    parts = [key_values(batch, arg, narrow=True) for arg in aggregate.args]
    params = dict(aggregate.params)
    dtypes = [batch.types[arg] for arg in aggregate.args]
    missing, room = params.get("missing", "key"), params.get("max_memory", MAX_MEMORY)
    return KeysTask(parts, dtypes, missing, room, with_rows, in_order)


def of_counts(
    aggregate: Aggregate, found: KeyCounts, dtype: DType, held: StableVocabularies = NOTHING_HELD
) -> LearntConstant:
    """Return the constant that an aggregate learns from the counts of all distinct keys.

    `dtype` is the type of the constant; `held` are the vocabularies with stable codes.
    """
    match aggregate.function:
        case "vocabulary":
            if aggregate in held:
                return keep_earlier_codes(found, aggregate.params, held[aggregate])
            return drop_rare_keys(found, aggregate.params)
        case "n_unique":
            return len(found.counts)
        case _:
            first: Any = next(iter(strings.contents_of(found.parts[0].slice(0, 1))), None)
            if isinstance(first, str) and not _is_utf8(first):
                raise InvalidData(
                    f"{show(aggregate)}: the most frequent text is not UTF-8. Decode the column "
                    "again, with the right encoding, or encode it: .ordinal_encode()"
                )
            return bool(first) if first is not None and dtype == BOOL else first


def _is_utf8(text: str) -> bool:
    """Return whether a text is valid UTF-8, without lone surrogates for raw bytes."""
    return not any("\udc80" <= character <= "\udcff" for character in text)
