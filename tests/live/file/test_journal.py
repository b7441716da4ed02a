"""The journal: what was written comes back, in whole calls, when its durability says so."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fastfeat.errors import StateError
from fastfeat.live.file import entries as entries_module
from fastfeat.live.file import journal as journal_module
from fastfeat.live.file.entries import Links
from fastfeat.live.file.journal import Journal
from fastfeat.live.state.changes import Base, ChangeResults, Entry, Settings, StateChange
from fastfeat_tests.live.file.journal_entries import (
    PLANS,
    base_of,
    base_rows,
    bits_of,
    entry_of,
    new_journal,
    rows_of,
    told,
    told_base,
    write_plainly,
)
from fastfeat_tests.patience import PATIENCE_S, passed, until


@pytest.fixture
def plain(monkeypatch) -> None:
    """Have rows written as they are, not compressed."""
    write_plainly(monkeypatch)


def test_what_was_written_comes_back_with_its_bits(tmp_path):
    path = tmp_path / "state.db"
    written = [entry_of(0), entry_of(3, 1), entry_of(4, 5, "update", ""), entry_of(9, 2)]
    with_settings = Settings("insert", "2d", "1h")
    journal = Journal.create(path, PLANS, with_settings, base_of(50, 4))
    journal.write(written[:2])
    journal.write(written[2:])
    journal.close()
    again = Journal.open(path)
    assert told_base(again.base()) == told_base(base_of(50, 4))
    assert [told(found.entry) for found in again.entries()] == [told(entry) for entry in written]
    assert [found.seq for found in again.entries()] == [1, 2, 3, 4]
    assert (again.settings, again.plans, again.seq) == (with_settings, PLANS, 4)
    assert again.offsets == {"events:0": 11}
    again.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["state.db", "state.db-lock"]


def test_every_kind_of_change_comes_back(tmp_path):
    journal = new_journal(tmp_path / "state.db", base=Base())
    empty = ChangeResults({}, np.zeros(0, bool))
    given = [
        Entry(StateChange("forget", pa.table({"card": ["a", None]}), "card", time_ns=5), empty),
        Entry(StateChange("sweep", pa.table({"0": [7], "1": [None]})), empty),
        Entry(
            StateChange("table", rows_of(0), "weather", "tables:0", 3, 6),
            ChangeResults({}, np.ones(3, bool)),
        ),
        Entry(
            StateChange("outcomes", rows_of(0), "", "outcomes:0", 0, 3),
            ChangeResults({}, np.ones(3, bool)),
        ),
        Entry(StateChange("correct", rows_of(0, 0)), empty),
    ]
    journal.write(given)
    assert journal.base() == Base(None, {}, {}, [])
    assert [told(found.entry) for found in journal.entries()] == [told(entry) for entry in given]
    assert journal.offsets == {"tables:0": 6, "outcomes:0": 3}
    journal.close()


def test_sliced_and_chunked_rows_are_written_alone(tmp_path):
    whole = pa.concat_tables([rows_of(0, 500), rows_of(500, 500)]).unify_dictionaries()
    journal = new_journal(tmp_path / "state.db")
    change = StateChange("update", whole.slice(499, 3), end=3)
    journal.write([Entry(change, ChangeResults({}, np.ones(3, bool)))])
    (found,) = journal.entries()
    assert bits_of(found.entry.change.rows) == bits_of(rows_of(499))
    journal.close()


def test_a_large_base_is_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(entries_module, "ROWS_A_PART", 7)
    path, base = tmp_path / "state.db", base_of(0, 30)
    new_journal(path, base=base).close()
    again = Journal.open(path)
    assert told_base(again.base()) == told_base(base)
    assert len(base_rows(again.base()).column(0).chunks) == 5
    again.close()


def test_many_entries_are_read_in_pieces(tmp_path):
    journal = new_journal(tmp_path / "state.db")
    journal.write([entry_of(n, 1) for n in range(600)])
    assert [found.seq for found in journal.entries()] == list(range(1, 601))
    follower = Journal.follow(journal.path)
    assert [found.entry.change.first for found in follower.news().entries] == list(range(600))
    follower.close()
    journal.close()


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "state.db"
    journal = new_journal(path)
    with pytest.raises(StateError, match=r"state\.db is in use by this process"):
        Journal.open(path)
    code = f"""
        from fastfeat.live.file.journal import Journal
        try:
            Journal.open({str(path)!r})
        except Exception as error:
            print(type(error).__name__, error)
    """
    told = _python(code)
    assert told.startswith("StateError")
    assert f"in use by process {os.getpid()}, and only one" in told
    journal.close()
    assert _python(code) == ""
    Journal.open(path).close()


def test_a_writer_beside_a_lock_that_was_removed_is_refused(tmp_path):
    path = tmp_path / "state.db"
    journal = new_journal(path)
    journal.write([entry_of(0)])
    Path(f"{path}-lock").unlink()
    other = Journal.open(path)
    other.write([entry_of(3)])
    with pytest.raises(StateError, match=r"another process has written the file up to entry 2"):
        journal.write([entry_of(3)])
    journal.close()
    other.write([entry_of(6)])
    assert [found.entry.change.first for found in other.entries()] == [0, 3, 6]
    other.close()


def test_a_link_to_a_state_is_that_state(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    path, link = tmp_path / "real" / "state.db", tmp_path / "link.db"
    journal = new_journal(path)
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for name in (link, "link.db", Path("real") / "state.db"):
        with pytest.raises(StateError, match=r"state\.db is in use by this process"):
            Journal.open(name)
    journal.close()
    journal = Journal.open("link.db")
    monkeypatch.chdir("/")
    journal.write([entry_of(0)])
    journal.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.db", "real"]


def test_a_file_that_is_there_is_not_replaced(tmp_path):
    path = tmp_path / "state.db"
    new_journal(path).close()
    before = path.read_bytes()
    with pytest.raises(StateError, match=r"state\.db exists already"):
        new_journal(path)
    assert path.read_bytes() == before
    with pytest.raises(StateError, match="there is no such state"):
        Journal.open(tmp_path / "other.db")
    with pytest.raises(StateError, match="is not the path of a file"):
        Journal.open("a\0b")


def test_a_state_that_nobody_closed_is_whole(tmp_path):
    path = tmp_path / "state.db"
    journal = new_journal(path)
    journal.write([entry_of(0)])
    del journal
    gc.collect()
    again = Journal.open(path)
    assert again.seq == 1
    again.close()


# --- durability ---------------------------------------------------------------------------------


def _committed(path: Path) -> int:
    """Return the number of the last entry that another process would see."""
    follower = Journal.follow(path)
    news = follower.news()
    follower.close()
    return news.entries[-1].seq if news.entries else 0


def test_commit_is_on_disk_before_it_returns(tmp_path):
    journal = new_journal(tmp_path / "state.db")
    for n in range(3):
        journal.write([entry_of(n, 1)])
        assert _committed(journal.path) == n + 1
    journal.close()


def test_interval_is_on_disk_within_it_by_the_timer(tmp_path, monkeypatch):
    may_flush, _ = _timed(monkeypatch)
    journal = new_journal(tmp_path / "state.db", "interval")
    journal.write([entry_of(0)])
    journal.write([entry_of(3)])
    assert (_committed(journal.path), journal.seq) == (0, 2)
    assert journal.offsets == {"events:0": 6}
    may_flush.set()
    until(lambda: _committed(journal.path) == 2)
    journal.write([entry_of(6)])
    journal.flush()
    assert _committed(journal.path) == 3
    journal.close()


def test_interval_that_nobody_closed_is_on_disk_at_the_end(tmp_path):
    path = tmp_path / "state.db"
    journal = new_journal(path, "interval")
    journal.write([entry_of(0)])
    del journal
    gc.collect()
    assert _committed(path) == 1


def test_checkpoint_writes_when_it_is_told_and_not_before(tmp_path):
    path = tmp_path / "state.db"
    journal = new_journal(path, "checkpoint")
    journal.write([entry_of(0)])
    assert (_committed(path), journal.offsets) == (0, {"events:0": 3})
    with pytest.raises(StateError, match="some changes are not on disk yet"):
        journal.compact(base_of(0))
    journal.flush()
    assert _committed(path) == 1
    journal.write([entry_of(3)])
    del journal
    gc.collect()
    assert _committed(path) == 1, "what no checkpoint followed is not there"


def test_an_error_of_the_timer_is_one_of_the_next_call(tmp_path, monkeypatch):
    may_flush, has_flushed = _timed(monkeypatch)
    journal = new_journal(tmp_path / "state.db", "interval")
    with _full_disk(journal):
        journal.write([entry_of(0, 3000)])
        may_flush.set()
        passed(has_flushed)
        with pytest.raises(StateError, match="the disk is full"):
            journal.write([entry_of(3000)])
        assert journal.seq == 1
    journal.write([entry_of(3000)])
    journal.close()
    again = Journal.open(journal.path)
    assert [found.entry.change.first for found in again.entries()] == [0, 3000]
    again.close()


def _timed(monkeypatch) -> tuple[threading.Event, threading.Event]:
    """Shorten the interval; its timer waits for the first event, and sets the second afterwards."""
    may_flush, has_flushed = threading.Event(), threading.Event()
    flush_later = journal_module._flush_later

    def flush(journal: Any) -> None:
        passed(may_flush)
        flush_later(journal)
        has_flushed.set()

    monkeypatch.setattr(journal_module, "INTERVAL", 0.05)
    monkeypatch.setattr(journal_module, "_flush_later", flush)
    return may_flush, has_flushed


class _full_disk:
    """A file that may not grow while this is entered."""

    def __init__(self, journal: Journal) -> None:
        self.execute = journal._file.connection.execute

    def __enter__(self) -> None:
        (n_pages,) = self.execute("PRAGMA page_count").fetchone()
        self.execute(f"PRAGMA max_page_count = {n_pages}")

    def __exit__(self, *_: object) -> None:
        self.execute("PRAGMA max_page_count = 4294967294")


def test_a_full_disk_leaves_the_last_commit(tmp_path):
    journal = new_journal(tmp_path / "state.db")
    journal.write([entry_of(0)])
    with _full_disk(journal):
        with pytest.raises(StateError, match="everything up to the last commit is safe"):
            journal.write([entry_of(3), entry_of(6, 3000)])
        assert (journal.seq, journal.offsets) == (1, {"events:0": 3})
        with pytest.raises(StateError, match="the disk is full"):
            journal.compact(base_of(0, 50_000))
    journal.write([entry_of(3)])
    assert [found.entry.change.first for found in journal.entries()] == [0, 3]
    assert told_base(journal.base()) == told_base(base_of(0))
    journal.close()


# --- compaction ---------------------------------------------------------------------------------


def test_a_base_takes_the_place_of_entries(tmp_path):
    path = tmp_path / "state.db"
    journal = new_journal(path)
    journal.write([entry_of(0), entry_of(3)])
    assert journal.compact(base_of(10, 5))
    journal.write([entry_of(6)])
    expected = replace(base_of(10, 5), offsets={"events:0": 6})
    for _ in range(2):
        assert told_base(journal.base()) == told_base(expected)
        assert [found.seq for found in journal.entries()] == [3]
        assert journal.offsets == {"events:0": 9}
        journal.close()
        journal = Journal.open(path)
    journal.close()


def test_compaction_is_wanted_by_size(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "SMALLEST_COMPACTION", 20_000)
    journal = new_journal(tmp_path / "state.db")
    assert not journal.wants_compaction
    while not journal.wants_compaction:
        journal.write([entry_of(journal.seq * 50, 50)])
    assert 3 < journal.seq < 40
    journal.close()
    journal = Journal.open(journal.path)
    assert journal.wants_compaction
    journal.compact(base_of(0, 4000))
    assert not journal.wants_compaction
    journal.close()


def test_what_is_erased_is_nowhere_in_the_file(tmp_path, plain):
    path = tmp_path / "state.db"
    secret = "the-name-that-is-forgotten"
    rows = pa.table({"name": pa.array(["kept", secret] * 200).dictionary_encode(), "n": range(400)})
    text = rows.set_column(0, "name", rows.column("name").cast(pa.string()))
    journal = Journal.create(path, PLANS, Settings(), Base(text.slice(0, 2)))
    journal.write([Entry(StateChange("update", rows), ChangeResults({}, np.ones(400, bool)))])
    journal.compact(Base(text))
    journal.write(
        [
            Entry(
                StateChange("forget", text.select(["name"]).slice(1, 1), "name"),
                ChangeResults({}, np.ones(1, bool)),
            )
        ]
    )
    assert secret.encode() in _all_bytes(path)
    kept = rows.take(list(range(0, 400, 2)))
    assert secret in kept.column("name").chunk(0).dictionary.to_pylist()
    assert journal.compact(Base(kept, {"table": kept}), erases=True)
    for is_open in (True, False):
        assert secret.encode() not in _all_bytes(path)
        if is_open:
            journal.close()
    again = Journal.open(path)
    assert base_rows(again.base()).column("name").to_pylist() == ["kept"] * 200
    again.close()


def _all_bytes(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(path.name + "*")))


def test_a_reader_in_the_middle_delays_erasing_and_is_told(tmp_path, plain):
    journal = new_journal(tmp_path / "state.db")
    journal._file.connection.execute("PRAGMA busy_timeout = 50")
    journal.write([entry_of(1_000_000)])
    follower = Journal.follow(journal.path)
    assert b"text 1000001" in _all_bytes(journal.path)
    with follower._snapshot():
        assert not journal.compact(base_of(0), erases=True)
    assert journal.erase()
    assert b"text 1000001" not in _all_bytes(journal.path)
    follower.close()
    journal.close()


def test_links_go_on_over_compaction_and_opening(tmp_path):
    def linking(before: bytes, entry: Entry) -> tuple[bytes, bytes]:
        return before + b".%d" % entry.change.first, b"of %d" % entry.change.first

    journal = Journal.create(
        tmp_path / "state.db", PLANS, Settings(), base_of(0), key=b"key", links=Links(link=b"0")
    )
    journal.linking = linking
    journal.write([entry_of(3), entry_of(6)])
    assert (journal.link, journal.key) == (b"0.3.6", b"key")
    journal.close()
    journal = Journal.open(journal.path)
    assert (journal.link, journal.key) == (b"0.3.6", b"key")
    assert [(f.link, f.digests) for f in journal.entries()] == [
        (b"0.3", b"of 3"),
        (b"0.3.6", b"of 6"),
    ]
    journal.linking_base = lambda *_: Links(link=b"new")
    journal.compact(base_of(0))
    assert journal.link == b"new"
    journal.delete_key(base_of(0))
    journal.close()
    journal = Journal.open(journal.path)
    assert (journal.link, journal.key) == (b"", b"")
    journal.close()


def test_a_change_of_plans_is_an_entry_and_a_base_at_once(tmp_path):
    path = tmp_path / "state.db"
    journal = new_journal(path)
    journal.linking = lambda before, entry: (before + entry.change.kind.encode()[:2], b"")
    journal.write([entry_of(0)])
    with _full_disk(journal), pytest.raises(StateError, match="the disk is full"):
        journal.change_plans({"a": b"one"}, base_of(0, 50_000), 77)
    assert (journal.seq, journal.plans) == (1, PLANS)
    follower = Journal.follow(path)
    follower.news()
    journal.change_plans({"a": b"one", "b": b"two"}, base_of(0, 9), 77)
    journal.write([entry_of(3)])
    assert follower.links(2).previous == b"prpl"
    news = follower.news()
    assert (base_rows(news.base).num_rows, [one.seq for one in news.entries]) == (9, [3])
    assert follower.plans == {"a": b"one", "b": b"two"}
    follower.close()
    for _ in range(2):
        assert journal.plans == {"a": b"one", "b": b"two"}
        assert (journal.seq, base_rows(journal.base()).num_rows) == (3, 9)
        journal.close()
        journal = Journal.open(path)
    journal.close()
    assert b"the artifact of a plan" not in _all_bytes(path)


# --- readers, threads, processes ----------------------------------------------------------------


def test_a_follower_gives_what_was_committed_since(tmp_path):
    journal = new_journal(tmp_path / "state.db")
    journal.write([entry_of(0)])
    follower = Journal.follow(journal.path)
    news = follower.news()
    assert news.base is not None
    assert told_base(news.base) == told_base(base_of(0))
    assert [found.seq for found in news.entries] == [1]
    assert (follower.news().base, follower.news().entries) == (None, ())
    journal.write([entry_of(3), entry_of(6)])
    news = follower.news()
    assert (news.base, [found.seq for found in news.entries]) == (None, [2, 3])
    journal.compact(base_of(0, 8))
    journal.write([entry_of(9)])
    news = follower.news()
    assert (news.base, [found.seq for found in news.entries]) == (None, [4])
    journal.write([entry_of(12)])
    journal.compact(base_of(0, 13))
    journal.write([entry_of(15)])
    news = follower.news()
    assert news.base is not None
    assert base_rows(news.base).num_rows == 13
    assert [found.seq for found in news.entries] == [6]
    assert follower.settings == journal.settings
    assert follower.plans == PLANS
    journal.close()
    assert follower.news().entries == ()
    follower.close()


def test_a_follower_of_a_file_that_was_replaced_says_so(tmp_path):
    path = tmp_path / "state.db"
    new_journal(path).close()
    follower = Journal.follow(path)
    follower.news()
    for file in tmp_path.iterdir():
        file.rename(tmp_path / f"old {file.name}")
    with pytest.raises(StateError, match="was replaced by another file after it was opened"):
        follower.news()
    new_journal(path).close()
    with pytest.raises(StateError, match="was replaced by another file after it was opened"):
        follower.news()
    follower.close()


def test_a_follower_of_a_killed_writer_leaves_its_log(tmp_path):
    path = tmp_path / "state.db"
    code = f"""
        import os
        from pathlib import Path
        from fastfeat_tests.live.file.journal_entries import entry_of, new_journal
        journal = new_journal(Path({str(path)!r}))
        journal.write([entry_of(0)])
        os.kill(os.getpid(), 9)
    """
    _python(code, expected=-9)
    follower = Journal.follow(path)
    assert [found.seq for found in follower.news().entries] == [1]
    follower.close()
    journal = Journal.open(path)
    assert journal.seq == 1
    journal.close()


def test_threads_write_beside_readers(tmp_path):
    journal = new_journal(tmp_path / "state.db")
    follower = Journal.follow(journal.path)
    seen: list[int] = []
    is_done = threading.Event()

    def write(first: int) -> None:
        for n in range(10):
            journal.write([entry_of(first + n, 1), entry_of(first + n, 1)])

    def read() -> None:
        while not is_done.wait(0.002):
            seen.extend(found.seq for found in follower.news().entries)

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200)]
    reader = threading.Thread(target=read)
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    is_done.set()
    reader.join()
    seen.extend(found.seq for found in follower.news().entries)
    assert seen == list(range(1, 61))
    firsts = [found.entry.change.first for found in journal.entries()]
    assert firsts[::2] == firsts[1::2], "a call is whole"
    follower.close()
    journal.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_may_not_use_it_and_does_not_hold_the_lock(tmp_path):
    journal = new_journal(tmp_path / "state.db")
    follower = Journal.follow(journal.path)
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if child == 0:
        try:
            for call in (lambda: journal.write([entry_of(0)]), follower.news, journal.close):
                try:
                    call()
                except StateError as error:
                    theirs.send(str(error))
            theirs.recv()
        finally:
            os._exit(0)
    told = [ours.recv() for _ in range(3)]
    assert all(f"was opened in process {os.getpid()}" in text for text in told)
    follower.close()
    journal.write([entry_of(0)])
    journal.close()
    again = Journal.open(journal.path)
    assert again.seq == 1
    again.close()
    ours.send("end")
    os.waitpid(child, 0)


def test_a_closed_journal_says_so(tmp_path):
    journal = new_journal(tmp_path / "state.db")
    journal.close()
    journal.close()
    with pytest.raises(StateError, match=r"state\.db is closed"):
        journal.write([entry_of(0)])


def _python(code: str, expected: int = 0) -> str:
    """Return what another process prints, which runs code."""
    paths = [str(Path(__file__).resolve().parents[3] / ".paths"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == expected, done.stderr
    return done.stdout.strip()
