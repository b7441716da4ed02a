"""The live demo: a year of flights as a stream, answered by a worker that is killed three times.

It starts a broker, Valkey, and a worker, `fastfeat stream`, which combines each flight with its
past and answers it. Meanwhile a server is asked. In the end every answer is compared with the
features of training, bit for bit, and the log of answers is replayed.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from docs.demos.live_answers import Answers, Compared, answers_of, compared
from docs.demos.live_asking import Asking, Latency, Row, asked, client_of, differing_bits
from docs.demos.live_audit import Audited, audited
from docs.demos.live_feed import DEAD, FEATURES, FLIGHTS, LANDINGS, WEATHER, feeds_of, send
from docs.demos.live_plan import plan
from docs.demos.live_processes import (
    ARTIFACT,
    STATE,
    Worker,
    server_in,
    state_file,
    state_path,
    worker_in,
    write_config,
)
from docs.demos.live_store import Stored, stored
from docs.demos.services import PATIENCE_S, running_broker, running_valkey
from fastfeat.apps.stream.kafka import library
from fastfeat.demo.flights import read_flights, read_weather, split
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, call, pa

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan

N_KILLS = 3
N_ASKED = 500
_ONLY_ERRORS = 3
_AHEAD = 5_000
"""The server is asked for flights that are so many places after the last answered one."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A killed worker.

    Args:
        answered: Offset after the last answered flight.
        went_on: Offset of the first flight that the next worker answered.
    """

    answered: int
    went_on: int


@dataclass(frozen=True, slots=True)
class Streamed:
    """The answers of the stream, and their time.

    Args:
        answers: All answers.
        seconds: Time from the start of the first worker to the last answer, with all restarts.
        kills: Kills in order.
        meanwhile: Latency of the server at the same time.
    """

    answers: Answers
    seconds: float
    kills: tuple[Kill, ...]
    meanwhile: Latency


@dataclass(frozen=True, slots=True)
class Alone:
    """Rows that were asked one at a time, over the state that the stream left.

    Args:
        in_process, over_http: Latencies of the answers.
        n_bits: Number of bits that differ from `transform`, of both.
    """

    in_process: Latency
    over_http: Latency
    n_bits: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of the live demo.

    Args:
        n_flights, n_landings, n_weather: Messages of the three topics.
        n_features: Columns of an answer.
        streamed: Results of the stream.
        compared: Its answers beside the features of training.
        alone: Rows that were asked after it.
        stored: Contents of Valkey.
        audited: Results of the replay.
        folder: Folder of the files.
    """

    n_flights: int
    n_landings: int
    n_weather: int
    n_features: int
    streamed: Streamed
    compared: Compared
    alone: Alone
    stored: Stored
    audited: Audited
    folder: Path

    @property
    def ok(self) -> bool:
        """Whether all bits are equal, and the changed byte was found."""
        n_bits = self.compared.n_bits + self.alone.n_bits + self.stored.n_bits
        return n_bits == 0 and self.audited.ok


@dataclass(frozen=True, slots=True)
class _Year:
    """The data of the demo, and the results of training.

    Args:
        flights: Flights with their ids, in order.
        weather: Weather at their times.
        fitted: The plan.
        features: Features of all flights, each with its past in the data.
    """

    flights: Table
    weather: Table
    fitted: FittedPlan
    features: Table


def run(folder: Path, step: Callable[[str], None], n_flights: int | None = None) -> Outcome:
    """Run the demo and leave its files in a folder.

    Args:
        folder: Created if missing; files of an earlier run are replaced.
        step: Function that receives a line about each step.
        n_flights: Number of first flights; None for all.

    Raises:
        FastfeatError: The flights are not installed, a service cannot be started, or a process has
            ended by itself, or hangs.
        LibraryUnavailable: A client is not installed.
    """
    library()  # fails early if it is not installed
    step("Reading the flights of a year, and learning from ten months of them")
    year = _year(n_flights)
    _clear(folder)
    with ExitStack() as services:
        step("Starting a broker and Valkey")
        broker = services.enter_context(running_broker(log=folder / "broker.log", is_tied=True))
        valkey = services.enter_context(
            running_valkey(folder, log=folder / "valkey.log", is_tied=True)
        )
        year.fitted.save(folder / ARTIFACT)
        write_config(folder, broker.address, valkey.address)
        _create_topics(broker.address)
        step("Sending flights, landings and the weather")
        feeds = feeds_of(year.flights, year.weather, plan.declaration.row_columns)
        send(broker.address, feeds)
        streamed = _stream(folder, broker.address, year, step)
        step("Asking one row at a time, in process and over HTTP")
        state = state_path(folder)
        alone = _asked_alone(folder, state, year)
        step("Reading the store")
        kept = stored(valkey, year.flights, year.features)
    step("Replaying what was answered, and again with one byte changed")
    return Outcome(
        n_flights=year.flights.num_rows,
        n_landings=feeds[1].rows.num_rows,
        n_weather=feeds[2].rows.num_rows,
        n_features=year.features.num_columns,
        streamed=streamed,
        compared=compared(streamed.answers, year.features),
        alone=alone,
        stored=kept,
        audited=audited(folder, state, folder / ARTIFACT),
        folder=folder,
    )


