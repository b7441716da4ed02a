"""The metrics of a stream, a row a metric, and their own HTTP server for Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, get_args

from fastfeat_kernels.records import dataclass

from fastfeat.apps.stream.outputs import Reason
from fastfeat.io.prometheus import CONTENT_TYPE, Durations, Metric, Samples, alone, by_label
from fastfeat.live.state.held_up import HeldUp


class Measured(Protocol):
    """The counters of a stream that are published as metrics."""

    n_events: int
    n_batches: int
    n_repeated: int
    dead: Counter[str]
    taken: Counter[str]
    violations: Counter[str]
    latency: Durations


@dataclass(frozen=True, slots=True)
class PartitionMeasure:
    """The position and size of a partition's state.

    Args:
        lag: Number of events not answered yet.
        offset: Offset that the state has reached.
        n_rows: Rows in memory.
        n_entities: Number of entities, by the key that orders their rows.
        held_up: Entities with many late rows, because one row's time was far in the future.
    """

    lag: int
    offset: int
    n_rows: int
    n_entities: Mapping[str, int]
    held_up: Sequence[HeldUp] = ()


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """The figures of a stream that are published as metrics.

    Args:
        done: Counters summed over all partitions.
        measures: Partition number to its position and size.
        n_checkpoints: Commits of partition states.
        topic: Topic of the events.
    """

    done: Measured
    measures: Mapping[int, PartitionMeasure]
    n_checkpoints: int
    topic: str


_PARTITION = ("topic", "partition")


def _by_partition(
    read: Callable[[PartitionMeasure], Samples],
) -> Callable[[StreamFigures], Samples | None]:
    """Return a reader of a metric of each partition, from a reader of the metric of one."""

    def of_stream(figures: StreamFigures) -> Samples | None:
        found = [
            ((figures.topic, str(number), *labels), value)
            for number, one in sorted(figures.measures.items())
            for labels, value in read(one)
        ]
        return found or None

    return of_stream


PREFIX = "fastfeat_stream_"
METRICS: tuple[Metric[StreamFigures], ...] = (
    Metric(
        "events_total", "counter", "Events answered.", lambda figures: alone(figures.done.n_events)
    ),
    Metric(
        "batches_total",
        "counter",
        "Micro-batches processed.",
        lambda figures: alone(figures.done.n_batches),
    ),
    Metric(
        "repeats_total",
        "counter",
        "Messages polled again and skipped.",
        lambda figures: alone(figures.done.n_repeated),
    ),
    Metric(
        "checkpoints_total",
        "counter",
        "Commits of partition states.",
        lambda figures: alone(figures.n_checkpoints),
    ),
    Metric(
        "partitions",
        "gauge",
        "Partitions assigned to this member.",
        lambda figures: alone(len(figures.measures)),
    ),
    Metric(
        "dead_total",
        "counter",
        "Messages and rows refused as dead letters, by reason.",
        lambda figures: [((name,), figures.done.dead[name]) for name in get_args(Reason)],
        ("kind",),
    ),
    Metric(
        "rows_total",
        "counter",
        "Rows by kind of event (late, dropped, repeated and others) since the state was opened.",
        lambda figures: sorted(by_label(figures.done.taken)) or None,
        ("what",),
    ),
    Metric(
        "contract_violations_total",
        "counter",
        "Rows that broke a rule of the contract since the state was opened, by rule.",
        lambda figures: sorted(by_label(figures.done.violations)) or None,
        ("rule",),
    ),
    Metric(
        "lag",
        "gauge",
        "Events not answered yet.",
        _by_partition(lambda one: alone(one.lag)),
        _PARTITION,
    ),
    Metric(
        "offset",
        "gauge",
        "Offset that the state has reached.",
        _by_partition(lambda one: alone(one.offset)),
        _PARTITION,
    ),
    Metric(
        "state_rows",
        "gauge",
        "Rows of the state in memory.",
        _by_partition(lambda one: alone(one.n_rows)),
        _PARTITION,
    ),
    Metric(
        "entities",
        "gauge",
        "Entities of the state, by key columns.",
        _by_partition(lambda one: by_label(one.n_entities)),
        (*_PARTITION, "order"),
    ),
    Metric(
        "held_up_rows",
        "gauge",
        "Late rows of an entity held up by an event that is ahead in time.",
        _by_partition(
            lambda one: [((held.order, held.place), held.n_late) for held in one.held_up]
        ),
        (*_PARTITION, "order", "event"),
    ),
    Metric(
        "batch_seconds",
        "histogram",
        "Time from the poll of a micro-batch until all sinks accepted it, in seconds.",
        lambda figures: [((), figures.done.latency)],
    ),
)
"""The metrics of a stream; `PREFIX` begins their names."""


class MetricsServer:
    """An HTTP server of metrics, in its own threads.

    Args:
        address: Host and port; port 0 for a free one.
        text: Returns the current content.

    Raises:
        OSError: The port is in use.
    """

    def __init__(self, address: tuple[str, int], text: Callable[[], bytes]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                """Send the metrics text if the path is /metrics."""
                is_there = self.path.partition("?")[0] == "/metrics"
                content = text() if is_there else b"GET /metrics\n"
                self.send_response(200 if is_there else 404)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Write no log line for a request."""

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._server.server_address[1]

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
