"""A plan made again with other values of its parameters, by repeating its recorded calls.

A recipe is the recorded call that made a plan, with the recorded calls that made its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat.calls.named_values import param_value
from fastfeat.calls.recording import Recipe, params_of, repeat_calls
from fastfeat.errors import ArtifactError, FastfeatError, TypeMismatch, did_you_mean
from fastfeat.keep.document import plan_text
from fastfeat.keep.parameters import ALTERED
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.external_label import with_label_column


def check_known(plan: Declaration, values: Mapping[str, Any]) -> None:
    """Raise TypeMismatch for the first name that is not a parameter of the plan."""
    known = params_of(plan.recipe)
    for name in values:
        if name not in known:
            raise TypeMismatch(f"with_params({name}=...): {_unknown(name, known)}")


def with_params(plan: Declaration, recipe: Recipe, values: Mapping[str, Any]) -> Declaration:
    """Return a plan with other values of parameters; see `Plan.with_params`.

    `recipe` comes from `checked_recipe`.
    """
    given = {name: param_value(name, value) for name, value in values.items()}
    again = repeat_calls(recipe, {**params_of(plan.recipe), **given})
    return with_label_column(again, plan.label_column)


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    if not known:
        return (
            "the plan has no parameters. Write one in place of a value, such as "
            f"ff.param({name!r}, 20)"
        )
    hint = did_you_mean(name, known) or f" It has {', '.join(known)}"
    return f"the plan has no parameter {name!r}.{hint}"


def checked_recipe(plan: Declaration) -> Recipe | None:
    """Return the recipe of a plan, after a check that it makes this plan; None without parameters.

    Raises:
        ArtifactError: The recipe makes another plan.
    """
    if plan.recipe is None:
        return None
    try:
        again = repeat_calls(plan.recipe, params_of(plan.recipe))
    except FastfeatError as error:
        raise ArtifactError(f"{ALTERED} ({error})") from None
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise ArtifactError(f"{ALTERED} ({error!r})") from None
    if plan_text(with_label_column(again, plan.label_column)) != plan_text(plan):
        raise ArtifactError(ALTERED)
    return plan.recipe
