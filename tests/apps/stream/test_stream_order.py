"""The file of the order of sources, locks, and states that do not fit their topic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fastfeat.apps.stream.config import Config, Kafka, Topic
from fastfeat.apps.stream.job import StreamJob
from fastfeat.apps.stream.partition_opening import PartitionOpener
from fastfeat.apps.stream.source_order import SourceOrder
from fastfeat.apps.stream.state_lock import StateLock
from fastfeat.errors import StateError, StreamError
from fastfeat_tests.patience import PATIENCE_S


def test_steps_come_again_in_order_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "x.order"
    order = SourceOrder(path, {}, is_kept=True)
    for step in (("e:0", 10), ("o:0", 3), ("e:0", 20), ("t:1", 4)):
        order.step(*step)
    order.record_ahead(15, 2)
    order.sync()
    again = SourceOrder(path, {"e:0": 10, "o:0": 1}, is_kept=True)
    assert list(again.steps) == [("o:0", 3), ("e:0", 20), ("t:1", 4)]
    assert again.ahead == {(15, 2)}
    again.step("o:0", 2)
    again.step("o:0", 3)
    again.clear(12)  # a checkpoint in the middle
    third = SourceOrder(path, {"e:0": 12, "o:0": 3}, is_kept=True)
    assert list(third.steps) == [("e:0", 20), ("t:1", 4)]
    third.step("e:0", 20)
    third.step("t:1", 4)
    third.step("e:0", 25)
    third.clear(25)
    assert path.read_bytes() == b""
    for each in (order, again, third):
        each.close()


def test_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.order"
    path.write_bytes(b'["e:0", 10]\n["o:0", 3]\n["e:0", 2')
    order = SourceOrder(path, {}, is_kept=True)
    assert list(order.steps) == [("e:0", 10), ("o:0", 3)]
    order.close()
    assert path.read_bytes() == b'["e:0", 10]\n["o:0", 3]\n'


def test_one_source_has_one_order(tmp_path: Path) -> None:
    order = SourceOrder(tmp_path / "x.order", {}, is_kept=False)
    order.step("e:0", 10)
    order.close()
    assert (tmp_path / "x.order").read_bytes() == b""


def test_lock_is_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    lock = StateLock.take(path)
    assert lock is not None
    assert StateLock.holder(path) == str(os.getpid())
    text = (
        "import sys; from pathlib import Path; "
        "from fastfeat.apps.stream.state_lock import StateLock; "
        "sys.exit(StateLock.take(Path(sys.argv[1])) is not None)"
    )
    command = [sys.executable, "-c", text, str(path)]
    assert subprocess.run(command, timeout=PATIENCE_S, check=False).returncode == 0
    lock.give_back()
    assert subprocess.run(command, timeout=PATIENCE_S, check=False).returncode == 1


class FakeConsumer:
    """What a state asks of a consumer: where a topic begins and ends, and what was committed."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def bounds(self, place: Any) -> tuple[int, int]:
        """Return the offsets of the topic."""
        return self.low, self.high

    def committed(self, place: Any) -> int:
        """Return that nothing was committed."""
        return 0


def job_of(folder: Path, **changes: Any) -> StreamJob:
    """Return a job whose partitions are never opened."""
    config = Config({}, folder, "g", Kafka("b"), Topic("e"), **changes)
    decode: Any = None
    return StreamJob(config, {}, "", decode, None, {})


def test_new_state_of_a_topic_that_has_lost_its_first_rows_is_refused(tmp_path: Path) -> None:
    consumer: Any = FakeConsumer(5, 9)
    openings = PartitionOpener(job_of(tmp_path), consumer, [])
    with pytest.raises(StreamError, match=r"e:0: there is no state .*the topic begins at offset 5"):
        openings.open(0)
    lock = StateLock.take(tmp_path / "e-0.lock")
    assert lock is not None, "it was given back"
    lock.give_back()


def test_state_that_another_process_keeps_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("fastfeat.apps.stream.partition_opening.time", clock)
    consumer: Any = FakeConsumer(0, 9)
    openings = PartitionOpener(job_of(tmp_path, lock_wait_s=0.3), consumer, [])
    lock = StateLock.take(tmp_path / "e-0.lock")
    assert lock is not None
    try:
        assert openings.open(0) is None
        assert openings.numbers == [0]
        now[0] += 0.35
        told = rf"process {os.getpid()} has locked the state for 0 s"
        with pytest.raises(StateError, match=told):
            openings.open(0)
    finally:
        lock.give_back()
