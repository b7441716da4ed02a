"""Ray: artifacts and features are those of all rows in memory, whatever happens to workers."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.learning import Learning
from fastfeat.errors import (
    ContractBroken,
    FastfeatError,
    HistoryMissing,
    InvalidData,
    InvalidPlan,
    RowsRepeated,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat.keep.artifact import artifact_bytes
from fastfeat_tests.integrations.engines.engine_rows import (
    BROKEN_IDS,
    BY_ID,
    BY_NUMBER,
    CONTRACT,
    HELD,
    N_TWICE,
    NAMES,
    OF_SEVERAL_PASTS,
    OF_THE_PAST,
    PLANS,
    TABLES,
    TOO_LARGE,
    earlier_and_later,
    engine_rows,
    in_order,
    parts,
    twice,
)

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore")]  # Ray's own
ray: Any = pytest.importorskip("ray")
ours: Any = pytest.importorskip("fastfeat.integrations.ray")
ROWS = engine_rows()


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Run Ray with two workers, whose modules are those of this process."""
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=100 << 20,
        _system_config={"memory_monitor_refresh_ms": 0},  # whoever fills it, no worker is killed
        runtime_env={"env_vars": {"PYTHONPATH": here}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def dataset() -> Any:
    return ray.data.from_arrow(parts(ROWS))


def table_of(features: Any) -> pa.Table:
    """Return the features of a dataset, in the order of the kept column."""
    found = [part for part in ray.get(features.to_arrow_refs()) if part.num_rows]
    return in_order(pa.concat_tables(found))


@pytest.mark.parametrize("name", NAMES)
def test_the_artifact_and_features_are_those_of_memory(name: str) -> None:
    plan = PLANS[name]
    expected, features = plan.fit_transform(ROWS, tables=TABLES, profile=False)
    fitted, found = ours.fit_transform(plan, dataset(), tables=TABLES, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert table_of(found).equals(in_order(features))
    later = ours.transform(fitted, dataset(), tables=TABLES)
    own = ff.Plan.from_json(plan.to_json()).fit(ROWS, tables=TABLES)
    assert table_of(later).equals(in_order(own.transform(ROWS.slice(0), tables=TABLES)))


def test_the_label_follows_the_features() -> None:
    plan = PLANS["encoded"]
    found = table_of(ours.fit_transform(plan, dataset(), tables=TABLES, label=True)[1])
    label = plan.fit(ROWS, tables=TABLES).label(ROWS)
    expected = pa.table({"id": ROWS.column("id"), "bought": label})
    assert found.select(["id", "bought"]).equals(in_order(expected))
    with pytest.raises(InvalidPlan, match="the plan has no label"):
        ours.fit_transform(PLANS["scaled"], dataset(), label=True)


def test_training_workers_have_each_row_once_an_epoch() -> None:
    features = ours.fit_transform(PLANS["encoded"], dataset(), tables=TABLES, label=True)[1]

    @ray.remote(num_cpus=0)
    def train(shard: Any) -> list[pa.Table]:
        """Read a shard twice, as the loop of a trainer of Ray Train reads its own."""
        epochs = (shard.iter_batches(batch_size=256, batch_format="pyarrow") for _ in range(2))
        return [pa.concat_tables(list(epoch)) for epoch in epochs]

    shards = features.streaming_split(2, equal=False)  # Ray Train splits datasets so
    found = ray.get([train.remote(shard) for shard in shards])
    expected = PLANS["encoded"].fit_transform(ROWS, tables=TABLES)[1]
    for epoch in zip(*found, strict=True):
        assert in_order(pa.concat_tables(epoch).drop_columns("bought")).equals(in_order(expected))


def test_frames_and_functions_of_blocks_are_learnt_from() -> None:
    plan = ff.Plan({"size": col("size").standard_scale(), "city": col("city").ordinal_encode()})
    frame = ROWS.select(["size", "city"]).to_pandas()
    given = ray.data.from_pandas([frame[:1000], frame[1000:]])
    given = given.map_batches(lambda part: part, batch_format="pandas")
    expected = plan.fit(ROWS, profile=False)
    assert artifact_bytes(ours.fit(plan, given, profile=False).record) == artifact_bytes(
        expected.record
    )


def test_the_driver_has_one_state_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int | None] = []
    open_state = Learning.state_of_bytes

    def counted(learning: Any, content: bytes) -> Any:
        opened.append(learning.round)
        return open_state(learning, content)

    monkeypatch.setattr(Learning, "state_of_bytes", counted)
    ours.fit(PLANS["scaled"], dataset())
    assert len(opened) == len(set(opened)) > 1


def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    def kill_once_a_pass(part: pa.Table, folder: str) -> pa.Table:
        done = len(os.listdir(folder))
        if part.num_rows and done < 2 and part.column_names:
            Path(folder, f"{done}-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return part

    plan = PLANS["scaled"]
    given = dataset().map_batches(
        kill_once_a_pass, fn_args=[str(tmp_path)], batch_format="pyarrow", batch_size=None
    )
    fitted = ours.fit(plan, given, profile=False)
    assert len(os.listdir(tmp_path)) == 2
    assert artifact_bytes(fitted.record) == artifact_bytes(plan.fit(ROWS, profile=False).record)


@pytest.mark.smoke
def test_windows_see_the_rows_of_other_blocks() -> None:
    plan = OF_THE_PAST
    expected, features = plan.fit_transform(ROWS, tables=TABLES, profile=False)
    fitted, found = ours.fit_transform(plan, dataset(), tables=TABLES, label=True, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    features = features.append_column("bought", plan.fit(ROWS, tables=TABLES).label(ROWS))
    assert table_of(found).equals(in_order(features))


def test_profiles_are_those_of_any_parts() -> None:
    for name in ("scaled", "encoded"):
        plan = PLANS[name]
        found = ff.quality.profile(ours.fit(plan, dataset(), tables=TABLES, profile=True))
        whole = ray.data.from_arrow(ROWS)
        again = ours.fit(plan, whole, tables=TABLES, profile=True)
        assert found == ff.quality.profile(again)
        expected: Any = ff.quality.profile(plan.fit(ROWS, tables=TABLES, profile=True))
        assert (found.n_rows, found.no_features) == (expected.n_rows, "")
        for side in ("inputs", "features"):
            for column, own in getattr(expected, side).items():
                other = getattr(found, side)[column]
                known = (other.sum, other.n_missing, other.least, other.greatest)
                assert repr(known) == repr((own.sum, own.n_missing, own.least, own.greatest))
    fitted = ours.fit_transform(OF_THE_PAST, dataset(), tables=TABLES, profile=True)[0]
    own: Any = ff.quality.profile(
        OF_THE_PAST.fit(ROWS, history="batch", tables=TABLES, profile=True)
    )
    assert ff.quality.profile(fitted).features["before"].sum == own.features["before"].sum
    assert fitted.drift(ROWS, history="batch", tables=TABLES).ok


def test_windows_see_a_history() -> None:
    plan, (earlier, later) = OF_THE_PAST, earlier_and_later(ROWS)
    expected, features = plan.fit_transform(later, history=earlier, tables=TABLES, profile=False)
    given, past = (ray.data.from_arrow(parts(part)) for part in (later, earlier))
    fitted, found = ours.fit_transform(plan, given, history=past, tables=TABLES, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert table_of(found).equals(in_order(features))
    own = ff.Plan.from_json(plan.to_json()).fit(ROWS, tables=TABLES)
    late = later.drop_columns("spent")  # which windows see of the history alone
    given = ray.data.from_arrow(parts(late))
    for history in (earlier, "batch"):
        found = ours.transform(own, given, history=history, tables=TABLES)
        features = own.transform(late, history=history, tables=TABLES)
        assert table_of(found).equals(in_order(features))
    with pytest.warns(HistoryMissing, match="windows see only the rows of the data"):
        ours.transform(own, given, tables=TABLES)


def test_folds_by_id_need_no_entity() -> None:
    rows = twice(ROWS)
    expected, features = BY_ID.fit_transform(rows)
    fitted, found = ours.fit_transform(BY_ID, ray.data.from_arrow(parts(rows)))
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert table_of(found).equals(in_order(features))


def test_rows_of_one_id_are_counted_where_that_is_asked_for() -> None:
    rows = ray.data.from_arrow(parts(twice(ROWS)))
    told = f"{N_TWICE} of 3,007 rows have the 'id' of an earlier row"
    with pytest.warns(RowsRepeated, match=told):
        fitted = ours.fit(BY_ID, rows, check_ids=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RowsRepeated)
        assert ours.fit(BY_ID, rows) == fitted


@pytest.mark.parametrize("told", BROKEN_IDS)
def test_rows_are_refused_by_their_ids_where_that_is_asked_for(told: str) -> None:
    plan, rows = BROKEN_IDS[told]
    with pytest.raises(InvalidData, match=told):
        ours.fit(plan, ray.data.from_arrow(parts(rows)), check_ids=True)


def test_what_needs_numbers_or_other_rows_is_refused() -> None:
    with pytest.raises(InvalidPlan, match="'risk' divides rows into folds by row number"):
        ours.fit(BY_NUMBER, dataset())
    with pytest.raises(InvalidPlan, match="the windows have no entity in common"):
        ours.fit(OF_SEVERAL_PASTS, dataset())
    with pytest.raises(InvalidPlan, match="the windows have no entity in common"):
        ours.transform(OF_SEVERAL_PASTS.fit(ROWS), dataset(), history="batch")
    with pytest.raises(UnknownColumn, match=r"history=: .*'at'"):
        ours.fit(OF_THE_PAST, dataset(), history=ROWS.drop_columns("at"), tables=TABLES)


def test_errors_of_workers_are_those_of_fit() -> None:
    with pytest.raises(FastfeatError) as expected:
        TOO_LARGE.fit(ROWS)
    with pytest.raises(type(expected.value), match="row ") as found:
        ours.fit(TOO_LARGE, dataset())
    assert "Rows are numbered from 0 in each worker" in found.value.__notes__[0]


def test_datasets_that_cannot_be_read_are_told() -> None:
    with pytest.raises(TypeMismatch, match=r"expected a ray\.data\.Dataset, got Table"):
        ours.fit(PLANS["scaled"], ROWS)
    with pytest.raises(InvalidData, match="no rows"):
        ours.fit(PLANS["scaled"], ray.data.from_arrow(ROWS[:0]))
    with pytest.raises(UnknownColumn, match="size"):
        ours.fit(PLANS["scaled"], ray.data.from_arrow(ROWS.drop_columns("size")))
    fitted = PLANS["scaled"].fit(ROWS)
    with pytest.raises(UnknownColumn, match="size"):
        ours.transform(fitted, ray.data.from_arrow(ROWS.drop_columns("size")))


def test_categories_keep_the_codes_of_an_earlier_fit() -> None:
    plan = PLANS["encoded"]
    old = plan.fit(ROWS.slice(0, 500), tables=TABLES)
    wanted = plan.fit(ROWS, tables=TABLES, stable=old, profile=False)
    fitted = ours.fit(plan, dataset(), tables=TABLES, stable=old, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(wanted.record)
    assert fitted != plan.fit(ROWS, tables=TABLES)


def test_contracts_are_checked_where_the_rows_are() -> None:
    report, own = ours.check(CONTRACT, dataset()), CONTRACT.check(ROWS)
    assert report.counts == own.counts
    assert [of.outcome for of in report.results] == [of.outcome for of in own.results]
    found = report.rows("size")
    assert found["row"].null_count == found.num_rows == own.counts["size"]
    assert sorted(found["size"].to_pylist()) == sorted(own.rows("size")["size"].to_pylist())
    assert report.rows("seen", 2).num_rows == 2
    plan = PLANS["scaled"]
    fitted = ours.fit(plan, dataset(), contract=HELD, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(
        plan.fit(ROWS, contract=HELD, profile=False).record
    )
    assert ours.check(fitted, dataset()).ok
    with pytest.raises(ContractBroken, match=r"rule 'size': .* break .*: a row \(size=-"):
        ours.fit_transform(plan, dataset(), contract=CONTRACT, profile=False)
    with pytest.raises(TypeMismatch, match="or a fitted plan that has one"):
        ours.check(plan, dataset())
