"""The values of one row in exported C: fields of a struct, filled by reading inputs and by steps.

A number has a field `x3`, and `k3` beside it if it may be missing and is no float. A text has the
fields `t3` and `k3`. Their number is the only name that they have.
"""

from __future__ import annotations

from dataclasses import field

from fastfeat_kernels.records import dataclass

from fastfeat.export.c.operations import TYPES
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Node
from fastfeat.scalars.value import InputSlot


@dataclass(frozen=True, slots=True)
class Field:
    """A value of a row in the struct.

    Args:
        number: Its number.
        dtype: Its type.
    """

    number: int
    dtype: DType

    @property
    def value(self) -> str:
        """The field of the value."""
        return f"{'t' if self.dtype.holds_bytes else 'x'}{self.number}"

    @property
    def flag(self) -> str:
        """The field that tells whether the value is there."""
        return f"k{self.number}"

    @property
    def has_flag(self) -> bool:
        """Whether the value has a flag; a missing float is NaN."""
        return self.dtype.holds_bytes or self.dtype.physical != "f64"


@dataclass(slots=True)
class RowStruct:
    """The struct of a row, which grows while it is laid out.

    Args:
        fields: The fields by column, step, expression, or input of a program.
        name: Name of the export.
    """

    name: str
    fields: dict[Node | InputSlot, Field] = field(default_factory=dict[Node | InputSlot, Field])
    n_fields: int = 0

    def add(self, key: Node | InputSlot, dtype: DType) -> Field:
        """Return a new field for a value."""
        found = self.fields[key] = Field(self.n_fields, dtype)
        self.n_fields += 1
        return found

    def share(self, key: InputSlot, source: Node) -> None:
        """Let an input of a program be the field of a column or step."""
        self.fields[key] = self.fields[source]

    def text(self) -> str:
        """Return the definition of the struct."""
        lines: list[str] = []
        for one in dict.fromkeys(self.fields.values()):
            if one.dtype.holds_bytes:
                lines.append(f"    {self.name}_text {one.value};")
            else:
                lines.append(f"    {TYPES[one.dtype.physical]} {one.value};")
            if one.has_flag:
                lines.append(f"    int {one.flag};")
        body = "\n".join(lines) or "    char nothing;"
        return f"typedef struct {{\n{body}\n}} ff_line;\n"
