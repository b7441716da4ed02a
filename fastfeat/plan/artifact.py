"""The artifact: a fitted plan in one file of JSON and Arrow, with lengths and digests, and no code.

Layout: a magic line; the length of the manifest as 8 bytes, little endian; the manifest (JSON:
format, versions,
length and SHA-256 of each part); the parts in order; the SHA-256 of all before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastfeat
from fastfeat.dtypes import DType
from fastfeat.errors import ArtifactError, FastfeatError
from fastfeat.io.arrow import pa
from fastfeat.io.types import UnsupportedType
from fastfeat.ir.node import Aggregate, Node
from fastfeat.ir.walk import postorder
from fastfeat.plan import canonical
from fastfeat.plan.bind import bind
from fastfeat.plan.constants import constant_roots, evaluate_constants
from fastfeat.plan.document import plan_document, plan_of_text
from fastfeat.plan.environment import in_ieee
from fastfeat.plan.fitted import FittedPlan
from fastfeat.plan.lower import Constant

MAGIC = b"fastfeat artifact\n"
FORMAT = 1
LARGEST_MANIFEST = 1 << 20
LARGEST_ARTIFACT = 1 << 32
_DIGEST = 32


def save(fitted: FittedPlan, path: str | os.PathLike[str]) -> None:
    """Write a fitted plan to a file, whole or not at all.

    Raises:
        ArtifactError: the file cannot be written.
    """
    content = artifact_bytes(fitted)
    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"cannot write {target}: {reason}. Choose another place") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load(path: str | os.PathLike[str]) -> FittedPlan:
    """Return the fitted plan of a file that `save` wrote. Nothing of the file is run as code.

    Raises:
        ArtifactError: the file is missing, truncated, altered, too new, or no artifact.
    """
    source = Path(path)
    try:
        size = source.stat().st_size
        if size > LARGEST_ARTIFACT:
            raise ArtifactError(f"{source} has {size} bytes, more than an artifact may have")
        content = source.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {source}: {error.strerror or error}") from None
    try:
        return fitted_of(content)
    except ArtifactError as error:
        raise ArtifactError(f"{source}: {error}") from None


def artifact_bytes(fitted: FittedPlan) -> bytes:
    """Return a fitted plan as the content of an artifact; equal plans give equal bytes."""
    plan = canonical.dump(plan_document(fitted.plan)).encode()
    state = _state_bytes(fitted)
    parts = {"plan": plan, "state": state}
    manifest = {
        "format": FORMAT,
        "fastfeat": fastfeat.__version__,
        "n_rows": fitted.n_rows,
        "inputs": [[name, _type_to_json(t)] for name, t in fitted.inputs.items()],
        "parts": [[name, len(p), hashlib.sha256(p).hexdigest()] for name, p in parts.items()],
    }
    head = canonical.dump(manifest).encode()
    content = MAGIC + len(head).to_bytes(8, "little") + head + plan + state
    return content + hashlib.sha256(content).digest()


@in_ieee
def fitted_of(content: bytes) -> FittedPlan:
    """Return the fitted plan of the content of an artifact."""
    manifest, parts = _open(content)
    plan = plan_of_text(parts["plan"])
    try:
        inputs = {str(name): _type_from_json(t) for name, t in manifest["inputs"]}
        roots = list(plan.nodes.values())
        types = bind(roots, inputs)
        learnt = _learnt_of(parts["state"], roots)
        constants = evaluate_constants(constant_roots(roots), types, learnt)
        return FittedPlan(plan, inputs, {**learnt, **constants}, int(manifest["n_rows"]))
    except ArtifactError:
        raise
    except (FastfeatError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ArtifactError(f"its parts do not fit together: {error}") from None


def _open(content: bytes) -> tuple[Any, Mapping[str, bytes]]:
    """Return manifest and parts, after checking lengths, digests and format."""
    if not content.startswith(MAGIC):
        raise ArtifactError("this is not a fastfeat artifact")
    start = len(MAGIC) + 8
    length = int.from_bytes(content[len(MAGIC) : start], "little")
    if length > LARGEST_MANIFEST or start + length + _DIGEST > len(content):
        raise ArtifactError("the file is truncated or altered: its manifest is not whole")
    try:
        manifest: Any = json.loads(content[start : start + length])
        found = manifest["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError("the file is altered: its manifest cannot be read") from None
    if type(found) is not int or found > FORMAT:
        raise ArtifactError(
            f"it has format {found!r}, written by fastfeat "
            f"{manifest.get('fastfeat')!r}; this version "
            f"reads up to {FORMAT}. Update fastfeat"
        )
    if hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
        raise ArtifactError("the file is truncated or altered: its SHA-256 does not match")
    return manifest, _parts(manifest, content[start + length : -_DIGEST])


def _parts(manifest: Any, body: bytes) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    try:
        for name, length, digest in manifest["parts"]:
            part, body = body[:length], body[length:]
            if len(part) != length or hashlib.sha256(part).hexdigest() != digest:
                raise ArtifactError(f"the part {name!r} does not match its digest")
            parts[name] = part
    except (KeyError, ValueError, TypeError):
        raise ArtifactError("the file is altered: its manifest cannot be read") from None
    if body or set(parts) != {"plan", "state"}:
        raise ArtifactError("it has other parts than a plan and a state")
    return parts


def _type_to_json(dtype: DType | UnsupportedType) -> list[Any]:
    if isinstance(dtype, DType):
        return [dtype.name, dtype.unit, dtype.tz]
    return [dtype.name]


def _type_from_json(parts: Any) -> DType | UnsupportedType:
    return DType(*parts) if len(parts) == 3 else UnsupportedType(*parts)


def _aggregates(roots: list[Node]) -> list[Aggregate]:
    return [node for node in postorder(roots) if isinstance(node, Aggregate)]


def _state_bytes(fitted: FittedPlan) -> bytes:
    """Return what was learnt as an Arrow table: one row an aggregate, in the order of the plan."""
    rows = [
        _value_to_row(fitted.constants[a]) for a in _aggregates(list(fitted.plan.nodes.values()))
    ]
    columns = [pa.array([row[k] for row in rows], t) for k, (_, t) in enumerate(_state_fields())]
    batch = pa.record_batch(columns, schema=pa.schema(_state_fields()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _state_fields() -> list[tuple[str, Any]]:
    return [
        ("kind", pa.string()),
        ("integer", pa.int64()),
        ("number", pa.float64()),
        ("table", pa.list_(pa.float64())),
    ]


def _value_to_row(value: Constant) -> tuple[Any, ...]:
    match value:
        case None:
            return "missing", None, None, None
        case bool():
            return "bool", int(value), None, None
        case int():
            return "integer", (value + (1 << 63)) % (1 << 64) - (1 << 63), None, None
        case float():
            return "number", None, value, None
        case _:
            return "table", None, None, list(value)


def _learnt_of(state: bytes, roots: list[Node]) -> dict[Node, Constant]:
    aggregates = _aggregates(roots)
    try:
        table = pa.ipc.open_file(pa.py_buffer(state)).read_all()
        table.validate(full=True)
        if table.schema != pa.schema(_state_fields()):  # a cast would import pyarrow.compute, 30 ms
            raise ArtifactError(f"the state has the columns {table.schema.names}")
        rows = table.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"the state cannot be read: {error}") from None
    if len(rows) != len(aggregates):
        raise ArtifactError(f"the state has {len(rows)} values for {len(aggregates)} aggregates")
    return {a: _row_to_value(row) for a, row in zip(aggregates, rows, strict=True)}


def _row_to_value(row: Mapping[str, Any]) -> Constant:
    match row["kind"]:
        case "missing":
            return None
        case "bool":
            return bool(row["integer"])
        case "integer":
            return int(row["integer"])
        case "number":
            return float(row["number"])
        case "table":
            return tuple(row["table"])
        case kind:
            raise ArtifactError(f"the state has a value of kind {kind!r}, unknown to this version")
