"""The paths of a server, and the handlers that answer their requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastfeat.apps.serve import calls, kserve, mlflow
from fastfeat.apps.serve import status as told
from fastfeat.apps.serve.app import Route
from fastfeat.apps.serve.artifacts import ArtifactReplacer
from fastfeat.apps.serve.explain_calls import explain_of, explain_rows
from fastfeat.apps.serve.openapi import document_of
from fastfeat.apps.serve.page import page_of
from fastfeat.apps.serve.service import Service

RouteFinder = Callable[[str], tuple[Route, str] | None]


def routes_of(service: Service, artifacts: ArtifactReplacer) -> dict[str, Route]:
    """Return the route of each path; `{name}` in a path stands for any name."""
    metadata = Route("model", {"GET": kserve.model_metadata(service)})
    infer = Route("infer", {"POST": kserve.infer(service)})
    model_ready = Route("model_ready", {"GET": kserve.model_ready(service)})
    version = "/v2/models/{name}/versions/{version}"
    return {
        "/": Route("page", {"GET": page_of()}, is_open=True, always=True),
        "/openapi.json": Route("openapi", {"GET": document_of(service)}),
        "/metrics": Route("metrics", {"GET": told.metrics_of(service)}, always=True),
        "/v1/features": Route("features", {"POST": calls.features_of(service)}),
        "/v1/update": Route("update", {"POST": calls.update_of(service)}),
        "/v1/outcomes": Route("outcomes", {"POST": calls.outcomes_of(service)}),
        "/v1/tables/{name}": Route("tables", {"POST": calls.table_of(service)}),
        "/v1/artifact": Route("artifact", {"POST": artifacts.handler()}),
        "/v1/plan": Route("plan", {"GET": told.plan_of(service)}),
        "/v1/explain": Route(
            "explain", {"GET": explain_of(service), "POST": explain_rows(service)}
        ),
        "/v1/status": Route("status", {"GET": told.status_of(service)}),
        "/v2": Route("server", {"GET": kserve.server_metadata()}),
        "/v2/health/live": Route("live", {"GET": told.is_live()}, is_open=True, always=True),
        "/v2/health/ready": Route(
            "ready", {"GET": told.is_ready(service)}, is_open=True, always=True
        ),
        "/v2/models/{name}": metadata,
        "/v2/models/{name}/ready": model_ready,
        "/v2/models/{name}/infer": infer,
        version: metadata,
        version + "/ready": model_ready,
        version + "/infer": infer,
        "/invocations": Route("invocations", {"POST": mlflow.invocations(service)}),
    }


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
