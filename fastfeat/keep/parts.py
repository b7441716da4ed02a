"""The parts of an artifact: column types, time zones, the contract, and other optional parts.

An entry of `OPTIONAL_PARTS` describes a part that only some artifacts have: its field in `Fitted`,
and its conversion to bytes and back. This module treats objects of layers above it, such as
profiles, as bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.errors import ArtifactError
from fastfeat.execute.fitted import Fitted, FittedContract, InputSchema, StorableRecord, check_bound
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.dtypes import DType, list_of
from fastfeat.ir.node import TableColumn
from fastfeat.keep import canonical
from fastfeat.keep.contract import contract_document, contract_of_document, readable
from fastfeat.plan.declare.bind import TableTypes
from fastfeat.scalars import zone_files

if TYPE_CHECKING:
    from fastfeat.scalars.zone_files import ZoneTable


@dataclass(frozen=True, slots=True)
class OptionalPart:
    """A part that only some artifacts have.

    Args:
        name: Name of the part and of its field in `Fitted`, which is None without the part.
        says: Description of its contents.
        since: First format number of artifacts with this part.
        is_of_plan: Whether two fitted plans are unequal if this part differs (see `fitted_digest`).
        to_bytes: Converts the value to bytes; equal values give equal bytes.
        of_bytes: Converts bytes to the value.
    """

    name: str
    says: str
    since: int
    is_of_plan: bool
    to_bytes: Callable[[Any], bytes]
    of_bytes: Callable[[bytes], Any]

    def of(self, fitted: Fitted) -> Any:
        """Return the part's value in a fitted plan; None without it."""
        return getattr(fitted, self.name)


def optional_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the optional parts that are present, by name.

    Raises:
        ArtifactError: A part is damaged.
        FastfeatError: The contract is not valid.
    """
    return {p.name: p.of_bytes(parts[p.name]) for p in OPTIONAL_PARTS if p.name in parts}


def zones_bytes(zones: Mapping[str, ZoneTable]) -> bytes:
    """Return tables of time zones as JSON.

    Each zone has the times at which its offset from UTC changes, and the offsets, in seconds.
    """
    return canonical.dump(_zones_to_json(zones)).encode()


def _zones_to_json(zones: Mapping[str, ZoneTable]) -> dict[str, Any]:
    return {name: [list(t.changes), list(t.offsets)] for name, t in zones.items()}


def zones_of(part: bytes) -> dict[str, ZoneTable]:
    """Return tables of time zones by name, checked so that a kernel can search them."""
    return _zones_from_json(json.loads(part))


def _zones_from_json(document: Any) -> dict[str, ZoneTable]:
    tables = {str(name): zone_files.check_zone_table(*lists) for name, lists in document.items()}
    if any(type(n) is not int for t in tables.values() for n in (*t.changes, *t.offsets)):
        raise ArtifactError(
            "the artifact is damaged: a table of a time zone has entries that are not whole seconds"
        )
    return tables


def _contract_bytes(contract: FittedContract) -> bytes:
    """Return a contract as readable JSON, with the types and zones of its rules."""
    document = contract_document(contract.declaration) | {
        "inputs": dict(schema_to_json(contract.inputs)),
        "tables": {name: dict(schema_to_json(of)) for name, of in contract.tables.items()},
        "zones": _zones_to_json(contract.zones),
    }
    return readable(document).encode()


def _contract_of(part: bytes) -> FittedContract:
    """Return the contract in a part; its rules are checked against their column types.

    Raises:
        ArtifactError: The rules do not match the types.
        FastfeatError: The contract is not valid.
    """
    document: dict[str, Any] = json.loads(part)
    inputs, tables = document.pop("inputs"), document.pop("tables")
    zones = _zones_from_json(document.pop("zones"))
    declared = contract_of_document(document)
    n_stored = len(zones)
    found = FittedContract(
        declared,
        schema_of(list(inputs.items()), declared.columns),
        tables_of(
            [(name, list(of.items())) for name, of in tables.items()], declared.table_columns
        ),
        zones,
    )
    check_bound(found)
    if len(zones) > n_stored:
        raise ArtifactError(
            "the artifact is damaged: its contract lacks the table of the time zone "
            f"{list(zones)[-1]!r}"
        )
    return found


def _packed(part: StorableRecord | bytes) -> bytes:
    return part if isinstance(part, bytes) else part.to_bytes()


def schema_to_json(schema: InputSchema) -> list[Any]:
    return [[name, _type_to_json(dtype)] for name, dtype in schema.items()]


def schema_of(entries: Any, columns: Sequence[str]) -> InputSchema:
    """Return the types of columns by name.

    Raises:
        ArtifactError: The plan does not read one of the columns, or a name is repeated.
    """
    schema = {str(name): _type_from_json(dtype) for name, dtype in entries}
    if len(schema) != len(entries) or not set(schema) <= set(columns):
        raise ArtifactError(
            f"the artifact is damaged: it has the types of the columns {list(schema)}, but the "
            f"plan reads {list(columns)}"
        )
    return schema


def tables_of(entries: Any, columns: Sequence[TableColumn]) -> TableTypes:
    """Return the column types of each lookup table; raises ArtifactError like `schema_of`."""
    return {
        str(name): schema_of(schema, [c.name for c in columns if c.table == name])
        for name, schema in entries
    }


def _type_to_json(dtype: DType | UnsupportedType) -> list[Any]:
    if isinstance(dtype, DType) and dtype.of is not None:
        return ["list", _type_to_json(dtype.of)]
    if isinstance(dtype, DType):
        return [dtype.name, dtype.unit, dtype.tz]
    return [dtype.name]


def _type_from_json(parts: Any) -> DType | UnsupportedType:
    match parts:
        case [str(name)]:
            return UnsupportedType(name)
        case ["list", element]:
            return list_of(canonical.dtype_from_json(element))
        case _:
            return canonical.dtype_from_json(parts)


OPTIONAL_PARTS = (
    OptionalPart(
        "contract",
        "the rules that data must follow, as JSON",
        since=1,
        is_of_plan=True,
        to_bytes=_contract_bytes,
        of_bytes=_contract_of,
    ),
    OptionalPart(
        "profile",
        "the distributions of inputs and features in the training rows",
        since=2,
        is_of_plan=False,
        to_bytes=_packed,
        of_bytes=bytes,
    ),
    OptionalPart(
        "golden",
        "synthetic rows, with the bits of their features",
        since=2,
        is_of_plan=False,
        to_bytes=bytes,
        of_bytes=bytes,
    ),
)
"""One row per part, in the order of the file."""
