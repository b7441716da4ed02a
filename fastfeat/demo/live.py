"""The live demo: a year of flights as a stream, answered by a worker that is killed three times.

A broker and Valkey are started, and a worker, `fastfeat stream`, which puts each flight beside its
past and answers it. A server is asked meanwhile. In the end every answer is compared with the
features of training, bit for bit, and the record of what was answered is replayed.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastfeat.demo.flights import read_flights, read_weather, split
from fastfeat.demo.live_answers import Answers, Compared, answers_of, bits_apart, compared
from fastfeat.demo.live_asking import Asking, Client, Latency, as_floats, asked
from fastfeat.demo.live_feed import DEAD, FEATURES, FLIGHTS, LANDINGS, WEATHER, feeds_of, send
from fastfeat.demo.live_plan import plan
from fastfeat.demo.live_processes import (
    ARTIFACT,
    CONFIG,
    STATE,
    Worker,
    server_in,
    state_file,
    worker_in,
    write_config,
)
from fastfeat.demo.services import running_broker, running_valkey
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, pa
from fastfeat.stream.kafka import library

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan

N_KILLS = 3
N_ASKED = 1_000
WITHIN_S = 240.0
"""After so long the demo gives up: it takes a minute or two."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A worker that was killed.

    Args:
        offset: of the last flight that had been answered.
        went_on: the first flight that the next worker answered.
    """

    offset: int
    went_on: int


def run(folder: Path, step: Callable[[str], None]) -> Any:
    raise NotImplementedError
