"""Files of a state that are damaged, foreign or newer: a named error, never other bits."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fastfeat.errors import StateError
from fastfeat.live.file.journal import Journal
from fastfeat.live.file.state_file import FORMAT
from fastfeat_tests.live.file.journal_entries import (
    base_of,
    entry_of,
    new_journal,
    told,
    told_base,
)
from fastfeat_tests.patience import PATIENCE_S


@pytest.fixture(scope="module")
def closed(tmp_path_factory) -> Path:
    """Return a state of some entries that was closed."""
    path = tmp_path_factory.mktemp("closed") / "state.db"
    journal = new_journal(path, base=base_of(0, 200))
    for n in range(8):
        journal.write([entry_of(200 + 50 * n, 50)])
    journal.close()
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """Return a state whose process was killed: a part of it is in the write-ahead log."""
    path = tmp_path_factory.mktemp("killed") / "state.db"
    code = f"""
import os
from pathlib import Path
from fastfeat_tests.live.file.journal_entries import base_of, entry_of, new_journal
journal = new_journal(Path({str(path)!r}), base=base_of(0, 200))
for n in range(8):
    journal.write([entry_of(200 + 50 * n, 50)])
os.kill(os.getpid(), 9)
"""
    paths = [str(Path(__file__).resolve().parents[3] / ".paths"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=PATIENCE_S)
    assert done.returncode == -signal.SIGKILL
    return path


def _copy(path: Path, folder: Path) -> Path:
    """Return a copy of a state with all files beside it."""
    for file in path.parent.iterdir():
        shutil.copy(file, folder / file.name)
    return folder / path.name


def _content(path: Path) -> Any:
    journal = Journal.open(path)
    try:
        base = told_base(journal.base())
        return base, [told(found.entry) for found in journal.entries()], dict(journal.offsets)
    finally:
        journal.close()


def _refused(path: Path, match: str) -> None:
    """Check that a state is refused by an error that names it, and that nothing is changed."""
    before = path.read_bytes()
    with pytest.raises(StateError, match=match) as caught:
        _content(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_is_no_state_is_refused(tmp_path):
    path = tmp_path / "state.db"
    path.write_bytes(b"")
    _refused(path, "the file is empty, so it is not the state of a live plan")
    path.write_bytes(b"PAR1" * 100)
    _refused(path, "is not a SQLite file, so it is not the state of a live plan")
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE segments (seq INTEGER)")
    connection.commit()
    connection.close()
    _refused(path, "the file is a SQLite file, but not the state of a live plan")
    path.unlink()
    path.mkdir()
    with pytest.raises(StateError, match="Is a directory"):
        Journal.open(path)
    with pytest.raises(StateError, match="exists already"):
        new_journal(path)


def test_a_newer_format_is_refused(closed, tmp_path):
    path = _copy(closed, tmp_path)
    content = bytearray(path.read_bytes())
    content[60:64] = (FORMAT + 1).to_bytes(4, "big")
    path.write_bytes(content)
    _refused(path, rf"has format {FORMAT + 1}, but .*, reads formats up to {FORMAT}\. Update")


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        ("UPDATE segments SET kind = 'news' WHERE seq = 3", "its entry 3 does not match"),
        ("UPDATE segments SET ends = ends + 1 WHERE seq = 8", "its entry 8 does not match"),
        ("DELETE FROM segments WHERE seq = 4", "its entry 4 does not match"),
        ("DELETE FROM segments WHERE seq = 8", "it has 7 of 8 entries"),
        ("UPDATE segments SET seq = 9 WHERE seq = 8", "it has 7 of 8 entries"),
        ("UPDATE parts SET content = zeroblob(9) WHERE kind = 'table'", "snapshot does not match"),
        ("DELETE FROM parts WHERE kind = 'rows'", "its snapshot does not match"),
        ("UPDATE bases SET link = x'00'", "its snapshot does not match"),
        ("DELETE FROM bases", "its snapshot is missing"),
        ("UPDATE artifacts SET content = x'00'", "its plan .* is missing or damaged"),
        ("DELETE FROM artifacts", "its plan .* is missing or damaged"),
        ("INSERT INTO keys VALUES (x'00', x'01')", "its audit key is damaged"),
        ("UPDATE head SET digest = zeroblob(32)", "it has 8 of 8 entries"),
        ("UPDATE head SET seq = 'x'", "has the wrong type"),
        ("UPDATE segments SET rows = CAST(rows AS TEXT)", r"the wrong type|cannot be read"),
        ("DELETE FROM head", "its header is damaged"),
        ("DROP TABLE keys", "its tables have the wrong definitions"),
        ("CREATE VIEW v AS SELECT 1", "its tables have the wrong definitions"),
    ],
)
def test_what_was_changed_by_hand_is_named(closed, tmp_path, statement, match):
    path = _copy(closed, tmp_path)
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(StateError, match=match) as caught:
        _content(path)
    assert str(caught.value).startswith(str(path))


def test_a_truncated_file_is_refused(closed, tmp_path):
    path = _copy(closed, tmp_path)
    content = path.read_bytes()
    for n_bytes in [*range(1, 120, 17), *range(1000, len(content), 3001), len(content) - 1]:
        path.write_bytes(content[:n_bytes])
        _refused(path, "truncated|not the state")


@pytest.mark.parametrize("n_flips", [50, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("which", ["closed", "killed", "wal"])
def test_a_flipped_bit_is_an_error_or_no_matter(request, tmp_path, which, n_flips):
    original = request.getfixturevalue("closed" if which == "closed" else "killed")
    expected = _content(_copy(original, _folder(tmp_path, "whole")))
    numbers = random.Random(random.SystemRandom().randrange(1 << 32))
    n_refused = 0
    for k in range(n_flips):
        path = _copy(original, _folder(tmp_path, "flipped"))
        file = Path(f"{path}-wal") if which == "wal" else path
        content = bytearray(file.read_bytes())
        at = numbers.randrange(min(len(content), 100 if k < n_flips // 4 else len(content)))
        content[at] ^= 1 << numbers.randrange(8)
        file.write_bytes(content)
        try:
            found = _content(path)
        except StateError:
            n_refused += 1
        else:
            assert found == expected, f"byte {at} of {file.name}"
    assert n_refused > 0


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def test_a_lost_log_is_seen(killed, tmp_path):
    folder = _folder(tmp_path, "lost")
    path = _copy(killed, folder)
    os.remove(f"{path}-wal")
    _refused(path, r"ends with entry \d, but entry 8 was committed: state\.db-wal is ")


def test_a_truncated_log_is_seen(killed, tmp_path):
    content = Path(f"{killed}-wal").read_bytes()
    for n_bytes in (0, 10, 32, len(content) // 2, len(content) - 5000, len(content) - 1):
        path = _copy(killed, _folder(tmp_path, "cut"))
        Path(f"{path}-wal").write_bytes(content[:n_bytes])
        with pytest.raises(StateError, match="entry 8 was committed"):
            _content(path)


def test_an_older_copy_is_told_and_taken_where_that_is_wanted(tmp_path):
    path = tmp_path / "state.db"
    journal = new_journal(path)
    journal.close()
    copy = path.read_bytes()
    journal = Journal.open(path)
    journal.write([entry_of(0)])
    journal.close()
    path.write_bytes(copy)
    _refused(path, r"ends with entry 0, but entry 1 was committed: .* remove state\.db-lock")
    os.remove(f"{path}-lock")
    assert _content(path)[1] == []


@pytest.mark.parametrize("way", ["backup", "vacuum"])
def test_a_copy_by_sqlite_of_a_state_in_use_is_a_state(tmp_path, way):
    journal = new_journal(tmp_path / "state.db")
    journal.write([entry_of(0), entry_of(3)])
    copy = tmp_path / "copy.db"
    connection = sqlite3.connect(journal.path)
    if way == "backup":
        target = sqlite3.connect(copy)
        connection.backup(target)
        target.close()
    else:
        connection.execute(f"VACUUM INTO '{copy}'")
    connection.close()
    follower = Journal.follow(copy)
    assert [found.seq for found in follower.news().entries] == [1, 2]
    follower.close()
    other = Journal.open(copy)
    other.write([entry_of(6)])
    journal.write([entry_of(9)])
    assert [found.entry.change.first for found in other.entries()] == [0, 3, 6]
    other.close()
    journal.close()
    assert [change[0][3] for change in _content(copy)[1]] == [0, 3, 6]


def test_a_killed_state_is_whole_without_the_files_that_can_be_made_again(killed, tmp_path):
    expected = _content(_copy(killed, _folder(tmp_path, "whole")))
    assert len(expected[1]) == 8
    path = _copy(killed, _folder(tmp_path, "copied"))
    os.remove(f"{path}-shm")
    os.remove(f"{path}-lock")
    assert _content(path) == expected


def test_what_is_left_of_another_state_is_not_taken_for_its_log(killed, tmp_path):
    path = _copy(killed, tmp_path)
    os.remove(path)
    for suffix in ("-wal", "-shm"):
        with pytest.raises(StateError, match=rf"state\.db{suffix} exists already"):
            new_journal(path)
        os.remove(f"{path}{suffix}")
    new_journal(path).close()
    assert _content(path)[1] == []


def test_what_a_killed_creation_has_left_is_removed(tmp_path):
    path = tmp_path / "state.db"
    Path(f"{path}-new").write_bytes(b"a part of a file")
    Path(f"{path}-new-journal").write_bytes(b"of another")
    new_journal(path).close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["state.db", "state.db-lock"]


def test_a_state_that_cannot_be_made_leaves_nothing(tmp_path):
    path = tmp_path / "state.db"
    with _largest_file(50_000), pytest.raises(StateError, match=r"disk reported an error|is full"):
        new_journal(path, base=base_of(0, 40_000))
    assert [file.name for file in tmp_path.iterdir()] == ["state.db-lock"]
    new_journal(path).close()


def test_a_write_that_the_disk_refuses_leaves_the_last_commit(tmp_path):
    path = tmp_path / "state.db"
    journal = new_journal(path)
    journal.write([entry_of(0)])
    with _largest_file(100_000):
        with pytest.raises(StateError, match="everything up to the last commit is safe"):
            journal.write([entry_of(3, 20_000)])
        with pytest.raises(StateError, match="everything up to the last commit is safe"):
            journal.compact(base_of(0, 40_000))
    journal.write([entry_of(3)])
    journal.close()
    assert [change[0][3] for change in _content(path)[1]] == [0, 3]


@contextmanager
def _largest_file(n_bytes: int) -> Generator[None]:
    """Let no file of this process grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def _another_user() -> Generator[Path]:
    """Give a folder to a user who is not root, and be that user."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)
        shutil.rmtree(folder)


def test_a_folder_or_file_that_may_not_be_written_is_told():
    with _another_user() as folder:
        path = folder / "state.db"
        new_journal(path).close()
        for mode in (0o400, 0):
            path.chmod(mode)
            with pytest.raises(StateError, match="the state cannot be opened: Permission denied"):
                Journal.open(path)
        path.chmod(0o600)
        assert _content(path)[1] == []
        Path(f"{path}-lock").unlink()
        folder.chmod(0o500)
        with pytest.raises(StateError, match=r"state\.db-lock cannot be written: Perm"):
            Journal.open(path)
        with pytest.raises(StateError, match=r"other\.db-lock cannot be written: Perm"):
            new_journal(folder / "other.db")
        with pytest.raises(StateError, match=r"cannot be opened|cannot be written"):
            Journal.follow(path).news()
    with pytest.raises(StateError, match="cannot be written: No such file or directory"):
        new_journal(folder / "missing" / "state.db")


def test_a_follower_refuses_what_an_opening_refuses(closed, tmp_path):
    path = _copy(closed, tmp_path)
    connection = sqlite3.connect(path)
    (rows,) = connection.execute("SELECT rows FROM segments WHERE seq = 4").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[content.index(rows[-300:-200])] ^= 1
    path.write_bytes(content)
    with (
        pytest.raises(StateError, match="the file was altered"),
        closing(Journal.follow(path)) as follower,
    ):
        follower.news()


def test_an_audit_reads_what_was_changed(closed, tmp_path):
    path = _copy(closed, tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE segments SET ends = ends + 1 WHERE seq = 3")
    connection.execute("DELETE FROM segments WHERE seq = 5")
    connection.commit()
    connection.close()
    follower = Journal.follow(path, checked=False)
    found = follower.news().entries
    assert [one.seq for one in found] == [1, 2, 3, 4, 6, 7, 8]
    assert found[2].entry.change.end == 351
    with suppress(StateError):
        follower.close()


@pytest.mark.parametrize("durability", ["commit", "checkpoint"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_file_that_is_gone_takes_no_entry(
    tmp_path: Path, durability: Any, is_replaced: bool
) -> None:
    path = tmp_path / "state.db"
    journal = new_journal(path, base=base_of(0, 200), durability=durability)
    journal.write([entry_of(200, 50)])
    journal.flush()
    shutil.copy(path, tmp_path / "copy.db")
    if is_replaced:
        os.replace(tmp_path / "copy.db", path)
    else:
        path.unlink()
    if durability == "checkpoint":
        journal.write([entry_of(250, 50)])
    with pytest.raises(StateError, match="the file was deleted or replaced"):
        journal.flush() if durability == "checkpoint" else journal.write([entry_of(250, 50)])
    if durability == "commit":
        with pytest.raises(StateError, match="the file was deleted or replaced"):
            journal.compact(base_of(0, 10))
    journal.discard()
