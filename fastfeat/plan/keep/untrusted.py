"""The check of what a plan holds that came from outside: nothing else may come to a kernel.

A kernel reads the tables of what is learnt per key by codes that it does not check, so that a call
must have such parameters and arguments as operators give: what these are says the row of its
function.
"""

from __future__ import annotations

from fastfeat.aggregates import AGGREGATES
from fastfeat.errors import ArtifactError
from fastfeat.ir.node import GROUPS_AND_MISSING, Aggregate, Call, Node
from fastfeat.ir.parameters import are_valid
from fastfeat.ir.scope import is_over
from fastfeat.scalars import SCALARS
from fastfeat.scalars.categories import leaves_out_few
from fastfeat.steps.lists.rows import is_exploded
from fastfeat.steps.registry import PARTS_OF_WINDOWS, STEPS


def check_call(call: Call) -> None:
    """Raise where no operator makes such a call.

    Raises:
        ArtifactError: its parameters, or its arguments, are others.
    """
    function, args = call.function, call.args
    row = SCALARS.get(function) or STEPS[function]
    if not are_valid(row.parameters, call.params):
        raise ArtifactError(f"{call.params!r} are no parameters of {function!r}")
    in_halves = function in STEPS and STEPS[function].in_halves
    is_number = row.n_args == len(args) if row.n_args is not None else row.least_args <= len(args)
    if not is_number or (in_halves and len(args) % 2):
        raise ArtifactError(f"{function!r} has {len(args)} arguments")
    if any(map(is_exploded, args)):
        raise ArtifactError(f"{function!r} has elements of lists as an argument, not rows")
    check_windows(function, args)
    if not row.belongs(call):
        if is_over(call):
            raise ArtifactError(f"{call.params!r}, {args!r} are not those of {function!r}")
        raise ArtifactError(f"the arguments of {function!r} do not belong together")


def check_groups(aggregate: Aggregate) -> None:
    """Raise where no operator makes such an aggregate per group.

    Raises:
        ArtifactError: its folds, or its groups, are not those that its parameters tell of.
    """
    if not _are_groups(aggregate):
        raise ArtifactError(f"the groups of {aggregate.function!r} are made in another way")
    belongs = AGGREGATES[aggregate.function].belongs
    if belongs is not None and not belongs(aggregate):
        raise ArtifactError(f"the folds of {aggregate.function!r} are made in another way")
    if any(map(is_exploded, aggregate.args)):
        raise ArtifactError(f"{aggregate.function!r} learns from elements of lists, not of rows")


def _are_groups(aggregate: Aggregate) -> bool:
    """Return whether the vocabulary of the groups leaves out those of fewer rows than is said."""
    match aggregate.args[1]:
        case Call("encode", (*_, Aggregate("vocabulary", _, learnt))):
            least = dict(learnt)["min_frequency"]
            of_target = aggregate.frame == GROUPS_AND_MISSING
            is_told = not of_target or least == dict(aggregate.params).get("min_rows")
            return is_told and leaves_out_few(learnt)
        case _:
            return False


def check_windows(function: str, args: tuple[Node, ...]) -> None:
    """Raise where a window, or the order that it is of, stands as a value."""
    last = STEPS[function].ends_with if function in STEPS else ()
    for k, arg in enumerate(args):
        if not isinstance(arg, Call) or arg.function not in PARTS_OF_WINDOWS:
            continue
        if arg.function not in last or k != len(args) - 1:
            raise ArtifactError(f"{function!r} has {arg.function!r} as an argument")
