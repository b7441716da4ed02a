"""Inputs that programs read from text columns: codes among literals, presence, and equality.

Each kind of input has three implementations: for whole columns, as kernel calls inside a prepared
call, and for the values of a single row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fastfeat.io.columns import row_values, strings
from fastfeat.ir.dtypes import BINARY, UTF8, DType
from fastfeat.ir.node import Column
from fastfeat.ir.show import names_of
from fastfeat.scalars.value import InputSlot

if TYPE_CHECKING:
    from fastfeat.engine.cpu.step_calls import StepCalls
    from fastfeat.io.arrow import DataType

Readers = Sequence[Callable[[Any], Any]]
"""One function per column, from its value in a row to text or bytes; None stays None."""


class TextSlot(NamedTuple):
    """A kind of input that is made of columns of text or bytes.

    Args:
        columns: Computes the input for whole columns, shape (n_rows,).
        calls: Returns kernel calls for columns of the given Arrow types; None if no kernel reads
            them.
        of_row: Returns a function that computes the input from the values of one row.
    """

    columns: Callable[[InputSlot, Sequence[Any], Any], Any]
    calls: Callable[[InputSlot, Sequence[DataType]], StepCalls | None]
    of_row: Callable[[InputSlot, Readers], Callable[..., Any]]


def content_type(slot: InputSlot) -> DType:
    """Return the type of the content of a slot's columns: text or bytes."""
    return BINARY if slot.kind.endswith("_bytes") else UTF8


def function_of_text(slot: InputSlot, dtypes: Sequence[DType]) -> Callable[..., Any]:
    """Return a function that computes a text input from the values of one row.

    `dtypes` are the types of the columns that it reads.
    """
    are_columns = all(isinstance(source, Column) for source in slot.sources)
    if are_columns and len(set(dtypes)) == 1:  # checked already: a text is no bytes
        readers: Readers = [_as_it_is] * len(slot.sources)
    else:
        read = partial(row_values.content_value, dtype=content_type(slot))
        readers = [partial(read, name=name) for name in names_of(slot.sources)]
    return TEXT_SLOTS[slot.kind].of_row(slot, readers)


def _as_it_is(value: Any) -> Any:
    return value


def _codes(slot: InputSlot, columns: Sequence[Any], literal_codes: Any) -> Any:
    return literal_codes(columns[0], names_of(slot.sources)[0], slot.literals)


def _codes_of_row(slot: InputSlot, readers: Readers) -> Callable[..., Any]:
    (read,) = readers
    places: dict[Any, int] = {text: k for k, text in reversed([*enumerate(slot.literals)])}

    def code(value: Any) -> int | None:
        return None if value is None else places.get(read(value), -1)

    return code


def _codes_as_calls(slot: InputSlot, types: Sequence[DataType]) -> StepCalls | None:
    from fastfeat.steps.keys import cpu_vocabulary  # where text is read

    return cpu_vocabulary.literal_calls(slot.literals, types[0])


def _presence(slot: InputSlot, columns: Sequence[Any], _: Any) -> Any:
    return strings.string_validity(columns[0], names_of(slot.sources)[0], content_type(slot))


def _presence_as_calls(slot: InputSlot, types: Sequence[DataType]) -> StepCalls | None:
    from fastfeat.steps.text.cpu import presence_calls  # where text is read

    return presence_calls(types[0], content_type(slot))


def _presence_of_row(_: InputSlot, readers: Readers) -> Callable[..., Any]:
    (read,) = readers

    def is_there(value: Any) -> bool:
        return read(value) is not None

    return is_there


def _equality(slot: InputSlot, columns: Sequence[Any], _: Any) -> Any:
    left, right = names_of(slot.sources)
    return strings.string_equal(columns[0], columns[1], left, right, content_type(slot))


def _equality_as_calls(slot: InputSlot, types: Sequence[DataType]) -> StepCalls | None:
    from fastfeat.steps.text.cpu import equality_calls  # where text is read

    return equality_calls(types, content_type(slot))


def _equality_of_row(_: InputSlot, readers: Readers) -> Callable[..., Any]:
    left, right = readers

    def are_same(one: Any, other: Any) -> bool | None:
        one, other = left(one), right(other)
        return None if one is None or other is None else one == other

    return are_same


_CODES = TextSlot(_codes, _codes_as_calls, _codes_of_row)
_VALID = TextSlot(_presence, _presence_as_calls, _presence_of_row)
_SAME = TextSlot(_equality, _equality_as_calls, _equality_of_row)
TEXT_SLOTS: Mapping[str, TextSlot] = {
    "codes": _CODES,
    "valid": _VALID,
    "valid_bytes": _VALID,
    "same": _SAME,
    "same_bytes": _SAME,
}
