"""The artifact: a fitted plan in one file of JSON and Arrow, with lengths and digests, no code.

The file has, in this order: a magic line; the length of the manifest as 8 bytes, little endian; the
manifest (JSON: format, versions, and the length and SHA-256 of each part); the parts; the SHA-256
of everything before it.

The parts are, in this order: the plan; the learnt values in one table ("state"), with a further
table for each value learnt per key; the tables of time zones; any of `OPTIONAL_PARTS`. Format 1 had
no optional part except a contract; this version reads it, but never writes it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar, cast

from fastfeat_kernels.records import dataclass

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import ArtifactError, FastfeatError, TypeMismatch, counted, reason_of
from fastfeat.execute.fitted import Fitted, fitted_of_values
from fastfeat.io.sinks import atomic
from fastfeat.keep import canonical
from fastfeat.keep.document import plan_document, plan_of_text
from fastfeat.keep.parts import (
    OPTIONAL_PARTS,
    OptionalPart,
    optional_of,
    schema_of,
    schema_to_json,
    tables_of,
    zones_bytes,
    zones_of,
)
from fastfeat.keep.state import PartWriter, aggregates_of, state_parts, values_of_state
from fastfeat.plan.declare.bind import warn_of_naive_times
from fastfeat.plan.lower.constants import LearntValues
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.plan.lower.outputs import output_types
from fastfeat.version import __version__

R = TypeVar("R")
MAGIC = b"fastfeat artifact\n"
FORMAT = 2
LARGEST_MANIFEST = 1 << 26
LARGEST_ARTIFACT = 1 << 32
MANIFEST = frozenset({"format", "fastfeat", "n_rows", "inputs", "label_inputs", "tables", "parts"})
OF_LABELS = frozenset({"n_rows_without_label", "label_tables"})
"""Manifest entries that exist only if a label looks ahead, or reads tables."""
_TABLE = "table "
"""Prefix of the names of parts with values learnt per key."""
_NEEDED = frozenset({"plan", "state", "zones"})
"""The parts of every artifact, besides the tables of its state."""
_DIGEST = 32


def save(fitted: Fitted, path: str | os.PathLike[str]) -> None:
    """Write a fitted plan to a file, completely or not at all.

    Raises:
        ArtifactError: The file cannot be written.
        TypeMismatch: `path` is not a path.
    """
    target = _path(path, "save")
    try:
        atomic.write_bytes(target, _content(fitted), durable=True)
    except (OSError, ValueError) as error:  # ValueError: a path without a name
        reason = reason_of(error)
        raise ArtifactError(f"cannot write {target}: {reason}. Choose another place") from None


def read_artifact(path: str | os.PathLike[str]) -> Fitted:
    """Return the fitted plan in an artifact file; raises like `ff.load`."""
    return _of_file(path, fitted_of_bytes)


@dataclass(frozen=True, slots=True)
class ArtifactContents:
    """The contents of an artifact, with facts on its file.

    Args:
        format: Format number of the file.
        written_by: The version of fastfeat that wrote the file.
        n_bytes: Size of the file in bytes.
        parts: Size of each part in bytes, by name, in order.
        fitted: The fitted plan.
    """

    format: int
    written_by: str
    n_bytes: int
    parts: Mapping[str, int]
    fitted: Fitted


def read_contents(path: str | os.PathLike[str]) -> ArtifactContents:
    """Return the contents of an artifact file; raises like `ff.load`."""
    return _of_file(path, _contents_of)


def _contents_of(content: bytes) -> ArtifactContents:
    manifest, parts = _open(content)
    sizes = {name: len(part) for name, part in parts.items()}
    of_file = manifest["format"], str(manifest["fastfeat"]), len(content)
    return ArtifactContents(*of_file, sizes, fitted_of_bytes(content))


def _of_file(path: str | os.PathLike[str], read: Callable[[bytes], R]) -> R:
    """Call `read` on the content of a file and return its result; errors name the file."""
    source = _path(path, "load")
    try:
        content = _read(source)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = reason_of(error)
        raise ArtifactError(f"cannot read {source}: {reason}") from None
    try:
        return read(content)
    except FastfeatError as error:
        raise type(error)(f"{source}: {error}") from error.__cause__


def _path(path: object, what: str) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeMismatch(
            f"{what} takes the path of a file, got a {type(path).__name__}. For an open file, "
            "pass its name"
        )
    return Path(cast("str", path))


def _read(source: Path) -> bytes:
    """Return the content of a file; only its first bytes if it is not an artifact."""
    with open(source, "rb") as file:
        head = file.read(len(MAGIC))
        if head != MAGIC:
            return head
        about = os.fstat(file.fileno())
        if S_ISREG(about.st_mode):  # allocates the actual size, not the largest allowed one
            file.seek(0)
            content = file.read(min(about.st_size, LARGEST_ARTIFACT + 1))
        else:
            content = head + file.read(LARGEST_ARTIFACT)
    if len(content) > LARGEST_ARTIFACT:
        raise ArtifactError(f"{source} has more than {LARGEST_ARTIFACT:,} bytes, the most allowed")
    return content


def artifact_bytes(fitted: Fitted) -> bytes:
    """Return a fitted plan as the content of an artifact; equal plans give equal bytes."""
    return b"".join(_content(fitted))


def _content(fitted: Fitted) -> Iterator[bytes | memoryview]:
    """Yield the bytes of an artifact in chunks, without copies of large data."""
    parts = _parts_of(fitted)
    manifest = {
        "format": FORMAT,
        "fastfeat": __version__,
        "n_rows": fitted.n_rows,
        "n_rows_without_label": fitted.n_rows_without_label,
        **_schemas_of(fitted),
        "parts": _listed(parts),
    }
    manifest = {name: value for name, value in manifest.items() if value or name not in OF_LABELS}
    head, digest = canonical.dump(manifest).encode(), hashlib.sha256()
    begin = [MAGIC + len(head).to_bytes(8, "little") + head]
    for piece in chain(begin, chain.from_iterable(part() for part in parts.values())):
        digest.update(piece)
        yield piece
    yield digest.digest()


def fitted_digest(fitted: Fitted) -> bytes:
    """Return a SHA-256 digest of a fitted plan: its declaration, column types and learnt values.

    Equal fitted plans have equal digests. The digest ignores the number of training rows, the
    version of fastfeat, and the optional parts that describe the rows, such as a profile.
    """
    told = {part.name for part in OPTIONAL_PARTS if not part.is_of_plan}
    parts = {name: part for name, part in _parts_of(fitted).items() if name not in told}
    content = {**_schemas_of(fitted), "parts": _listed(parts)}
    return hashlib.sha256(canonical.dump(content).encode()).digest()


def _parts_of(fitted: Fitted) -> dict[str, PartWriter]:
    aggregates = aggregates_of(fitted.declaration.nodes.values())
    return {
        "plan": lambda: [canonical.dump(plan_document(fitted.declaration)).encode()],
        **state_parts([fitted.learnt[aggregate] for aggregate in aggregates]),
        "zones": lambda: [zones_bytes(fitted.zones)],
        **{
            part.name: partial(_optional, part, fitted)
            for part in OPTIONAL_PARTS
            if part.of(fitted) is not None
        },
    }


def _optional(part: OptionalPart, fitted: Fitted) -> list[bytes]:
    return [part.to_bytes(part.of(fitted))]


def _listed(parts: Mapping[str, PartWriter]) -> list[Any]:
    return [[name, *_told(part)] for name, part in parts.items()]


def _told(part: PartWriter) -> tuple[int, str]:
    """Return the length in bytes and the SHA-256 (hexadecimal) of a part, for the manifest."""
    n_bytes, digest = 0, hashlib.sha256()
    for piece in part():
        digest.update(piece)
        n_bytes += len(piece)
    return n_bytes, digest.hexdigest()


def _schemas_of(fitted: Fitted) -> dict[str, Any]:
    return {
        "inputs": schema_to_json(fitted.inputs),
        "label_inputs": fitted.label_inputs and schema_to_json(fitted.label_inputs),
        "tables": [[name, schema_to_json(s)] for name, s in fitted.tables.items()],
        "label_tables": [[name, schema_to_json(s)] for name, s in fitted.label_tables.items()],
    }


@with_ieee_arithmetic
def fitted_of_bytes(content: bytes) -> Fitted:
    """Return the fitted plan from the content of an artifact.

    Raises:
        ArtifactError: The content is truncated, altered, too new, or not an artifact.
        FastfeatError: The plan in the artifact is not valid.
    """
    manifest, parts = _open(content)
    plan = plan_of_text(parts["plan"])
    try:
        if plan.fold_id not in dict(manifest["inputs"]):  # this fit assigned folds by row number
            plan = replace(plan, fold_id=None)
        inputs, zones = schema_of(manifest["inputs"], plan.columns), zones_of(parts["zones"])
        label = manifest["label_inputs"]
        label_inputs = None if label is None else schema_of(label, plan.label_columns)
        tables = tables_of(manifest["tables"], plan.table_columns)
        label_tables = tables_of(manifest.get("label_tables", []), plan.label_table_columns)
        n_stored = len(zones)
        aggregates = aggregates_of(plan.nodes.values())

        def learnt(types: NodeTypes) -> LearntValues:
            return values_of_state(parts, aggregates, types)

        n_rows, n_without = manifest["n_rows"], manifest.get("n_rows_without_label", 0)
        for n in (n_rows, n_without):
            if type(n) is not int or n < 0:
                raise ArtifactError(
                    f"the artifact is damaged: its number of training rows is {n!r}"
                )
        fitted = fitted_of_values(
            plan, inputs, learnt, n_rows, zones, label_inputs, tables, label_tables, n_without
        )
        fitted = replace(fitted, **optional_of(parts))
        output_types(plan, fitted.nodes, fitted.types)
        if len(zones) > n_stored:
            raise ArtifactError(
                f"the artifact is damaged: it lacks the table of the time zone {list(zones)[-1]!r}"
            )
    except ArtifactError:
        raise
    except Exception as error:  # whatever our code raises here, the file is at fault
        raise ArtifactError(
            f"the artifact is damaged: its parts do not fit together: {error}"
        ) from error
    warn_of_naive_times(fitted.types)
    return fitted


def _open(content: bytes) -> tuple[Any, Mapping[str, Any]]:
    """Return the manifest and the parts by name, after a check of lengths, digests and format."""
    if not content.startswith(MAGIC):
        raise ArtifactError("this is not a fastfeat artifact")
    start = len(MAGIC) + 8
    length = int.from_bytes(content[len(MAGIC) : start], "little")
    if length > LARGEST_MANIFEST or start + length + _DIGEST > len(content):
        raise ArtifactError("the file is truncated or altered: its manifest is incomplete")
    try:
        manifest: Any = json.loads(content[start : start + length].decode())
        found, writer = manifest["format"], manifest["fastfeat"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError("the file is altered: its manifest cannot be read") from None
    if type(found) is not int or not 1 <= found <= FORMAT:
        raise ArtifactError(
            f"the artifact has format {found!r}, written by fastfeat {writer!r}; this version "
            f"reads formats up to {FORMAT}. Update fastfeat"
        )
    whole = memoryview(content)
    if hashlib.sha256(whole[:-_DIGEST]).digest() != content[-_DIGEST:]:
        raise ArtifactError("the file is truncated or altered: its SHA-256 does not match")
    odd = sorted(set(manifest) - OF_LABELS ^ MANIFEST)
    if odd:
        told = "is missing" if odd[0] in MANIFEST else "is unknown to this version of fastfeat"
        raise ArtifactError(
            f"the artifact cannot be read: the entry {odd[0]!r} of its manifest {told}"
        )
    return manifest, _parts(manifest, whole[start + length : -_DIGEST])


def _parts(manifest: Any, body: memoryview) -> dict[str, Any]:
    """Return the parts by name; tables of learnt values are views of `body`, not copies."""
    parts: dict[str, Any] = {}
    known = {part.name for part in OPTIONAL_PARTS if part.since <= manifest["format"]}
    try:
        listed = [(str(name), int(length), digest) for name, length, digest in manifest["parts"]]
    except (KeyError, ValueError, TypeError, OverflowError):
        raise ArtifactError("the file is altered: its manifest cannot be read") from None
    for name, length, digest in listed:
        if name in parts:
            raise ArtifactError(f"the artifact is damaged: it has the part {name!r} twice")
        part, body = body[:length], body[length:]
        if len(part) != length or hashlib.sha256(part).hexdigest() != digest:
            raise ArtifactError(
                f"the artifact is damaged: its part {name!r} does not match its digest (SHA-256)"
            )
        parts[name] = part if name.startswith(_TABLE) else bytes(part)
    named = {name for name in parts if not name.startswith(_TABLE)}
    odd = sorted((_NEEDED - named) | (named - _NEEDED - known))
    if odd:
        told = "is missing" if odd[0] in _NEEDED else "is unknown to this version of fastfeat"
        raise ArtifactError(f"the artifact cannot be read: its part {odd[0]!r} {told}")
    if body:
        raise ArtifactError(
            f"the artifact is damaged: it has {counted(len(body), 'byte')} that belong to no part"
        )
    return parts
