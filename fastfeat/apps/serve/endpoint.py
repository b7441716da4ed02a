"""The record of an endpoint, a method of a path, and the options that requests may have.

`routes` has the table of endpoints: the router, `/openapi.json` and the docs read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.apps.serve.app import Handler
from fastfeat.apps.serve.artifacts import ArtifactReplacer
from fastfeat.apps.serve.json_text import as_bool
from fastfeat.apps.serve.service import Service
from fastfeat.calls.options import TEXT, Option, OptionRows, type_of, words_of
from fastfeat.ir.parameters import REQUIRED, BoolChoice, Several

UPDATE: OptionRows = {
    "update": Option(
        "Add the rows to the state after they are answered.", BoolChoice(), default=False
    )
}
"""The option of all requests for features."""
NAMES: OptionRows = {"names": Option("Features to return; by default all.", Several(TEXT, 1), None)}
ROW: OptionRows = {"row": Option("The row, as JSON.", TEXT, REQUIRED)}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method of a path: its handler and its description.

    Args:
        path: Path of the address; `{name}` in it stands for any name.
        method: HTTP method.
        route: Name of the path in metrics.
        operation: Name of the operation in the OpenAPI description.
        summary: Description.
        handler: Makes the handler.
        asked: Schema of the JSON body in the OpenAPI description; None without a JSON body.
        answered: Schema of the JSON answer; None if the answer is not JSON.
        query: Options in the address.
        body_type: Content type of another body that the method takes; "" for none.
        answer_type: Content type of another answer that the method gives; "" for none.
        is_open: Whether requests are answered without a token.
        always: Whether requests are answered before the plan is loaded.
    """

    path: str
    method: str
    route: str
    operation: str
    summary: str
    handler: Callable[[Service, ArtifactReplacer], Handler]
    asked: str | None = None
    answered: str | None = None
    query: OptionRows = field(default_factory=dict[str, Option])
    body_type: str = ""
    answer_type: str = ""
    is_open: bool = False
    always: bool = False


def update_in(asked: Mapping[str, Any]) -> bool:
    """Return whether a request asks to add its rows to the state.

    Raises:
        Refusal: The option `update` is not a bool.
    """
    row = UPDATE["update"]
    return as_bool(asked.get("update", row.default), f"update must be {words_of(type_of(row))}")
