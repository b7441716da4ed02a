"""A fit in several passes over the rows: its start, and its state as bytes.

A `LearningRound` is the state of such a fit between two passes, with the values learnt so far. A
round is one pass. Workers that read the rows receive the learning as bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.aggregates.target import FoldedGroups
from fastfeat.engine.state_bytes import hint_of_bytes, hint_to_bytes, seal, unseal
from fastfeat.errors import InvalidData
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.lookup_tables import Tables
from fastfeat.io.arrow import Schema, Table, ipc_stream, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.sources.schema import read_schema
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Node
from fastfeat.keep.document import plan_text
from fastfeat.keep.state import key_table, state_parts, values_of_state, vocabulary_of
from fastfeat.learn.learning import start_learning
from fastfeat.learn.round import PURPOSE, LearningRound, before_round
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower.constants import LearntValues
from fastfeat.plan.lower.schedule import ScheduledValue
from fastfeat.steps.targets.time_folds import TimeFolds

_KIND = "learning"
_FOLDS, _TIMES, _HELD = "outside folds ", "times ", "held "


@dataclass(frozen=True, slots=True)
class StoredLearning:
    """A `LearningRound` as read from bytes, not yet joined to the plan that it belongs to.

    Args:
        plan: The plan as JSON.
        empty: A table without rows, with the columns of the data.
        tables: Lookup tables by name.
        round: Number of the next pass over the rows, from 1; None if everything is learnt.
        n_rows: Number of training rows; None before the first pass.
        n_folds: Number of rows in each fold, by column of fold numbers; a column is given by its
            index in `Schedule.columns`, as text.
        doubts: Indices in `Schedule.values` of the learnt values that are not finite.
        places: Indices in `Schedule.values` of the learnt values in `parts`, in the order of
            `parts`.
        parts: Contents as bytes, by name: learnt values, and intermediate results that tasks of the
            next pass start from.
        whole_entities: Whether all rows of an entity arrive in the same part of the rows.
    """

    plan: str
    empty: Table
    tables: Mapping[str, Table]
    round: int | None
    n_rows: int | None
    n_folds: Mapping[str, list[int]]
    doubts: list[int]
    places: list[int]
    parts: Mapping[str, bytes]
    whole_entities: bool


def learning_record(
    plan: Declaration,
    schema: Any,
    tables: Tables,
    *,
    past: Schema | None = None,
    whole_entities: bool = False,
    has_functions: bool = False,
    stable: Fitted | None = None,
) -> LearningRound:
    """Return the state of a fit before its first pass over the rows.

    Args:
        plan: The plan to fit.
        schema: Columns and types of the data, in any form of `Plan.learning`.
        tables: Lookup tables by name.
        past: Columns of earlier rows; None without earlier rows.
        whole_entities: Whether all rows of an entity arrive in the same part of the rows.
        has_functions: Whether the data has a column with the results of each function over windows
            or later rows.
        stable: An earlier fitted plan; the categories that it knows keep their codes.
    """
    empty = _no_rows(schema)
    content = f"{plan_text(plan)}\n{empty.schema}".encode()
    digest = hashlib.sha256(content).hexdigest()
    earlier = None if past is None else past.empty_table()
    return start_learning(
        plan,
        CallRows(empty, history=earlier, tables=tables),
        digest,
        whole_entities=whole_entities,
        has_functions=has_functions,
        stable=stable,
    )


def _no_rows(schema: Any) -> Table:
    """Return an Arrow table without rows, with the columns of a schema."""
    types = read_schema(schema)
    arrays = {
        name: pa.array([], arrow_type(dtype) if isinstance(dtype, DType) else pa.null())
        for name, dtype in types.items()
    }
    return pa.table(arrays)


def learning_bytes(learning: LearningRound) -> bytes:
    """Return a learning as bytes of JSON and Arrow; `read_stored_learning` reads them."""
    prepared, schedule = learning.prepared, learning.prepared.typed.schedule(PURPOSE)
    place_of: dict[Node, int] = {value.origin: place for place, value in enumerate(schedule.values)}
    places = [place for place, v in enumerate(schedule.values) if _is_kept(v, learning.learnt)]
    values = [learning.learnt[schedule.values[place].origin] for place in places]
    parts = {f"value {name}": b"".join(part()) for name, part in state_parts(values).items()}
    for k, value in enumerate(values):
        if isinstance(value, FoldedGroups):
            parts[f"{_FOLDS}{k}"] = value.of_folds.tobytes()
    for node, value in learning.learnt.items():
        if isinstance(value, TimeFolds):
            found = (value.n_folds, value.ends, value.used, value.begins, value.last)
            parts[f"{_TIMES}{place_of[node]}"] = hint_to_bytes(found)
    parts |= {
        f"{_HELD}{place_of[node]}": b"".join(key_table(vocabulary))
        for node, vocabulary in prepared.held.items()
    }
    parts |= {f"hint {name}": hint_to_bytes(hint) for name, hint in learning.hints.items()}
    parts |= {
        f"lookup {name}": ipc_stream(table).to_pybytes() for name, table in prepared.tables.items()
    }
    parts["empty"] = ipc_stream(learning.empty).to_pybytes()
    columns = {column.origin: place for place, column in enumerate(schedule.columns)}
    head = {
        "kind": _KIND,
        "plan": plan_text(prepared.plan),
        "round": learning.round,
        "n_rows": learning.n_rows,
        "folds": {str(columns[node]): sizes.tolist() for node, sizes in learning.folds.items()},
        "doubts": [place_of[node] for node in learning.doubts],
        "places": places,
        "whole_entities": bool(learning.keys),
        "parts": {name: len(part) for name, part in parts.items()},
    }
    return seal(head, list(parts.values()))


def _is_kept(value: ScheduledValue, learnt: LearntValues) -> bool:
    """Return whether a value is learnt already, and is a value that artifacts keep."""
    return value.keep != "fit" and value.origin in learnt


def read_stored_learning(content: bytes) -> StoredLearning:
    """Return the contents of bytes that `learning_bytes` wrote; raises InvalidData if damaged."""
    head, rest = unseal(content)
    if head.get("kind") != _KIND:
        raise InvalidData(
            f"the bytes contain a {head.get('kind')!r}, not a learning: pass the bytes from "
            "learning.to_bytes()"
        )
    parts: dict[str, bytes] = {}
    for name, n_bytes in head["parts"].items():
        parts[name], rest = rest[:n_bytes], rest[n_bytes:]
    tables = {name: _table_of(part) for name, part in _named(parts, "lookup ").items()}
    return StoredLearning(
        head["plan"],
        _table_of(parts["empty"]),
        tables,
        head["round"],
        head["n_rows"],
        head["folds"],
        head["doubts"],
        head["places"],
        parts,
        head["whole_entities"],
    )


def resume_learning(first: LearningRound, written: StoredLearning) -> LearningRound:
    """Return the learning that was written, so that the fit can go on from there.

    `first` is a learning of the same plan, schema and tables before its first pass.
    """
    schedule = first.prepared.typed.schedule(PURPOSE)
    prepared = replace(first.prepared, held=_held_of(first, written))
    origins = (schedule.values[place].origin for place in written.places)
    aggregates = [origin for origin in origins if isinstance(origin, Aggregate)]
    learnt: LearntValues = dict(
        values_of_state(_named(written.parts, "value "), aggregates, prepared.typed.types)
    )
    for name, part in _named(written.parts, _FOLDS).items():
        aggregate = aggregates[int(name)]
        whole: Any = learnt[aggregate]
        learnt[aggregate] = FoldedGroups(whole.values, whole.present, np.frombuffer(part))
    for place, part in _named(written.parts, _TIMES).items():
        learnt[schedule.values[int(place)].origin] = TimeFolds(*hint_of_bytes(part))
    hints = {name: hint_of_bytes(part) for name, part in _named(written.parts, "hint ").items()}
    folds = {
        schedule.columns[int(place)].origin: np.array(sizes, np.int64)
        for place, sizes in written.n_folds.items()
    }
    doubts = (schedule.values[place].origin for place in written.doubts)
    learning = replace(
        first,
        prepared=prepared,
        learnt=learnt,
        round=written.round,
        hints=hints,
        n_rows=written.n_rows,
        folds=folds,
        doubts=tuple(one for one in doubts if isinstance(one, Aggregate)),
    )
    return before_round(learning)


def _held_of(first: LearningRound, written: StoredLearning) -> dict[Aggregate, Vocabulary]:
    """Return the vocabularies that keep codes from an earlier fit, by aggregate."""
    typed = first.prepared.typed
    values, held = typed.schedule(PURPOSE).values, dict[Aggregate, Vocabulary]()
    for place, part in _named(written.parts, _HELD).items():
        origin = values[int(place)].origin
        assert isinstance(origin, Aggregate)
        missing, dtypes = dict(origin.params)["missing"], [typed.types[a] for a in origin.args]
        held[origin] = vocabulary_of(part, dtypes, missing)
    return held


def _named(parts: Mapping[str, bytes], begin: str) -> dict[str, bytes]:
    """Return the parts with names that begin with `begin`, by the rest of their names."""
    return {name[len(begin) :]: part for name, part in parts.items() if name.startswith(begin)}


def _table_of(content: bytes) -> Table:
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()
