"""Plans that learn per key, or of targets, from rows in parts: same artifact, same features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.aggregates.keys import Groups
from fastfeat.aggregates.target import FoldedGroups
from fastfeat.backends import cpu
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.steps.keys import cpu_group_rows, cpu_group_states
from fastfeat.steps.keys.tasks import GroupsTask
from fastfeat.steps.targets import cpu_states, cpu_time_folds
from fastfeat.steps.targets.tasks import TargetTask
from fastfeat.steps.targets.time_folds import TimeFolds, TimesTask
from fastfeat.trust.selfcheck.tables import training_table
from fastfeat_tests.engine.learner_cases import Case, learnt_in_parts

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

TRAINING = training_table(150)
K, X = col("text"), col("f64")
PLANS = {
    "per key": ff.Plan(
        {
            name: getattr(X, name)(by="text")
            for name in ("count", "sum", "mean", "std", "min", "max", "median", "mode", "n_unique")
        }
        | {"skew": X.skew(by="text"), "scaled": col("i8").robust_scale(by=["text", "flag"])}
    ),
    "targets": ff.Plan(
        {
            "mean": K.target_encode("i8", folds=3),
            "var": K.target_encode("i8", smooth=1, stat="var", fold_by=["flag"]),
            "quantile": K.target_encode("i8", smooth=1, stat="quantile"),
            "time": K.target_encode("i8", smooth=1, time="i64"),
            "woe": K.woe_encode(col("i8") > 3),
        },
        outcomes=["i8"],
    ),
    "delayed": ff.Plan({"time": K.target_encode("i8", time="t")}, outcomes={"i8": "900d"}),
}


def groups_in_parts(draw: Callable[..., Any]) -> Callable[[GroupsTask], list[Groups]]:
    def run(task: GroupsTask) -> list[Groups]:
        spec = cpu_group_states.GroupsSpec(task.wanted, task.dtype, task.n_groups, task.n_left_out)
        columns = {cpu_group_states.VALUES: task.values, cpu_group_states.CODES: task.codes}
        case = Case(spec, columns, len(task.codes))
        return list(learnt_in_parts(cpu_group_states.LEARNER, case, draw))

    return run


def target_in_parts(draw: Callable[..., Any]) -> Callable[[TargetTask], FoldedGroups]:
    def run(task: TargetTask) -> FoldedGroups:
        spec = cpu_states.TargetSpec(
            task.function, task.params, task.dtype, task.n_codes, task.n_folds
        )
        columns = {
            cpu_states.VALUES: task.values,
            cpu_states.CODES: task.codes,
            cpu_states.FOLDS: task.folds,
        }
        case = Case(spec, columns, len(task.codes))
        return learnt_in_parts(cpu_states.LEARNER, case, draw)[0]

    return run


def times_in_parts(draw: Callable[..., Any]) -> Callable[[TimesTask], TimeFolds]:
    def run(task: TimesTask) -> TimeFolds:
        spec, columns = cpu_time_folds.learner_input(task)
        case = Case(spec, columns, len(task.times.values))
        return learnt_in_parts(cpu_time_folds.LEARNER, case, draw)[0]

    return run


@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=max(settings().max_examples // 5, 1))
@given(data=st.data())
def test_parts_in_any_order_give_the_same_artifact_and_features(
    name: str, data: st.DataObject
) -> None:
    fitted, features = PLANS[name].fit_transform(TRAINING, profile=False)
    functions: dict[Any, Any] = {
        GroupsTask: groups_in_parts(data.draw),
        TargetTask: target_in_parts(data.draw),
        TimesTask: times_in_parts(data.draw),
    }
    has_room, range_bits = data.draw(st.booleans()), data.draw(st.integers(0, 5))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cpu_group_rows, "MIN_RANGE_BITS", range_bits)
        for module in (cpu_group_states, cpu_states):
            patched.setattr(module, "has_room", lambda n_bytes: has_room)
        for task, function in functions.items():
            patched.setitem(cpu.BACKEND.functions, task, function)
        found, of_parts = PLANS[name].fit_transform(TRAINING, profile=False)
    assert artifact_bytes(found.record) == artifact_bytes(fitted.record)
    assert bytes_of(of_parts) == bytes_of(features)


def bytes_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()
