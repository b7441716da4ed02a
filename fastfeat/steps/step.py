"""A row of the table of steps: a function of whole columns that no kernel over rows computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastfeat.engine.tasks import Task
from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, Node
from fastfeat.ir.parameters import Belongs, Parameters, always
from fastfeat.ir.writing import Form
from fastfeat.scalars.value import LargestCode, TypeRule

if TYPE_CHECKING:
    from fastfeat_kernels.lists.requests import Request as ListRequest
    from fastfeat_kernels.text.requests import Request as TextRequest

Values = Sequence[Any]
"""A column in a reference: Python values as they are stored, None where missing, never NaN."""


class StepFailed(Exception):
    """A row, or all rows, that a step cannot compute.

    Args:
        row: its number; None where it is all of them together.
        text: what is wrong and what to do, after the name of the feature and the row.
        kind: the error that a user is told.
    """

    def __init__(self, row: int | None, text: str, kind: type[FastfeatError] = InvalidData) -> None:
        """See the class for the arguments."""
        super().__init__(row, text, kind)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a step: a column, or a learnt value, with its type."""

    values: Any
    dtype: DType


@dataclass(frozen=True, slots=True)
class StepTask(Task[Any]):
    """A step: the column that it makes, Arrow's or one in the memory of a device.

    Args:
        call: of the step.
        args: columns, as keys or as data has them, and what fit has learnt.
        dtype: the type of the result.
        n_rows: number of rows.
    """

    call: Call
    args: Sequence[Argument]
    dtype: DType
    n_rows: int


Reference = Callable[[Sequence[Argument], Mapping[str, Any], int], list[Any]]


OfRow = Callable[[Sequence[Argument], Mapping[str, Any]], Callable[..., Any]]
"""From what is known before any row to a function of one row.

Of the arguments, what fit has learnt and columns of tables are known; those of the row have None
for values. The function takes the values of these, in order, as they are stored, None where
missing, and gives that of the step. It raises what it will where the reference tells what is wrong.
"""


HostStep = Callable[[Sequence[Argument], Mapping[str, Any], int], Any]
"""From the arguments (columns of Arrow, as keys are stored) to an Arrow array or column."""


@dataclass(frozen=True, slots=True)
class Learning:
    """A value that a step needs to be learnt of its arguments first, of all training rows.

    Args:
        origin: the expression that tells which value it is, from the step; several may share one.
        n_rounds: in how many passes over rows in parts it is learnt, at most.
    """

    origin: Callable[[Call], Call]
    n_rounds: int = 1


@dataclass(frozen=True, slots=True)
class StepFunction:
    """A row of the table of steps.

    Args:
        result: the type rule, as that of a scalar function.
        reference: its meaning: from the arguments (columns as lists), the parameters and the number
            of rows, the values as they are stored.
        always_present: whether no value of the result is missing.
        without_nan: whether no float of its result is NaN: it is null where missing.
        of_keys: whether it looks keys up, which nothing that is known too late may enter.
        host: where Arrow's own functions compute it, on every backend alike: that computation.
        narrow: whether it takes text and bytes with offsets of 32 bits too, which are not copied.
        parameters: those of each call.
        n_args: how many arguments it has; None for any number from `least_args` on.
        least_args: see `n_args`.
        of_all_rows: whether the value of a row depends on which other rows there are, so that it is
            another one among some of them, or the result has not a value a row.
        learning: what is learnt of the arguments before, and given behind them; None of nothing.
        in_halves: whether its arguments are as many of the data as, after them, of a table.
        ends_with: the functions of windows of which its last argument is one.
        belongs: whether the arguments of a call belong together.
        check: what raises TypeMismatch where a call does not fit the types of what it is computed
            from, of which a type rule sees those of its arguments alone.
        of_row: the same as the reference of one row, faster; without it that is the reference.
        request: what it asks of hand-written kernels, where their folder has a table of that.
        written: how a call is written in Python.
        largest: of codes, the largest one, as that of a scalar function.
        names_categories: whether its integers are numbers of categories, or say that a row has one.
        tells_apart: as of a scalar function.
    """

    result: TypeRule
    reference: Reference
    always_present: bool = False
    without_nan: bool = False
    of_keys: bool = False
    host: HostStep | None = None
    narrow: bool = False
    parameters: Parameters = ()
    n_args: int | None = 1
    least_args: int = 0
    of_all_rows: bool = False
    learning: Learning | None = None
    in_halves: bool = False
    ends_with: tuple[str, ...] = ()
    belongs: Belongs = always
    check: Callable[[Call, Mapping[Node, DType]], None] | None = None
    of_row: OfRow | None = None
    request: TextRequest | ListRequest | None = None
    written: Form = None
    largest: LargestCode | None = None
    names_categories: bool = False
    tells_apart: bool = False


def function_of_row(
    step: StepFunction, args: Sequence[Argument], params: Mapping[str, Any]
) -> Callable[..., Any]:
    """Return the function of one row that a step is; see `OfRow` for arguments and result."""
    if step.of_row is not None:
        return step.of_row(args, params)

    def by_reference(*values: Any) -> Any:
        given = iter(values)
        columns = [
            Argument([next(given)], known.dtype) if known.values is None else known
            for known in args
        ]
        return step.reference(columns, params, 1)[0]

    return by_reference
