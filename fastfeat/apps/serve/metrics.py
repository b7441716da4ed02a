"""The metrics of a server, a row a metric, and the handler that sends them to Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from fastfeat.apps.serve.app import Answer, Handler, HttpRequest
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.apps.serve.service import Service
from fastfeat.io.prometheus import CONTENT_TYPE, Metric, Samples, alone, by_label, text_of
from fastfeat.live.live import Live


def _of_state(read: Callable[[Live], Samples | None]) -> Callable[[Service], Samples | None]:
    """Return a reader of a metric of the state, which is left out before the plan is loaded."""

    def of_service(service: Service) -> Samples | None:
        return None if service.served is None else read(service.served.live)

    return of_service


def _artifact(service: Service) -> Samples | None:
    served = service.served
    return None if served is None else [((served.artifact, service.name), 1.0)]


def _n_held_up(live: Live) -> Samples | None:
    held = Counter[str]()
    for one in live.held_up(places=False):
        held[one.order] += one.n_late
    return by_label(held) or None


METRICS: tuple[Metric[Service], ...] = (
    Metric(
        "fastfeat_ready",
        "gauge",
        "1 if the server is ready to compute features, else 0.",
        lambda service: alone(service.served is not None),
    ),
    Metric(
        "fastfeat_requests_total",
        "counter",
        "Requests answered, by route and status.",
        lambda service: [
            ((route, str(status)), n) for (route, status), n in service.metrics.answers.items()
        ],
        ("route", "status"),
    ),
    Metric(
        "fastfeat_errors_total",
        "counter",
        "Requests refused, by route and kind of error.",
        lambda service: list(service.metrics.errors.items()),
        ("route", "kind"),
    ),
    Metric(
        "fastfeat_request_seconds",
        "histogram",
        "Time from a request to its answer in seconds, by route.",
        lambda service: [((route,), times) for route, times in service.metrics.seconds.items()],
        ("route",),
    ),
    Metric(
        "fastfeat_rows_total",
        "counter",
        "Rows computed or added, by kind of call.",
        lambda service: by_label(service.metrics.rows_by_call),
        ("call",),
    ),
    Metric(
        "fastfeat_waiting_requests",
        "gauge",
        "Requests waiting for an answer.",
        lambda service: alone(service.load.requests),
    ),
    Metric(
        "fastfeat_waiting_bytes",
        "gauge",
        "Size of the bodies of waiting requests in bytes.",
        lambda service: alone(service.load.n_bytes),
    ),
    Metric(
        "fastfeat_artifact_swaps_total",
        "counter",
        "New artifacts taken or refused, by result.",
        lambda service: by_label(service.metrics.swaps),
        ("result",),
    ),
    Metric(
        "fastfeat_start_time_seconds",
        "gauge",
        "Start time of the server in seconds since 1970.",
        lambda service: alone(service.started),
    ),
    Metric(
        "fastfeat_artifact_info",
        "gauge",
        "The served artifact and model, as labels; the value is always 1.",
        _artifact,
        ("artifact", "model"),
    ),
    Metric(
        "fastfeat_state_rows",
        "gauge",
        "Rows of the state in memory.",
        _of_state(lambda live: alone(live.sizes.rows)),
    ),
    Metric(
        "fastfeat_state_entities",
        "gauge",
        "Entities of the state in memory, by key columns.",
        _of_state(lambda live: by_label(live.sizes.entities)),
        ("by",),
    ),
    Metric(
        "fastfeat_events_total",
        "counter",
        "Rows by kind of event (late, dropped, repeated and others) since the state was opened.",
        _of_state(lambda live: by_label(live.counts)),
        ("event",),
    ),
    Metric(
        "fastfeat_held_up_rows",
        "gauge",
        "Late rows of entities held up by an event that is ahead in time, by key columns.",
        _of_state(_n_held_up),
        ("by",),
    ),
    Metric(
        "fastfeat_contract_violations_total",
        "counter",
        "Rows that broke a rule of the contract, including refused rows, by rule.",
        _of_state(lambda live: by_label(live.violations) or None),
        ("rule",),
    ),
)


def metrics_of(service: Service) -> Handler:
    """Return the handler that sends all counters as Prometheus text."""

    async def answer(request: HttpRequest) -> Answer:
        if request.query:
            raise Refusal(400, "InvalidRequest", "this address has no parameters")
        text, gauges, served = metrics_text(service), service.drift, service.served
        if gauges is not None and served is not None:
            text += await service.work.apart(lambda: gauges.text([served.live]))
        return Answer(text.encode(), CONTENT_TYPE.encode())

    return answer


def metrics_text(service: Service) -> str:
    """Return the counters of a server as Prometheus text."""
    return text_of(METRICS, service)
