"""Programs over rows in exported C: their operations, tables and outputs, and the costs of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import Any

from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.program import Constants, Output, Program, with_own_operations
from fastfeat.engine.storage import table_array
from fastfeat.export.c.layout import RowStruct
from fastfeat.export.c.operations import literal, render
from fastfeat.ir.node import postorder
from fastfeat.scalars import op
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import (
    LARGE_ARGUMENT,
    NEGATIVE_POWER,
    NOT_IN_MAPPING,
    OVERFLOW,
    TableKey,
)

MOST_OPERATIONS = 400
"""Operations of one function; a compiler takes long for longer ones."""
_KEPT = ~LARGE_ARGUMENT
CODES = ((OVERFLOW | NEGATIVE_POWER, 1), (NOT_IN_MAPPING, 4))
"""Bits of a status, and the code of the error; any other bit is OUT_OF_RANGE."""


@dataclass(slots=True)
class CArrays:
    """The tables of an export: arrays in read-only data, each once.

    Args:
        prefix: Beginning of their names.
        texts: The definition of each table.
    """

    prefix: str = "ff_t"
    texts: list[str] = field(default_factory=list[str])
    names: dict[tuple[str, bytes], str] = field(default_factory=dict[tuple[str, bytes], str])
    """Name of each table, by its type and bytes."""
    n_bytes: dict[str, int] = field(default_factory=dict[str, int])
    """Bytes of each table, by name."""

    def array(self, values: NDArray[Any], c_type: str) -> str:
        """Return the name of an array with these values; an empty one has one element."""
        key = c_type, values.tobytes()
        if key not in self.names:
            name = f"{self.prefix}{len(self.names)}"
            physical = "f64" if values.dtype.kind == "f" else "i64"
            items: list[Any] = values.tolist() or [0]
            items = [float(v) for v in items] if physical == "f64" else [int(v) for v in items]
            if c_type in ("double", "int64_t"):
                texts = [literal(value, physical) for value in items]
            else:
                texts = [f"UINT64_C(0x{value:x})" if value > 255 else str(value) for value in items]
            self._add(key, name, f"static const {c_type} {name}[{len(items)}] = {{", texts)
            self.n_bytes[name] = max(1, values.nbytes)
        return self.names[key]

    def bytes(self, content: bytes) -> str:
        """Return the name of an array of char with these bytes."""
        key = "char", content
        if key not in self.names:
            name = f"{self.prefix}{len(self.names)}"
            items = [str(byte if byte < 128 else byte - 256) for byte in content or b"\0"]
            self._add(key, name, f"static const signed char {name}[{len(items)}] = {{", items)
            self.n_bytes[name] = len(items)
        return self.names[key]

    def _add(self, key: tuple[str, bytes], name: str, head: str, items: Sequence[str]) -> None:
        lines = [head, *(f"    {line}," for line in _filled(items)), "};", ""]
        self.names[key] = name
        self.texts.append("\n".join(lines))


def _filled(items: Sequence[str], width: int = 92) -> Iterator[str]:
    """Yield lines of items with commas between them."""
    line: list[str] = []
    length = 0
    for item in items:
        if line and length + len(item) + 2 > width:
            yield ", ".join(line)
            line, length = [], 0
        line.append(item)
        length += len(item) + 2
    if line:
        yield ", ".join(line)


@dataclass(slots=True)
class ProgramText:
    """A program being written: its values of a row, its constants, and the tables of the export."""

    program: Program
    constants: Constants
    struct: RowStruct
    tables: CArrays
    outputs: list[Output] = field(init=False)

    def __post_init__(self) -> None:
        """Give each output its own operations."""
        self.outputs = [with_own_operations(output) for output in self.program.outputs]

    def leaf(self, node: Op) -> str:
        """Return the text of a leaf: a field of the struct, a constant, or a table."""
        match node.name:
            case "input":
                return f"v->{self.struct.fields[node.value].value}"
            case "input_ok":
                return f"v->{self.struct.fields[node.value].flag}"
            case "parameter":
                return literal(self.constants.parameters[node.value], node.physical)
            case "table":
                return self.table(node.value)
            case _:
                raise AssertionError(f"{node.name} is no leaf")

    def table(self, key: TableKey) -> str:
        """Return the name of a table that the program reads."""
        values = table_array(key, self.constants)
        return self.tables.array(values, "double" if values.dtype.kind == "f" else "int64_t")

    def chunks(self) -> Iterator[list[int]]:
        """Yield places of outputs that one function computes; they share operations."""
        group: list[int] = []
        n_operations = 0
        for place, output in enumerate(self.outputs):
            n_own = n_operations_of([output])
            if group and n_operations + n_own > MOST_OPERATIONS:
                yield group
                group, n_operations = [], 0
            group.append(place)
            n_operations += n_own
        if group:
            yield group

    def functions(
        self,
        name: str,
        store: Callable[[int, Output], Stored],
        failing: Callable[[int], int],
        head: str,
    ) -> Iterator[tuple[str, str]]:
        """Yield (name, text) of the functions that compute the outputs.

        Args:
            name: Beginning of their names.
            store: Returns the operations to compute for an output, and the text that stores them.
            failing: Returns the number of the feature that an error of an output names.
            head: The parameters of each function.
        """
        for k, places in enumerate(self.chunks()):
            stored = {place: store(place, self.outputs[place]) for place in places}
            roots = [self.outputs[place].status for place in places]
            roots += [one for s in stored.values() for one in s.operations]
            found = render(roots, self.leaf, {})
            lines = [*found.lines]
            for place in places:
                status = self.outputs[place].status
                if status.name != "literal":
                    text, feature = found.names[status], failing(place)
                    lines.append(f"if ({text} & {literal(_KEPT, 'i64')})")
                    lines.append(f"    return ff_fail(error, ff_code({text}), {feature}, -1);")
                lines += stored[place].write([found.names[one] for one in stored[place].operations])
            body = "\n".join(f"    {line}" for line in lines)
            first = f"static int32_t {name}{k}({head})\n{{\n    (void)v, (void)error;\n"
            yield f"{name}{k}", f"{first}{body}\n    return 0;\n}}\n"


@dataclass(frozen=True, slots=True)
class Stored:
    """The operations whose results an output stores, and the statements that store them."""

    operations: tuple[Op, ...]
    write: Callable[[Sequence[str]], list[str]]


def n_operations_of(outputs: Sequence[Output]) -> int:
    """Return the number of operations of some outputs, leaves not counted."""
    roots = [part for o in outputs for part in (o.op, o.ok, o.status)]
    return sum(1 for node in postorder(roots) if node.args)


def matrix_store(place: int, output: Output) -> Stored:
    """Return how an output is stored in `out`: rounded to its type, missing as one NaN."""
    value = output.op
    if value.physical != "f64":
        number = op.from_bool(value) if value.physical == "b1" else value
        return Stored((number,), lambda names: [f"out[{place}] = (double){names[0]};"])
    value = op.round_to_type(value, output.dtype)
    is_there = op.is_number(value) & output.ok
    chosen = op.select(is_there, value, op.NAN)
    return Stored((chosen,), lambda names: [f"out[{place}] = {names[0]};"])


def code_function() -> str:
    """Return the function from a status to the code of the error."""
    tests = "\n".join(
        f"    if (status & {literal(bits, 'i64')})\n        return {code};" for bits, code in CODES
    )
    return f"static int32_t ff_code(int64_t status)\n{{\n{tests}\n    return 2;\n}}\n"
