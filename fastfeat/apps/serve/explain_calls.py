"""Handlers that explain the features of one row: the values and learned numbers behind each."""

from __future__ import annotations

from typing import Any

from fastfeat.apps.serve.app import Answer, Handler, HttpRequest
from fastfeat.apps.serve.calls import check_known, json_object
from fastfeat.apps.serve.endpoint import ROW
from fastfeat.apps.serve.json_text import as_object, read_json, write_json
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.apps.serve.served_plan import ServedPlan
from fastfeat.apps.serve.service import Service
from fastfeat.io.arrow import Table
from fastfeat.live.state.explanation import Explained
from fastfeat.live.state.feature_origins import MOST_ROWS, shown


def explain_of(service: Service) -> Handler:
    """Return the handler that explains the row in the query parameter `row`, given as JSON."""

    async def answer(request: HttpRequest) -> Answer:
        asked = request.parameters
        check_known(asked, tuple(ROW))
        if "row" not in asked:
            told = "no row: send it as /v1/explain?row={...}, or POST it"
            raise Refusal(400, "InvalidRequest", told)
        return await _explain(service, read_json(asked["row"].encode()))

    return answer


def explain_rows(service: Service) -> Handler:
    """Return the handler that explains the row in the entry `row` of the body."""

    async def answer(request: HttpRequest) -> Answer:
        asked = json_object(request)
        check_known(asked, tuple(ROW))
        return await _explain(service, asked.get("row"))

    return answer


async def _explain(service: Service, row: Any) -> Answer:
    given = as_object(row, "row must be an object of column names and values")

    def explain() -> tuple[ServedPlan, Explained]:
        served = service.now
        rows: Table = served.reader.table([given])
        return served, served.own(served.live.explain(rows))

    served, found = await service.work.apart(explain)
    return Answer(write_json(document(served, found)))


def document(served: ServedPlan, explained: Explained) -> dict[str, Any]:
    """Return the explanation of a row as a JSON document, with each value as text."""
    return {
        "artifact": served.artifact,
        "features": [
            {
                "name": feature.name,
                "value": shown(feature.value),
                "formula": feature.formula,
                "columns": {name: shown(value) for name, value in feature.columns.items()},
                "learnt": dict(feature.learnt),
                "seen": [
                    {
                        "what": one.head,
                        "n_rows": one.rows.num_rows,
                        "rows": _latest(one.rows),
                    }
                    for one in feature.seen
                ],
            }
            for feature in explained.features
        ],
    }


def _latest(rows: Table) -> list[dict[str, str]]:
    """Return the last few rows of a table as dicts, with each value as text."""
    some = rows.slice(max(0, rows.num_rows - MOST_ROWS)).to_pylist()
    return [{name: shown(value) for name, value in row.items()} for row in some]
