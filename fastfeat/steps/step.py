"""A row of the table of steps: a function of whole columns that no program over rows computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.engine.tasks import Task
from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, Node
from fastfeat.ir.parameters import Belongs, Parameters, always
from fastfeat.ir.writing import PrintedForm
from fastfeat.scalars.value import LargestCode, TypeRule

if TYPE_CHECKING:
    from fastfeat_kernels.lists.requests import Request as ListRequest
    from fastfeat_kernels.text.requests import Request as TextRequest

ReferenceValues = Sequence[Any]
"""A column in a reference: Python values in storage form, None if missing, never NaN."""


class StepFailed(Exception):
    """A step cannot compute its result: one row fails, or all rows together do.

    Args:
        row: Row number; None if the failure concerns all rows together.
        text: The problem and its remedy. The message puts the feature's name and the row before it.
        kind: The error class that the user sees.
    """

    def __init__(self, row: int | None, text: str, kind: type[FastfeatError] = InvalidData) -> None:
        super().__init__(row, text, kind)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a step: a column, or a value that fit has learnt, with its type."""

    values: Any
    dtype: DType


@dataclass(frozen=True, slots=True)
class StepTask(Task[Any]):
    """A request to run a step; the result is an Arrow array, or a DeviceArray in device memory.

    Args:
        call: The call of the step.
        args: The arguments: columns, stored as keys are or as in the data, and learnt values.
        dtype: Type of the result.
        n_rows: Number of rows.
    """

    call: Call
    args: Sequence[Argument]
    dtype: DType
    n_rows: int


StepReference = Callable[[Sequence[Argument], Mapping[str, Any], int], list[Any]]


OfRow = Callable[[Sequence[Argument], Mapping[str, Any]], Callable[..., Any]]
"""`(arguments, parameters) -> function of one row`.

Learnt values and columns of tables are known before any row. Arguments that belong to the row have
`values=None`. The function takes their values in order, in storage form, None if missing, and
returns the value of the step. If the reference raises an error with a text for the user, this
function may raise any error.
"""


HostStep = Callable[[Sequence[Argument], Mapping[str, Any], int], Any]
"""`(arguments, parameters, n_rows) -> Arrow array or column`; columns are stored as keys are."""


@dataclass(frozen=True, slots=True)
class LearnedArgument:
    """A value that fit learns from the arguments of a step, over all training rows.

    Args:
        origin: Returns the expression under which the value is stored; steps with equal expressions
            share the value.
        n_rounds: Highest number of passes over the data if rows are read in parts.
    """

    origin: Callable[[Call], Call]
    n_rounds: int = 1


@dataclass(frozen=True, slots=True)
class StepFunction:
    """A row of the table of steps.

    Args:
        result: Type rule: returns the type of the result from the types of the arguments, or raises
            TypeMismatch.
        reference: Slow definition in Python, which all backends must equal: `(arguments with
            columns as lists, parameters, n_rows) -> stored values`.
        always_present: Whether the result is never missing.
        without_nan: Whether a float result is never NaN; missing values are null.
        of_keys: Whether it looks up keys, which may not hold columns known only after prediction.
        host: Computation by Arrow's own functions, used by every backend; None if there is none.
        by_kernel: Returns whether a kernel, not `host`, computes a call with these parameters.
        narrow: Whether it also takes text and bytes with 32-bit offsets, without a copy.
        parameters: Parameters of each call.
        n_args: Number of arguments; None for any number that is at least `least_args`.
        least_args: See `n_args`.
        of_all_rows: Whether a row's value depends on the other rows (a subset would give another
            value), or the result is not one value per row.
        learning: The value that fit learns from the arguments, and that is passed as a further,
            last argument; None if nothing is learnt.
        in_halves: Whether the first half of the arguments are columns of the data, and the second
            half are as many columns of a table.
        ends_with: Names of functions that give a window or an order of rows; the last argument must
            be a call of one of them. Empty if there is no such rule.
        belongs: Returns whether the arguments of a call fit each other.
        check: Raises TypeMismatch if a call does not fit the types of nodes further below. A type
            rule sees the types of the arguments only.
        of_row: Faster form of the reference for one row; None to use the reference.
        request: The row of the kernels' table of requests that computes the step; None without one.
        written: How a call is written in Python.
        largest: For steps with codes as the result: returns the largest possible code.
        names_categories: Whether its integers are numbers of categories, or flags that a row has
            one.
        tells_apart: Whether the result depends on which argument values are equal. Two values that
            were rounded to the same number then count as one.
    """

    result: TypeRule
    reference: StepReference
    always_present: bool = False
    without_nan: bool = False
    of_keys: bool = False
    host: HostStep | None = None
    by_kernel: Callable[[Mapping[str, Any]], bool] | None = None
    narrow: bool = False
    parameters: Parameters = ()
    n_args: int | None = 1
    least_args: int = 0
    of_all_rows: bool = False
    learning: LearnedArgument | None = None
    in_halves: bool = False
    ends_with: tuple[str, ...] = ()
    belongs: Belongs = always
    check: Callable[[Call, Mapping[Node, DType]], None] | None = None
    of_row: OfRow | None = None
    request: TextRequest | ListRequest | None = None
    written: PrintedForm = None
    largest: LargestCode | None = None
    names_categories: bool = False
    tells_apart: bool = False


def function_of_row(
    step: StepFunction, args: Sequence[Argument], params: Mapping[str, Any]
) -> Callable[..., Any]:
    """Return a function that computes a step for one row, from the row's values; see `OfRow`."""
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
