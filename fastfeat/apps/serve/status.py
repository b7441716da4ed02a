"""Handlers that describe a server: its plan, whether it is ready, and its figures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from fastfeat.api.plan import FittedPlan
from fastfeat.apps.serve.app import Answer, Handler, HttpRequest
from fastfeat.apps.serve.json_text import write_json
from fastfeat.apps.serve.served_plan import ServedPlan
from fastfeat.apps.serve.service import Service
from fastfeat.execute.guard import row_inputs
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.dtypes import DType
from fastfeat.ir.show import show_columns
from fastfeat.markup.html import shorten_middle
from fastfeat.tell.summary import feature_sources, head_of_fitted, type_of

_LONGEST_FORMULA = 2000


def is_live() -> Handler:
    """Return the handler that answers that the process is alive."""

    async def answer(request: HttpRequest) -> Answer:
        return Answer(write_json({"live": True}))

    return answer


def is_ready(service: Service) -> Handler:
    """Return the handler that answers whether features can be requested."""

    async def answer(request: HttpRequest) -> Answer:
        ready = service.served is not None and not service.is_lost
        return Answer(write_json({"ready": ready}), status=200 if ready else 503)

    return answer


def plan_of(service: Service) -> Handler:
    """Return the handler that describes the plan: features, columns, tables, needed history."""

    async def answer(request: HttpRequest) -> Answer:
        return Answer(write_json(plan_document(service.now, service.name)))

    return answer


def plan_document(served: ServedPlan, name: str) -> dict[str, Any]:
    """Return the description of a plan as a JSON document."""
    fitted = served.fitted
    return {
        "artifact": served.artifact,
        "model": name,
        "summary": head_of_fitted(fitted.record),
        "features": [_feature(fitted, feature) for feature in fitted.plan.features],
        "names": list(served.columns),
        "columns": [*_ids(fitted), *_columns(row_inputs(fitted.record), fitted.plan.late)],
        "tables": {table: _columns(types, ()) for table, types in fitted.record.tables.items()},
        "reach": fitted.history_needed(),
        "row_id": next(iter(fitted.plan.declaration.row_ids), None),
    }


def _feature(fitted: FittedPlan, name: str) -> dict[str, Any]:
    expression = fitted.plan.features[name]
    nodes = [fitted.plan.declaration.nodes[name + suffix] for suffix in expression.suffixes]
    return {
        "name": name,
        "type": type_of(fitted.record, name),
        "formula": shorten_middle(show_columns(expression.nodes), _LONGEST_FORMULA),
        "told": str(feature_sources(nodes)) or "its own row",
    }


def _ids(fitted: FittedPlan) -> list[dict[str, Any]]:
    """Return JSON descriptions of the row-id columns, except those that features read."""
    known = row_inputs(fitted.record)
    names = [name for name in fitted.plan.declaration.row_ids if name not in known]
    return [{"name": name, "type": "any", "late": False} for name in names]


def _columns(
    types: Mapping[str, DType | UnsupportedType], late: Iterable[str]
) -> list[dict[str, Any]]:
    known = frozenset(late)
    return [
        {"name": name, "type": str(dtype), "late": name in known} for name, dtype in types.items()
    ]


def status_of(service: Service) -> Handler:
    """Return the handler that sends the figures shown on the server's web page."""

    async def answer(request: HttpRequest) -> Answer:
        metrics, served = service.metrics, service.now
        asked = metrics.seconds.get("features")
        return Answer(
            write_json(
                {
                    "artifact": served.artifact,
                    "model": service.name,
                    "read_only": service.read_only,
                    "uptime": time.time() - service.started,
                    "time": time.time(),
                    "answers": sum(metrics.answers.values()),
                    "errors": sum(metrics.errors.values()),
                    "rows": dict(metrics.rows_by_call),
                    "waiting": service.load.requests - 1,
                    "events": dict(served.live.counts),
                    "seconds": [] if asked is None else asked.counts,
                    "refused": service.refused,
                }
            )
        )

    return answer