def _year(n_flights: int | None) -> _Year:
    """Return the data, or the first part of it, and the results of training."""
    flights, weather = read_flights().slice(0, n_flights), read_weather()
    flights = flights.append_column("flight_id", pa.array(np.arange(flights.num_rows)))
    is_known: Any = call("less_equal", weather["time_hour"], flights["time_hour"][-1])
    weather, (train, _) = weather.filter(is_known), split(flights)
    fitted = plan.fit(train, history="batch", tables={"weather": weather})
    features = fitted.transform(flights, history="batch", tables={"weather": weather})
    return _Year(flights, weather, fitted, features)


def _clear(folder: Path) -> None:
    """Create the folder, and remove the state of an earlier run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / STATE).exists():
            shutil.rmtree(folder / STATE)
        for log in folder.glob("*.log"):
            log.unlink()
    except OSError as error:
        raise FastfeatError(f"cannot write {folder}: {error.strerror}") from error


def _create_topics(brokers: str) -> None:
    admin: Any = import_module("confluent_kafka.admin")
    client = admin.AdminClient({"bootstrap.servers": brokers, "log_level": _ONLY_ERRORS})
    topics = [admin.NewTopic(name, 1, 1) for name in (FLIGHTS, LANDINGS, WEATHER, FEATURES, DEAD)]
    for made in client.create_topics(topics).values():
        made.result(PATIENCE_S)


def _stream(folder: Path, brokers: str, year: _Year, step: Callable[[str], None]) -> Streamed:
    """Return the answers of the stream; its worker is killed repeatedly."""
    answers, n_flights = answers_of(brokers, FEATURES), year.flights.num_rows
    rng, kills, started = random.Random(), list[Kill](), time.monotonic()
    with worker_in(folder) as worker, ExitStack() as serving:
        server = serving.enter_context(server_in(folder, state_file(folder, worker)))
        asking = Asking(server, lambda: _coming(year.flights, answers.end))
        asking.start()
        for number in range(1, N_KILLS + 1):
            at = int(n_flights * (number - rng.random() / 2) / (N_KILLS + 1))
            step(f"Streaming; worker {number} is killed near flight {at:,}")
            _answered(answers, worker, at)
            worker.kill()
            answers.read_rest()
            n_tables, answered = len(answers.offsets), answers.end
            worker.start()
            _answered(answers, worker, answered + 1)
            kills.append(Kill(answered, int(answers.offsets[n_tables][0])))
        step("Streaming to the last flight")
        _answered(answers, worker, n_flights)
        seconds = time.monotonic() - started
        meanwhile = asking.end()
        worker.end()
        answers.read_rest()
    answers.close()
    return Streamed(answers, seconds, tuple(kills), meanwhile)


def _answered(answers: Answers, worker: Worker, end: int) -> None:
    """Read answers until all before an offset have arrived.

    FastfeatError if the worker has ended by itself, or stops answering.
    """
    known, heard = answers.end, time.monotonic()
    while answers.end < end:
        answers.read()
        worker.check()
        if answers.end > known:
            known, heard = answers.end, time.monotonic()
        elif time.monotonic() - heard > PATIENCE_S:
            raise FastfeatError(
                f"{answers.end:,} flights were answered, and none for {PATIENCE_S:.0f} s: "
                f"{worker.log} has what the worker printed"
            )


def _coming(flights: Table, end: int) -> Row:
    """Return a flight that has not been answered, as a row to ask for."""
    place = min(end + _AHEAD, flights.num_rows - 1)
    return flights.select(_asked_columns()).slice(place, 1).to_pylist()[0]


def _asked_columns() -> list[str]:
    return list(dict.fromkeys([*plan.declaration.row_columns, "flight_id"]))


def _asked_alone(folder: Path, state: Path, year: _Year) -> Alone:
    """Return the latencies of single rows: the last flights once more, in the hour after them."""
    n_asked, n_flights = min(N_ASKED, year.flights.num_rows), year.flights.num_rows
    last = year.flights.slice(n_flights - n_asked).select(_asked_columns())
    hour = pa.array(np.full(n_asked, year.flights["time_hour"][-1].value + 3600))
    moved = {"time_hour": hour.cast(year.flights["time_hour"].type)}
    moved["flight_id"] = pa.array(np.arange(n_flights, n_flights + n_asked))
    table = pa.table({name: moved.get(name, last[name]) for name in last.column_names})
    # at one moment, so that they do not see each other
    expected: NDArray[np.float32] = year.fitted.transform(
        table, history=year.flights, tables={"weather": year.weather}, to="numpy"
    )
    rows: list[Row] = table.to_pylist()
    with server_in(folder, state) as server:
        client = client_of(server)
        over_http, http = asked(client, rows)
        client.close()
    with year.fitted.online(path=state) as live:
        in_process, process = asked(live.features, rows)
    n_bits = sum(differing_bits(expected, answers) for answers in (over_http, in_process))
    return Alone(process, http, n_bits)
