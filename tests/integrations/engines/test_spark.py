"""Spark: artifacts and features are those of all rows in memory, whatever happens to workers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
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
    BackendUnavailable,
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
    TOO_LARGE_OF_THE_PAST,
    earlier_and_later,
    engine_rows,
    in_order,
    twice,
)

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore")]  # Spark's own
sql: Any = pytest.importorskip("pyspark.sql")
ours: Any = pytest.importorskip("fastfeat.integrations.spark")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)
ROWS = engine_rows()


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """Give a session of two workers, with the Python of this process."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    options = {
        "spark.executorEnv.PYTHONPATH": here,
        "spark.python.daemon.module": "spark_daemon",
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # begins soon
        "spark.sql.shuffle.partitions": "3",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "OFF",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "America/New_York",  # which has no part in what is learnt
    }
    made = sql.SparkSession.builder.master("local[2,4]").config(map=options).getOrCreate()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def frame(session: Any) -> Any:
    return session.createDataFrame(ROWS).repartition(5).cache()


@pytest.mark.parametrize("name", NAMES)
def test_the_artifact_and_features_are_those_of_memory(name: str, frame: Any) -> None:
    plan = PLANS[name]
    expected, features = plan.fit_transform(ROWS, tables=TABLES, profile=False)
    fitted, found = ours.fit_transform(plan, frame, tables=TABLES, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert_same(found, features)
    own = ff.Plan.from_json(plan.to_json()).fit(ROWS, tables=TABLES)
    later = ours.transform(fitted, frame, tables=TABLES)
    assert_same(later, own.transform(ROWS.slice(0), tables=TABLES))


def assert_same(found: Any, features: pa.Table) -> None:
    """Check features in the types of Spark, and then those of fastfeat."""
    own, expected = in_order(found.toArrow()), in_order(features)
    assert own.cast(expected.schema).equals(expected)


def test_profiles_are_those_of_any_parts(frame: Any) -> None:
    plan = PLANS["scaled"]
    fitted = ours.fit(plan, frame, profile=True)
    again = ours.fit(plan, frame.repartition(2), profile=True)
    assert ff.quality.profile(fitted) == ff.quality.profile(again)
    expected: Any = ff.quality.profile(plan.fit(ROWS, profile=True))
    for column, own in expected.features.items():
        other = ff.quality.profile(fitted).features[column]
        assert (other.sum, other.n_missing) == (own.sum, own.n_missing)
    assert fitted.drift(ROWS).ok


def test_features_have_types_of_spark_and_the_label_follows(frame: Any) -> None:
    plan = PLANS["encoded"]
    found = ours.fit_transform(plan, frame, tables=TABLES, label=True)[1]
    types = {field.name: field.dataType.simpleString() for field in found.schema}
    assert types["at_Bern"] == "smallint"
    assert types["bought"] == "boolean"
    label = plan.fit(ROWS, tables=TABLES).label(ROWS)
    assert_same(found.select("id", "bought"), pa.table({"id": ROWS.column("id"), "bought": label}))
    with pytest.raises(InvalidPlan, match="the plan has no label"):
        ours.fit_transform(PLANS["scaled"], frame, label=True)


def test_names_with_dots_and_times_of_zones_are_read(session: Any) -> None:
    table = pa.table(
        {
            "a.b": [1.0, 2.0, 4.0],
            "at": pa.array([0, 3_600_000_000, 7_200_000_000], pa.timestamp("us", "UTC")),
            "`id`": [0, 1, 2],
        }
    )
    plan = ff.Plan(
        {"a": col("a.b").standard_scale(), "hour": col("at").dt.hour(), "at": col("at")},
        keep=["`id`"],
    )
    expected, features = plan.fit_transform(table, profile=False)
    fitted, found = ours.fit_transform(plan, session.createDataFrame(table), profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    own = found.toArrow().sort_by("`id`")
    assert own.cast(features.schema).to_pydict() == features.to_pydict()


def test_the_driver_has_one_state_a_pass(frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int | None] = []
    open_state = Learning.state_of_bytes

    def counted(learning: Any, content: bytes) -> Any:
        opened.append(learning.round)
        return open_state(learning, content)

    monkeypatch.setattr(Learning, "state_of_bytes", counted)
    ours.fit(PLANS["scaled"], frame)
    assert len(opened) == len(set(opened)) > 1


def test_states_larger_than_a_value_of_spark_come_in_pieces(
    frame: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "_PIECE_BYTES", 1_000)
    plan = ff.Plan({"street": col("street").ordinal_encode(), "n": col("id").n_unique()})
    fitted = ours.fit(plan, frame, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(plan.fit(ROWS, profile=False).record)


def test_a_worker_that_is_killed_changes_nothing(frame: Any, tmp_path: Path) -> None:
    folder = str(tmp_path)

    def kill_twice(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            done = len(os.listdir(folder))
            if done < 2:
                Path(folder, f"{done}-{os.getpid()}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    plan = PLANS["scaled"]
    fitted = ours.fit(plan, frame.mapInArrow(kill_twice, frame.schema), profile=False)
    assert len(os.listdir(tmp_path)) >= 2
    assert artifact_bytes(fitted.record) == artifact_bytes(plan.fit(ROWS, profile=False).record)


@pytest.mark.smoke
def test_windows_see_the_rows_of_other_partitions(session: Any) -> None:
    plan = OF_THE_PAST
    frame = session.createDataFrame(ROWS).coalesce(1)  # in the order of the rows
    expected, features = plan.fit_transform(ROWS, tables=TABLES, profile=False)
    fitted, found = ours.fit_transform(plan, frame, tables=TABLES, label=True, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    label = plan.fit(ROWS, tables=TABLES).label(ROWS)
    assert_same(found, features.append_column("bought", label))


def test_what_is_cached_of_an_exchange_is_given_up(session: Any, frame: Any) -> None:
    def n_cached() -> int:
        return session.sparkContext._jsc.getPersistentRDDs().size()

    frame.count()  # it is cached itself
    before = n_cached()
    features = ours.fit_transform(OF_THE_PAST, frame, tables=TABLES)[1]
    assert n_cached() == before + 1
    del features
    assert n_cached() == before
    ours.fit(OF_THE_PAST, frame, tables=TABLES)
    assert n_cached() == before
    with pytest.raises(FastfeatError):
        ours.fit(TOO_LARGE_OF_THE_PAST, frame)
    assert n_cached() == before


def test_windows_see_a_history(session: Any) -> None:
    plan, (earlier, later) = OF_THE_PAST, earlier_and_later(ROWS)
    expected = plan.fit(later, history=earlier, tables=TABLES, profile=False)
    frame, past = (session.createDataFrame(part).coalesce(1) for part in (later, earlier))
    fitted = ours.fit(plan, frame, history=past, tables=TABLES, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    for history in (earlier, "batch"):  # windows see what was spent of the history alone
        found = ours.transform(fitted, frame.drop("spent"), history=history, tables=TABLES)
        late = later.drop_columns("spent")
        assert_same(found, expected.transform(late, history=history, tables=TABLES))
    with pytest.warns(HistoryMissing, match="windows see only the rows of the data"):
        ours.transform(fitted, frame, tables=TABLES)


def test_folds_by_id_need_no_entity(session: Any) -> None:
    rows = twice(ROWS)
    expected, features = BY_ID.fit_transform(rows)
    fitted, found = ours.fit_transform(BY_ID, session.createDataFrame(rows).repartition(3))
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert_same(found, features)


def test_rows_of_one_id_are_counted_where_that_is_asked_for(session: Any) -> None:
    rows = session.createDataFrame(twice(ROWS)).repartition(3)
    told = f"{N_TWICE} of 3,007 rows have the 'id' of an earlier row"
    with pytest.warns(RowsRepeated, match=told):
        fitted = ours.fit(BY_ID, rows, check_ids=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RowsRepeated)
        assert ours.fit(BY_ID, rows) == fitted


@pytest.mark.parametrize("told", BROKEN_IDS)
def test_rows_are_refused_by_their_ids_where_that_is_asked_for(told: str, session: Any) -> None:
    plan, rows = BROKEN_IDS[told]
    with pytest.raises(InvalidData, match=told):
        ours.fit(plan, session.createDataFrame(rows).repartition(3), check_ids=True)


def test_what_needs_numbers_or_other_rows_is_refused(frame: Any) -> None:
    with pytest.raises(InvalidPlan, match="'risk' divides rows into folds by row number"):
        ours.fit(BY_NUMBER, frame)
    with pytest.raises(InvalidPlan, match="the windows have no entity in common"):
        ours.fit(OF_SEVERAL_PASTS, frame)
    with pytest.raises(InvalidPlan, match="the windows have no entity in common"):
        ours.transform(OF_SEVERAL_PASTS.fit(ROWS), frame, history="batch")
    with pytest.raises(UnknownColumn, match=r"history=: .*'at'"):
        ours.fit(OF_THE_PAST, frame, history=frame.drop("at"), tables=TABLES)


def test_errors_of_workers_are_those_of_fit(frame: Any) -> None:
    with pytest.raises(FastfeatError) as expected:
        TOO_LARGE.fit(ROWS)
    with pytest.raises(type(expected.value), match="row ") as found:
        ours.fit(TOO_LARGE, frame)
    assert "Rows are numbered from 0 in each worker" in found.value.__notes__[0]


def test_frames_that_cannot_be_read_are_told(frame: Any) -> None:
    with pytest.raises(TypeMismatch, match="expected a Spark DataFrame, got Table"):
        ours.fit(PLANS["scaled"], ROWS)
    with pytest.raises(InvalidData, match="no rows"):
        ours.fit(PLANS["scaled"], frame.limit(0))
    with pytest.raises(UnknownColumn, match="size"):
        ours.fit(PLANS["scaled"], frame.drop("size"))
    with pytest.raises(UnknownColumn, match="size"):
        ours.transform(PLANS["scaled"].fit(ROWS), frame.drop("size"))


def test_executors_of_another_python_are_told(
    session: Any, frame: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Path(sys.base_prefix, "bin", "python3")  # of this version, without packages
    monkeypatch.setattr(session.sparkContext, "pythonExec", str(bare))
    with pytest.raises(BackendUnavailable, match="set the variable PYSPARK_PYTHON"):
        ours.fit(PLANS["scaled"], frame)


def test_values_that_no_type_of_spark_holds_are_told(session: Any) -> None:
    table = pa.table({"n": range(100)})
    fitted = ff.Plan({"n": col("n").hash()}).fit(table)  # some of them are beyond 2**63
    features = ours.transform(fitted, session.createDataFrame(table))
    with pytest.raises(Exception, match="'n': Spark stores uint64 as int64"):
        features.collect()


def test_categories_keep_the_codes_of_an_earlier_fit(frame: Any) -> None:
    plan = PLANS["encoded"]
    old = plan.fit(ROWS.slice(0, 500), tables=TABLES)
    wanted = plan.fit(ROWS, tables=TABLES, stable=old, profile=False)
    fitted = ours.fit(plan, frame, tables=TABLES, stable=old, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(wanted.record)
    assert fitted != plan.fit(ROWS, tables=TABLES)


def test_contracts_are_checked_where_the_rows_are(frame: Any) -> None:
    report, own = ours.check(CONTRACT, frame), CONTRACT.check(ROWS)
    assert report.counts == own.counts
    assert [of.outcome for of in report.results] == [of.outcome for of in own.results]
    found = report.rows("size")
    assert found["row"].null_count == found.num_rows == own.counts["size"]
    assert sorted(found["size"].to_pylist()) == sorted(own.rows("size")["size"].to_pylist())
    assert report.rows("seen", 2).num_rows == 2
    plan = PLANS["scaled"]
    fitted = ours.fit(plan, frame, contract=HELD, profile=False)
    assert artifact_bytes(fitted.record) == artifact_bytes(
        plan.fit(ROWS, contract=HELD, profile=False).record
    )
    assert ours.check(fitted, frame).ok
    with pytest.raises(ContractBroken, match=r"rule 'size': .* break .*: a row \(size=-"):
        ours.fit_transform(plan, frame, contract=CONTRACT, profile=False)
    with pytest.raises(TypeMismatch, match="or a fitted plan that has one"):
        ours.check(plan, frame)
