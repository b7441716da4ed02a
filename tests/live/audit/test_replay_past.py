"""What `replay` tells of changes that a whole state has replaced, and of links noted before."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import StateError
from fastfeat.live.file import journal as journal_module

HOUR = ff.window("1h", by="card", time="t")
PLAN = ff.Plan({"n": ff.count(over=HOUR), "sum": col("x").sum(over=HOUR)})


def rows(first: int, n: int) -> pa.Table:
    numbers = range(first, first + n)
    return pa.table(
        {
            "t": pa.array([k * 60 for k in numbers], pa.timestamp("s", "UTC")),
            "card": [f"card {k % 3}" for k in numbers],
            "x": [float(k % 7) for k in numbers],
        }
    )


FITTED = PLAN.fit(rows(0, 10), history="batch")
OTHER = ff.Plan({"n": ff.count(over=HOUR), "mean": col("x").mean(over=HOUR)}).fit(
    rows(0, 10), history="batch"
)


def answered(path: Path) -> bytes:
    """Answer 100 rows in 20 changes, which a compaction replaces, and 5 more; return a head."""
    with FITTED.online(path=path) as live:
        for k in range(20):
            live.process(rows(5 * k, 5))
        head = live.head
        live.compact()
        live.process(rows(100, 5))
    return head


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("past") / "s.state"
    return path, answered(path)


def told(report: Any) -> tuple[int, int, int, int | None]:
    return (
        report.n_changes,
        report.n_rows,
        report.not_covered.n_changes,
        report.not_covered.n_rows,
    )


def test_replay_tells_how_much_a_compaction_has_replaced(made: tuple[Path, bytes]) -> None:
    report = ff.replay(made[0])
    assert report.ok, report
    assert told(report) == (1, 5, 20, 100)
    assert "not covered: 20 changes with 100 rows, no longer recomputable since 20" in str(report)


def test_a_tail_of_what_was_served_is_written_only_where_that_is_wanted(
    made: tuple[Path, bytes], tmp_path: Path
) -> None:
    served = tmp_path / "served.parquet"
    with pytest.raises(StateError, match=r"would lack 20 changes with 100 rows.*partial=True"):
        ff.replay(made[0], to=served)
    assert not list(tmp_path.iterdir())
    report = ff.replay(made[0], to=served, partial=True)
    assert report.served is not None
    assert report.served.n_rows == pq.read_table(served).num_rows == 5


def test_automatic_compactions_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SMALLEST_COMPACTION", 20_000)
    path = tmp_path / "s.state"
    with FITTED.online(path=path) as live:
        for k in range(40):
            live.process(rows(5 * k, 5))
    report = ff.replay(path)
    assert report.ok, report
    assert report.n_changes < 40
    n_changes, n_rows, n_gone, n_gone_rows = told(report)
    assert (n_changes + n_gone, n_rows + (n_gone_rows or 0)) == (40, 200)


def test_a_swap_and_a_deletion_are_told(tmp_path: Path) -> None:
    path = tmp_path / "s.state"
    with FITTED.online(path=path) as live:
        live.process(rows(0, 5))
        first = live.head
    with OTHER.online(path=path) as live:
        live.process(rows(5, 7))
        assert told(ff.replay(path)) == (1, 7, 2, 5)  # the change of the plans, too
        second = live.head
        live.forget("card", "card 1")
        third = live.head
        live.process(rows(12, 3))
    for head, word in ((first, "k, n"), (second, "k, n"), (third, "k, v"), (live.head, "k, v")):
        report = ff.replay(path, head=head)
        assert report.ok, report
        wanted = "known, no longer recomputable" if word == "k, n" else "known and verified"
        assert report.noted == wanted
        assert (report.noted_since_ns is not None) == (word == "k, n")
    assert told(ff.replay(path)) == (1, 3, 4, 12)


def test_a_head_noted_before_a_compaction_is_known(made: tuple[Path, bytes]) -> None:
    path, head = made
    report = ff.replay(path, head=head.hex())
    assert report.ok, report
    assert report.noted == "known, no longer recomputable"
    assert "the noted link: known, no longer recomputable since 20" in str(report)
    assert ff.replay(path, head=report.head).noted == "known and verified"


def test_a_file_that_was_written_anew_does_not_know_the_head(
    made: tuple[Path, bytes], tmp_path: Path
) -> None:
    answered(tmp_path / "s.state")
    report = ff.replay(tmp_path / "s.state", head=made[1])
    assert not report.ok
    assert report.noted == "unknown: rewritten"


def changed(path: Path, folder: Path, *statements: tuple[str, Any]) -> Path:
    copy = Path(shutil.copy(path, folder / "s.state"))
    connection = sqlite3.connect(copy)
    for statement, values in statements:
        connection.execute(statement, values)
    connection.commit()
    connection.close()
    return copy


def past_of(path: Path) -> tuple[bytes, bytes, bytes]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT facts, links, seal FROM links").fetchone()
    connection.close()
    return found


PUT = "UPDATE links SET facts = ?, links = ?, seal = ?"


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("link", "links of changes 1 to 20"),
        ("rows", "links of changes 1 to 20"),
        ("seal", "links of changes 1 to 20"),
        ("short", "the links of the changes that a snapshot replaces are incomplete"),
        ("facts", "the file was altered"),
    ],
)
def test_links_that_were_altered_are_a_difference(
    made: tuple[Path, bytes], tmp_path: Path, what: str, match: str
) -> None:
    facts, links, seal = past_of(made[0])
    values = {
        "link": (facts, bytes(32) + links[32:], seal),
        "rows": (facts.replace(b"100", b"101"), links, seal),
        "seal": (facts, links, bytes(32)),
        "short": (facts, links[:-32], seal),
        "facts": (b"[]", links, seal),
    }[what]
    report = ff.replay(changed(made[0], tmp_path, (PUT, values)), head=made[1])
    assert not report.ok
    assert match in str(report)


def test_links_that_were_left_out_are_a_difference(
    made: tuple[Path, bytes], tmp_path: Path
) -> None:
    report = ff.replay(changed(made[0], tmp_path, ("DELETE FROM links", ())))
    assert "the tables, offsets or settings of the snapshot differ" in str(report)


def test_a_link_put_among_the_links_without_the_key_is_not_known(
    made: tuple[Path, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "other"
    path.mkdir()
    answered(path / "s.state")
    facts, links, seal = past_of(path / "s.state")
    forged = changed(path / "s.state", tmp_path, (PUT, (facts, made[1] + links[32:], seal)))
    report = ff.replay(forged, head=made[1])
    assert not report.ok
    assert report.noted is None


def test_rows_that_were_answered_alone_are_served(tmp_path: Path) -> None:
    path, served = tmp_path / "s.state", tmp_path / "served.parquet"
    with FITTED.online(path=path) as live:
        live.process(rows(0, 1))
        live.process(rows(1, 1).to_pylist()[0])
        live.process(rows(2, 1))
        live.process(rows(3, 5))
    report = ff.replay(path, to=served)
    assert report.ok, report
    assert pq.read_table(served).num_rows == 8


@pytest.mark.parametrize("n_flips", [12, pytest.param(600, marks=pytest.mark.slow)])
def test_replay_refuses_what_opening_refuses(tmp_path: Path, n_flips: int) -> None:
    """Padding of Arrow's messages is read by nobody, and covered by the digest of the entry."""
    path = tmp_path / "s.state"
    with FITTED.online(path=path) as live:
        for k in range(6):
            live.process(rows(5 * k, 5))
    content = path.read_bytes()
    numbers = random.Random(random.SystemRandom().randrange(1 << 32))
    copy = tmp_path / "copy.state"
    for _ in range(n_flips):
        altered = bytearray(content)
        at = numbers.randrange(len(altered))
        altered[at] ^= 1 << numbers.randrange(8)
        copy.write_bytes(altered)
        try:
            ok = ff.replay(copy).ok
        except ff.FastfeatError:
            ok = False
        try:
            FITTED.online(path=copy).close()
        except ff.FastfeatError:
            assert not ok, at
        for file in tmp_path.glob("copy.state*"):
            file.unlink()


def test_an_entry_with_padding_that_was_altered_is_a_difference(
    made: tuple[Path, bytes], tmp_path: Path
) -> None:
    connection = sqlite3.connect(made[0])
    seq, content = connection.execute("SELECT seq, rows FROM segments").fetchone()
    connection.close()
    reader = pa.ipc.open_stream(content).read_all()
    for at in range(len(content)):
        altered = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        try:
            if pa.ipc.open_stream(altered).read_all().equals(reader):
                break
        except (pa.ArrowException, OSError):
            continue
    else:
        pytest.fail("each byte of the entry has a meaning: none is padding")
    statement = "UPDATE segments SET rows = ? WHERE seq = ?"
    report = ff.replay(changed(made[0], tmp_path, (statement, (altered, seq))))
    assert not report.ok
    assert f"its entry {seq} does not match its SHA-256" in str(report)


def test_a_commit_that_is_missing_is_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "s.state"
    with FITTED.online(path=path) as live:
        live.process(rows(0, 5))
    older = path.read_bytes()
    with FITTED.online(path=path) as live:
        live.process(rows(5, 5))
    path.write_bytes(older)
    report = ff.replay(path)
    assert not report.ok
    assert "the file ends with change 1, but change 2 was committed" in str(report)
