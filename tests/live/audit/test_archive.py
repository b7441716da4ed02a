"""The archive: what whole states replace is kept, replayed, dropped in time, and forgotten."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan
from fastfeat.live.file import archive as archive_module
from fastfeat.live.file import journal as journal_module
from fastfeat.live.file import replaced_changes

HOUR = ff.window("1h", by="card", time="t")
SHOP = ff.window("20m", by="shop", time="t")
FEATURES = {"n": ff.count(over=HOUR), "sum": col("x").sum(over=HOUR)}


def rows(first: int, n: int) -> pa.Table:
    numbers = range(first, first + n)
    return pa.table(
        {
            "id": list(numbers),
            "t": pa.array([k * 60 for k in numbers], pa.timestamp("s", "UTC")),
            "card": [f"card {k % 4}" for k in numbers],
            "shop": [k % 3 for k in numbers],
            "x": [float(k % 7) for k in numbers],
        }
    )


def fitted(features: dict[str, Any]) -> ff.FittedPlan:
    return ff.Plan(features, row_id="id").fit(rows(0, 10), history="batch")


FITTED = fitted(FEATURES)
OTHER = fitted({"n": ff.count(over=HOUR), "mean": col("x").mean(over=HOUR)})
TWO_KEYS = fitted({**FEATURES, "n_shop": ff.count(over=SHOP)})


def content(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def counts(report: Any) -> tuple[int, int, int, int | None]:
    gone = report.not_covered
    return report.n_changes, report.n_rows, gone.n_changes, gone.n_rows


def test_what_compactions_replace_is_covered(tmp_path: Path) -> None:
    path, heads = tmp_path / "s.state", list[bytes]()
    with FITTED.online(path=path, archive=tmp_path / "archive") as live:
        for k in range(6):
            live.process(rows(5 * k, 5))
            heads.append(live.head)
            if k % 2:
                live.compact()
                heads.append(live.head)
    report = ff.replay(path)
    assert report.ok, report
    assert counts(report) == (6, 30, 0, 0)
    assert {ff.replay(path, head=head).noted for head in heads} == {"known and verified"}
    assert len(list((tmp_path / "archive").iterdir())) == 3
    served = tmp_path / "served.parquet"
    assert ff.replay(path, to=served).served is not None
    expected = FITTED.transform(rows(0, 30), history="batch")
    found = pq.read_table(served).select(expected.column_names)
    assert found.equals(expected)


def test_a_swap_keeps_what_the_other_plan_answered(tmp_path: Path) -> None:
    path = tmp_path / "s.state"
    with FITTED.online(path=path, keep_audit="90d") as live:
        live.process(rows(0, 5))
    with OTHER.online(path=path) as live:
        live.process(rows(5, 7))
    report = ff.replay(path, to=tmp_path / "served.parquet")
    assert report.ok, report
    assert counts(report) == (3, 12, 0, 0)
    assert report.served is not None
    assert (report.served.n_rows, report.served.n_of_others) == (7, 5)
    assert "5 left out as answered by another plan version" in str(report)
    assert [file.name for file in tmp_path.iterdir() if file.is_dir()] == ["s.state-audit"]


def test_segments_older_than_what_is_kept_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "s.state", time.time_ns()
    monkeypatch.setattr(replaced_changes.time, "time_ns", lambda: now)
    with FITTED.online(path=path, keep_audit="2d") as live:
        live.process(rows(0, 5))
        head = live.head
        live.compact()
        live.process(rows(5, 5))
        now += 86_400 * 10**9
        live.compact()
        assert counts(ff.replay(path)) == (2, 10, 0, 0)
        now += 86_400 * 10**9 + 1
        live.process(rows(10, 5))
        live.compact()
    report = ff.replay(path, head=head)
    assert report.ok, report
    assert counts(report) == (2, 10, 1, 5)
    assert (report.noted, report.noted_since_ns) == ("known, no longer recomputable", now)
    assert len(list(Path(f"{path}-audit").iterdir())) == 2
    now += 9 * 86_400 * 10**9
    FITTED.online(path=path).close()
    assert counts(ff.replay(path)) == (0, 0, 3, 15)
    assert not list(Path(f"{path}-audit").iterdir())


@pytest.mark.parametrize("plan", [FITTED, TWO_KEYS])
def test_forget_reaches_the_archive(tmp_path: Path, plan: ff.FittedPlan) -> None:
    """Changes of the entity alone are lost, and those that saw it by another key."""
    path = tmp_path / "s.state"
    with plan.online(path=path, archive=tmp_path / "archive") as live:
        for k in range(12):
            one = rows(0, 200).filter(pa.array([n // 16 == k for n in range(200)]))
            name = f"secret {k}" if k in (2, 7) else f"card {k}"
            live.process(one.set_column(2, "card", pa.array([name] * one.num_rows)))
            if k % 4 == 3:
                live.compact()
        head = live.head
        assert b"secret 2" in content(tmp_path)
        live.forget("card", "secret 2")
        assert b"secret 2" not in content(tmp_path)
        assert b"secret 7" in content(tmp_path)
        middle = ff.replay(path, head=head)
        live.forget("card", "secret 7")
        assert b"secret" not in content(tmp_path)
        live.process(rows(400, 3))
    assert middle.ok, middle
    assert middle.noted == "known, no longer recomputable"  # the whole state there held its rows
    report = ff.replay(path)
    assert report.ok, report
    n_changes, n_rows, n_gone, n_gone_rows = counts(report)
    assert (n_changes + n_gone, n_rows + (n_gone_rows or 0)) == (15, 195)
    if plan is FITTED:
        assert (n_gone, n_gone_rows) == (4, 32)
    else:
        assert 4 < n_gone < 12


def test_segments_that_are_missing_or_altered_are_differences(tmp_path: Path) -> None:
    path = tmp_path / "s.state"
    with FITTED.online(path=path, archive=tmp_path / "archive") as live:
        live.process(rows(0, 5))
        live.compact()
        live.process(rows(5, 5))
        live.forget("card", "card 1")
    (file, other) = sorted((tmp_path / "archive").iterdir())
    whole = file.read_bytes()
    for statement in (
        "UPDATE segments SET ends = 7",
        "UPDATE segments SET rows = zeroblob(9)",
        "DELETE FROM segments",
        "UPDATE parts SET content = zeroblob(3)",
        "UPDATE head SET digest = zeroblob(32)",
        "UPDATE segments SET digests = zeroblob(39)",
    ):
        connection = sqlite3.connect(file)
        n = connection.execute(statement).rowcount
        connection.commit()
        connection.close()
        assert not n or not ff.replay(path).ok, statement
        file.write_bytes(whole)
    assert ff.replay(path).ok
    file.write_bytes(other.read_bytes())
    assert "is not the one that the state file names" in str(ff.replay(path))
    file.unlink()
    assert "is missing. Restore it" in str(ff.replay(path))
    file.write_bytes(whole)
    moved = tmp_path / "moved"
    (tmp_path / "archive").rename(moved)
    assert not ff.replay(path).ok
    assert ff.replay(path, archive=moved).ok


def test_the_archive_goes_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / "s.state"
    with FITTED.online(path=path, archive=tmp_path / "archive") as live:
        live.process(rows(0, 5))
        live.compact()
        live.delete_audit_key()
    assert not list((tmp_path / "archive").iterdir())
    with FITTED.online(path=path) as live:
        live.process(rows(5, 5))
        live.compact()


def test_a_segment_that_cannot_be_removed_is_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, unlink = tmp_path / "s.state", Path.unlink

    def refused(file: Path, missing_ok: bool = False) -> None:
        if file.suffix == ".segment":
            raise PermissionError(file)
        unlink(file, missing_ok)

    with FITTED.online(path=path, archive=tmp_path / "archive") as live:
        live.process(rows(0, 5))
        live.compact()
        (old,) = (tmp_path / "archive").iterdir()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", refused)
            live.forget("card", "card 1")
            live.process(rows(5, 5).filter(pa.array([k % 4 != 1 for k in range(5, 10)])))
            assert old.exists()
        live.process(rows(10, 3))
        assert not old.exists()
    report = ff.replay(path)
    assert report.ok, report


def test_what_cannot_be_kept_is_told() -> None:
    with pytest.raises(InvalidPlan, match="only in memory"):
        FITTED.online(keep_audit="90d")
    with pytest.raises(InvalidPlan, match="keep_audit=5"):
        FITTED.online(path="x.state", keep_audit=5)  # pyright: ignore[reportArgumentType]


def test_a_state_that_nothing_changed_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "s.state"
    with FITTED.online(path=path, archive=tmp_path / "archive") as live:
        live.compact()
        live.process(rows(0, 2))
        live.compact()
        head = live.head
        live.compact()
        assert live.head == head
    assert ff.replay(path, head=head).noted == "known and verified"


POINTS = ["a segment written", "segments written", "segments named"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("what", ["forget", "compact"])
def test_a_process_killed_in_between_leaves_the_old_or_the_new(
    tmp_path: Path, point: str, what: str
) -> None:
    path = tmp_path / "s.state"
    with FITTED.online(path=path, archive=tmp_path / "archive") as live:
        live.process(rows(0, 5))
        live.compact()
        live.process(rows(5, 6))
    child = os.fork()
    if not child:
        archive_module.at = journal_module.at = replaced_changes.at = lambda reached: (
            os.kill(os.getpid(), signal.SIGKILL) if reached == point else None
        )
        live = FITTED.online(path=path)
        live.forget("card", "card 1") if what == "forget" else live.compact()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) == (what == "forget" or point != "a segment written")
    report = ff.replay(path)
    assert report.ok, report
    n_changes, n_rows, n_gone, n_gone_rows = counts(report)
    n_all = 3 if what == "forget" else 2
    assert (n_changes + n_gone, n_rows + (n_gone_rows or 0)) == (n_all, 11)
    FITTED.online(path=path).close()
    report = ff.replay(path)
    assert report.ok, report
    if what == "forget":
        assert b"card 1" not in content(tmp_path)
        assert counts(report) == (0, 0, 3, 11)
    connection = sqlite3.connect(path)
    named = connection.execute("SELECT facts FROM archived").fetchall()
    connection.close()
    assert len(named) == len(list((tmp_path / "archive").iterdir()))


STEPS = st.sampled_from(
    ["process", "row", "update", "compact", "swap", "forget", "remove", "reopen", "settle"]
)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.HistoryMissing")
@settings(deadline=None, max_examples=12)
@given(
    st.lists(STEPS, min_size=3, max_size=14)
    | st.lists(st.sampled_from(["row", "compact", "swap"]), min_size=3, max_size=6),
    st.booleans(),
    st.data(),
)
def test_every_change_is_covered_or_told(
    steps: list[str], has_archive: bool, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "s.state"
        archive = Path(folder) / "archive" if has_archive else None
        plan, n, n_changes, n_rows, n_answered = FITTED, 0, 0, 0, 0
        live, heads = plan.online(path=path, archive=archive), list[bytes]()
        for step in steps:
            match step:
                case "process" | "update":
                    size = data.draw(st.integers(1, 5))
                    getattr(live, step)(rows(n, size))
                    n, n_changes, n_rows = n + size, n_changes + 1, n_rows + size
                    n_answered += size if step == "process" else 0
                case "row":
                    live.process(rows(n, 1).to_pylist()[0])
                    n, n_changes, n_rows, n_answered = (
                        n + 1,
                        n_changes + 1,
                        n_rows + 1,
                        n_answered + 1,
                    )
                case "compact" | "settle":
                    live.compact() if step == "compact" else live.checkpoint()
                case "swap":
                    live.close()
                    plan = OTHER if plan is FITTED else FITTED
                    live, n_changes = plan.online(path=path), n_changes + 1
                case "forget":
                    live.forget("card", f"card {data.draw(st.integers(0, 4))}")
                    n_changes += 1
                case "remove":
                    history = live.history()
                    if history is not None and history.num_rows:
                        live.remove(
                            history["id"][data.draw(st.integers(0, history.num_rows - 1))].as_py()
                        )
                        n_changes += 1
                case _:
                    live.close()
                    live = plan.online(path=path)
            heads.append(live.head)
        live.close()
        report = ff.replay(path)
        assert report.ok, report
        gone = report.not_covered
        assert report.n_changes + gone.n_changes == n_changes
        assert report.n_rows + (gone.n_rows or 0) == n_rows
        is_lossy = "forget" in steps or not has_archive
        if not is_lossy:
            assert report.is_whole
        for head in heads:
            found = ff.replay(path, head=head)
            assert found.ok, found
            assert found.noted in ("known and verified", "known, no longer recomputable")
            assert is_lossy or found.noted == "known and verified"
        assert ff.replay(path, head=heads[-1]).noted == "known and verified"
        assert ff.replay(path, head=bytes(32)).noted == "unknown: rewritten"
