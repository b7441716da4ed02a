"""Costs of exported features: operations, and estimates of bytes of code and stack."""

from __future__ import annotations

from fastfeat.engine.program import Output, with_own_operations
from fastfeat.engine.storage import table_array
from fastfeat.export.c.writer import CWriter
from fastfeat.export.record import ExportedFeature
from fastfeat.export.refusals import columns_of_features
from fastfeat.ir.node import postorder
from fastfeat.ir.scope import row_order
from fastfeat.scalars.op import Op

CODE_BYTES = 8
"""Bytes of machine code per operation: 107,210 of 13,460 operations by gcc 12 -O2 on x86-64."""
_BYTES_OF_VALUE = 8


def costs_of(writer: CWriter) -> dict[str, ExportedFeature]:
    """Return the entry of each declared feature of an export that has been written, by name."""
    fitted = writer.fitted
    outputs = {one.name: with_own_operations(one) for one in fitted.matrix_program.outputs}
    found: dict[str, ExportedFeature] = {}
    for name, columns in columns_of_features(fitted).items():
        nodes = _operations([outputs[column] for column in columns])
        keys = dict.fromkeys(node.value for node in nodes if node.name == "table")
        below = [writer.costs[node] for node in row_order(columns.values()) if node in writer.costs]
        n_operations = sum(1 for node in nodes if node.args)
        n_operations += sum(one.n_operations for one in below)
        tables = {name for one in below for name in one.tables}
        n_table_bytes = sum(table_array(key, fitted.matrix_constants).nbytes for key in keys)
        n_table_bytes += sum(writer.tables.n_bytes[name] for name in tables)
        found[name] = ExportedFeature(
            name,
            "same bits",
            n_code_bytes=CODE_BYTES * n_operations,
            n_table_bytes=n_table_bytes,
            n_operations=n_operations,
            n_stack_bytes=_BYTES_OF_VALUE * _most_alive(nodes),
        )
    return found


def _operations(outputs: list[Output]) -> list[Op]:
    return list(postorder([part for o in outputs for part in (o.op, o.ok, o.status)]))


def _most_alive(nodes: list[Op]) -> int:
    """Return the largest number of results that a later operation still reads."""
    last = {argument: k for k, node in enumerate(nodes) for argument in node.args}
    alive = most = 0
    ends: dict[int, int] = {}
    for k, node in enumerate(nodes):
        if node in last and node.args:
            alive += 1
            ends[last[node]] = ends.get(last[node], 0) + 1
        most = max(most, alive)
        alive -= ends.pop(k, 0)
    return most
