"""Counters of a stream as Prometheus text, served on their own port."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, get_args

from fastfeat_kernels.records import dataclass

from fastfeat.apps.stream.outputs import Reason
from fastfeat.io.prometheus import CONTENT_TYPE, Durations, MetricLabels, family, histogram
from fastfeat.live.state.held_up import HeldUp


class Measured(Protocol):
    """The counters of a stream that are published as metrics."""

    n_events: int
    n_batches: int
    n_repeated: int
    dead: Counter[str]
    taken: Counter[str]
    violations: Counter[str]


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
class MetricSample:
    """One metric value for Prometheus.

    Args:
        name: Metric name without the prefix `fastfeat_stream_`.
        kind: "counter" or "gauge".
        told: Help text.
        labels: Label names and values.
        value: The value.
    """

    name: str
    kind: str
    told: str
    labels: MetricLabels
    value: float


def samples_of(
    done: Measured, measures: Mapping[int, PartitionMeasure], n_checkpoints: int, topic: str
) -> list[MetricSample]:
    """Return the values of all metrics of a stream.

    Args:
        done: Counters summed over all partitions.
        measures: Partition number to its position and size.
        n_checkpoints: Commits of partition states.
        topic: Topic of the events.
    """
    found = [
        MetricSample("events_total", "counter", "Events answered.", (), done.n_events),
        MetricSample("batches_total", "counter", "Micro-batches processed.", (), done.n_batches),
        MetricSample(
            "repeats_total", "counter", "Messages polled again and skipped.", (), done.n_repeated
        ),
        MetricSample(
            "checkpoints_total", "counter", "Commits of partition states.", (), n_checkpoints
        ),
        MetricSample(
            "partitions", "gauge", "Partitions assigned to this member.", (), len(measures)
        ),
    ]
    for name in get_args(Reason):
        told = "Messages and rows refused as dead letters, by reason."
        found.append(
            MetricSample("dead_total", "counter", told, (("kind", name),), done.dead[name])
        )
    for name, n in sorted(done.taken.items()):
        told = (
            "Rows by kind of event (late, dropped, repeated and others) since the state was opened."
        )
        found.append(MetricSample("rows_total", "counter", told, (("what", name),), n))
    for name, n in sorted(done.violations.items()):
        told = "Rows that broke a rule of the contract since the state was opened, by rule."
        found.append(
            MetricSample("contract_violations_total", "counter", told, (("rule", name),), n)
        )
    for number, one in sorted(measures.items()):
        of = (("topic", topic), ("partition", str(number)))
        found += [
            MetricSample("lag", "gauge", "Events not answered yet.", of, one.lag),
            MetricSample("offset", "gauge", "Offset that the state has reached.", of, one.offset),
            MetricSample("state_rows", "gauge", "Rows of the state in memory.", of, one.n_rows),
        ]
        for order, n in one.n_entities.items():
            told = "Entities of the state, by key columns."
            found.append(MetricSample("entities", "gauge", told, (*of, ("order", order)), n))
        for held in one.held_up:
            told = "Late rows of an entity held up by an event that is ahead in time."
            where = (*of, ("order", held.order), ("event", held.place))
            found.append(MetricSample("held_up_rows", "gauge", told, where, held.n_late))
    return found


def metrics_text(samples: Sequence[MetricSample], latency: Durations) -> bytes:
    """Return metric values, and the latency of micro-batches in seconds, as Prometheus text."""
    families: dict[tuple[str, str, str], list[tuple[MetricLabels, float]]] = {}
    for each in samples:
        families.setdefault((each.name, each.kind, each.told), []).append((each.labels, each.value))
    parts = [
        family(f"fastfeat_stream_{name}", kind, told, values)
        for (name, kind, told), values in families.items()
    ]
    told = "Time from the poll of a micro-batch until all sinks accepted it, in seconds."
    parts.append(histogram("fastfeat_stream_batch_seconds", told, [((), latency)]))
    return "".join(parts).encode()


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
