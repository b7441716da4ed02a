"""The table of endpoints: the paths of a server, their handlers and their descriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastfeat.apps.serve import calls, kserve, mlflow, status
from fastfeat.apps.serve.answers import ARROW_STREAM
from fastfeat.apps.serve.app import Handler, Route
from fastfeat.apps.serve.artifacts import ArtifactReplacer
from fastfeat.apps.serve.endpoint import NAMES, ROW, UPDATE, Endpoint
from fastfeat.apps.serve.explain_calls import explain_of, explain_rows
from fastfeat.apps.serve.metrics import metrics_of
from fastfeat.apps.serve.openapi import document_of
from fastfeat.apps.serve.page import page_of
from fastfeat.apps.serve.service import Service

RouteFinder = Callable[[str], tuple[Route, str] | None]
_EXPLAIN = "Explanation of the features of a row"


def _of_model(version: str, suffix: str) -> tuple[Endpoint, ...]:
    """Return the endpoints of a model in KServe's protocol; `version` is "" or part of the path."""
    path = f"/v2/models/{{name}}{version}"
    return (
        Endpoint(
            path,
            "GET",
            "model",
            f"metadata{suffix}",
            "Input and output tensors of a model",
            lambda service, _: kserve.model_metadata(service),
            answered="Model",
        ),
        Endpoint(
            f"{path}/ready",
            "GET",
            "model_ready",
            f"ready{suffix}",
            "Readiness of a model",
            lambda service, _: kserve.model_ready(service),
            answered="Ready",
        ),
        Endpoint(
            f"{path}/infer",
            "POST",
            "infer",
            f"infer{suffix}",
            "Features of rows sent as tensors",
            lambda service, _: kserve.infer(service),
            asked="Tensors",
            answered="Inferred",
        ),
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "/",
        "GET",
        "page",
        "page",
        "HTML page of the plan",
        lambda _service, _artifacts: page_of(),
        answer_type="text/html",
        is_open=True,
        always=True,
    ),
    Endpoint(
        "/openapi.json",
        "GET",
        "openapi",
        "openapi",
        "This OpenAPI description",
        lambda service, _: document_of(service, ENDPOINTS),
        answered="AnyObject",
    ),
    Endpoint(
        "/metrics",
        "GET",
        "metrics",
        "metrics",
        "Metrics in Prometheus text format",
        lambda service, _: metrics_of(service),
        answer_type="text/plain",
        always=True,
    ),
    Endpoint(
        "/v1/features",
        "POST",
        "features",
        "features",
        "Features of rows",
        lambda service, _: calls.features_of(service),
        asked="Asked",
        answered="Features",
        query={**UPDATE, **NAMES},
        body_type=ARROW_STREAM,
        answer_type=ARROW_STREAM,
    ),
    Endpoint(
        "/v1/update",
        "POST",
        "update",
        "update",
        "Add events to the state",
        lambda service, _: calls.update_of(service),
        asked="Rows",
        answered="Taken",
        body_type=ARROW_STREAM,
    ),
    Endpoint(
        "/v1/outcomes",
        "POST",
        "outcomes",
        "outcomes",
        "Add late columns of earlier rows to the state",
        lambda service, _: calls.outcomes_of(service),
        asked="Outcomes",
        answered="Taken",
        body_type=ARROW_STREAM,
    ),
    Endpoint(
        "/v1/tables/{name}",
        "POST",
        "tables",
        "tables",
        "Add rows to a lookup table",
        lambda service, _: calls.table_of(service),
        asked="AnyRows",
        answered="Taken",
        body_type=ARROW_STREAM,
    ),
    Endpoint(
        "/v1/artifact",
        "POST",
        "artifact",
        "artifact",
        "Replace the served artifact",
        lambda _, artifacts: artifacts.handler(),
        answered="Swapped",
        body_type="application/octet-stream",
    ),
    Endpoint(
        "/v1/plan",
        "GET",
        "plan",
        "plan",
        "The served plan",
        lambda service, _: status.plan_of(service),
        answered="Plan",
    ),
    Endpoint(
        "/v1/explain",
        "GET",
        "explain",
        "explain",
        _EXPLAIN,
        lambda service, _: explain_of(service),
        answered="Explained",
        query=ROW,
    ),
    Endpoint(
        "/v1/explain",
        "POST",
        "explain",
        "explainGiven",
        _EXPLAIN,
        lambda service, _: explain_rows(service),
        asked="RowToExplain",
        answered="Explained",
    ),
    Endpoint(
        "/v1/status",
        "GET",
        "status",
        "status",
        "Figures on the server: uptime, requests, rows and errors",
        lambda service, _: status.status_of(service),
        answered="Status",
    ),
    Endpoint(
        "/v2",
        "GET",
        "server",
        "server",
        "Name and version of the server",
        lambda _service, _artifacts: kserve.server_metadata(),
        answered="Server",
    ),
    Endpoint(
        "/v2/health/live",
        "GET",
        "live",
        "live",
        "Liveness of the server",
        lambda _service, _artifacts: status.is_live(),
        answered="Live",
        is_open=True,
        always=True,
    ),
    Endpoint(
        "/v2/health/ready",
        "GET",
        "ready",
        "healthReady",
        "Readiness of the server",
        lambda service, _: status.is_ready(service),
        answered="IsReady",
        is_open=True,
        always=True,
    ),
    *_of_model("", ""),
    *_of_model("/versions/{version}", "OfVersion"),
    Endpoint(
        "/invocations",
        "POST",
        "invocations",
        "invocations",
        "Features of a data frame in MLflow's format",
        lambda service, _: mlflow.invocations(service),
        asked="Frame",
        answered="Predictions",
    ),
)
"""Every endpoint of a server."""


def routes_of(service: Service, artifacts: ArtifactReplacer) -> dict[str, Route]:
    """Return the route of each path, with the handlers of its endpoints."""
    found: dict[str, Route] = {}
    for one in ENDPOINTS:
        known = found.get(one.path)
        others: dict[str, Handler] = {} if known is None else {**known.handlers}
        handlers = {**others, one.method: one.handler(service, artifacts)}
        found[one.path] = Route(one.route, handlers, one.is_open, one.always)
    return found


def route_finder(routes: Mapping[str, Route]) -> RouteFinder:
    """Return a function that takes a path, and returns its route and the name in the path.

    The function returns None for an unknown path. The name is "" if the path has none.
    A version is appended to the name: "name/versions/1".
    """
    plain = {path: (route, "") for path, route in routes.items() if "{" not in path}
    named = [(path.split("/"), route) for path, route in routes.items() if "{" in path]

    def found(path: str) -> tuple[Route, str] | None:
        if path in plain:
            return plain[path]
        parts = path.split("/")
        for pattern, route in named:
            if len(pattern) == len(parts) and all(
                one == part or one.startswith("{") for one, part in zip(pattern, parts, strict=True)
            ):
                names = [
                    part for one, part in zip(pattern, parts, strict=True) if one.startswith("{")
                ]
                return route, "/versions/".join(names)
        return None

    return found
