"""What is served: one fitted plan over a state, and all of it that does not change between calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastfeat.errors import did_you_mean
from fastfeat.online.live import Live
from fastfeat.plan.artifact import fitted_digest
from fastfeat.plan.fitted import FittedPlan
from fastfeat.serve.json_text import ready_json
from fastfeat.serve.refusals import Refusal
from fastfeat.serve.rows import RowReader, row_reader


@dataclass(frozen=True, slots=True)
class Served:
    """A fitted plan over a state.

    Args:
        live: the plan with its state.
        fitted: the plan.
        artifact: its digest, in hexadecimal digits: what features were made by.
        columns: the names of what is answered: features, and the columns that the plan keeps.
        reader: of rows in JSON.
        head: the digest, as JSON.
        names: of the answers, as JSON.
    """

    live: Live
    fitted: FittedPlan
    artifact: str
    columns: tuple[str, ...]
    reader: RowReader
    head: Any
    names: Any

    def checked_names(self, names: Any) -> Sequence[str] | None:
        """Return the names of features that a caller asks for; None for all.

        Raises:
            Refusal: it is no list of them.
        """
        if names is None:
            return None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):  # pyright: ignore[reportUnknownVariableType]
            raise Refusal(400, "InvalidRequest", "names is a list of names of features")
        known = self.columns
        found: list[str] = names
        for name in found:
            if name not in known:
                near = did_you_mean(name, known)
                raise Refusal(400, "UnknownFeature", f"there is no feature {name!r}.{near}")
        if len(set(found)) < len(found):
            raise Refusal(400, "InvalidRequest", "names has a name twice")
        return found


def served(live: Live, fitted: FittedPlan, most_rows: int) -> Served:
    """Return what is served.

    Args:
        live: a plan with its state.
        fitted: the plan.
        most_rows: so many rows are taken at once.
    """
    artifact = fitted_digest(fitted).hex()
    columns = (*fitted.feature_names, *fitted.plan.keep)
    passed = [*fitted.plan.keep, *fitted.plan.row_ids]
    reader = row_reader(fitted.inputs, fitted.plan.late, passed, most_rows)
    return Served(
        live, fitted, artifact, columns, reader, ready_json(artifact), ready_json(columns)
    )
