"""Profiles of plans: counts of the training rows, if a fit asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import Backend
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import FastfeatError, TypeMismatch
from fastfeat.execute.batch import ComputedColumns, TrainingRows
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.inputs import column_in_host
from fastfeat.execute.row_selection import rows_to_learn_from
from fastfeat.execute.transform import transform
from fastfeat.io.arrow import Table, pa
from fastfeat.learn import training_features
from fastfeat.learn.fit import fit_on, training_row_features
from fastfeat.learn.training_data import TrainingData, prepare
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower.outputs import check_result
from fastfeat.trust.quality import profile as profiles
from fastfeat.trust.quality import table_profiles

if TYPE_CHECKING:
    from fastfeat.trust.quality.profile import Profile

ProfileChoice = bool | Literal["inputs"]
"""Scope of a profile: inputs and features (True), "inputs" only, or nothing (False)."""

NO_FEATURES = "profile='inputs' left them out"


def checked_choice(profile: object) -> ProfileChoice:
    """Return a valid `profile=` option; raises TypeMismatch for any other value."""
    if isinstance(profile, bool) or profile == "inputs":
        return profile  # pyright: ignore[reportReturnType]
    raise TypeMismatch(f"profile= takes True, False or 'inputs', got {profile!r}")


@with_ieee_arithmetic
def fit_profiled(
    plan: Declaration, rows: CallRows, *, profile: ProfileChoice, stable: Fitted | None = None
) -> Fitted:
    """Return a fitted plan with a profile of its training rows; False is for `learn.fit.fit`.

    `stable` is an earlier fitted plan; the categories that it knows keep their codes.
    """
    with_features = checked_choice(profile) is True
    transforms = with_features or rows.rows is not None
    prepared = prepare(plan, rows, stable=stable, transforms=transforms)
    wanted = rows_to_learn_from(rows.rows, prepared.table)
    fitted, training = fit_on(prepared, wanted, transforms=with_features)
    made = _profile_of_fit(fitted, prepared, training, with_features=with_features)
    return replace(fitted, profile=made)


@with_ieee_arithmetic
def fit_transform_profiled(
    plan: Declaration,
    rows: CallRows,
    *,
    profile: ProfileChoice,
    to: str = "arrow",
    categories: bool = False,
    stable: Fitted | None = None,
) -> tuple[Fitted, Any]:
    """Return the fitted plan with a profile, and the training features; see `Plan.fit_transform`.

    False is for `learn.fit.fit_transform`.
    """
    check_result(to, None, rows.backend, categories=categories, dtype=plan.dtype)
    choice = checked_choice(profile)
    prepared = prepare(plan, rows, further=plan.keep, stable=stable, transforms=True)
    wanted = rows_to_learn_from(rows.rows, prepared.table)
    fitted, training = fit_on(prepared, wanted, transforms=True)
    features = training_row_features(fitted, prepared, training, to, categories=categories)
    is_as_later = training.wanted is None and not training_features.has_folds(training.learnt_from)
    if choice is True and to == "arrow" and not categories and is_as_later:
        made = profile_of_training_rows(fitted, prepared, wanted, features)
    else:
        made = _profile_of_fit(fitted, prepared, training, with_features=choice is True)
    return replace(fitted, profile=made), features


def _profile_of_fit(
    fitted: Fitted, prepared: TrainingData, training: TrainingRows | None, *, with_features: bool
) -> Profile:
    """Return the profile of the training rows.

    `training` says which rows were fitted, and has columns that fit computed already; None means
    all rows and no such columns. With `with_features`, features are computed and profiled too.
    """
    wanted = None if training is None else training.wanted
    if not with_features:
        return profile_of_training_rows(fitted, prepared, wanted, None, NO_FEATURES)
    features, reason = None, ""
    try:
        with fitted.told.suppress_warnings():  # fit has warned already
            features = _features_as_for_later_rows(fitted, prepared, training)
    except FastfeatError as error:  # a failing feature must not fail the fit
        reason = failure_reason(error)
    return profile_of_training_rows(fitted, prepared, wanted, features, reason)


def _features_as_for_later_rows(
    fitted: Fitted, prepared: TrainingData, training: TrainingRows | None
) -> Table:
    """Return the features of training rows as `transform` computes them for later rows.

    The features of `fit_transform` are out of fold, so their distribution differs from later rows.
    """
    plan = replace(fitted.declaration, keep=())
    bare = replace(fitted, declaration=plan) if fitted.declaration.keep else fitted
    known: ComputedColumns = {}
    if training is not None:
        if training.wanted is not None:
            return training_features.later_features(bare, training, training.wanted, "arrow")
        if training.is_learnt is None and not training_features.has_folds(training.learnt_from):
            known = training.learnt_from.made
    return transform(bare, prepared.again, known=known)


def failure_reason(error: FastfeatError) -> str:
    """Return the text that says why a profile has no features, from the error of computing them."""
    return f"computing them for training rows fails: {str(error).partition(chr(10))[0]}"


def profile_of_training_rows(
    fitted: Fitted,
    prepared: TrainingData,
    wanted: NDArray[np.int64] | None,
    features: Table | None,
    no_features: str = "",
) -> Profile:
    """Return the profile of the training rows, with edges and categories from a sample of them.

    `wanted` is the row numbers passed to fit, in their order; None for all rows. If `features` is
    None, `no_features` says why.
    """
    own = host_table(prepared.table, fitted.inputs, prepared.rows.backend)
    rows = own if wanted is None else table_profiles.take_places(own, wanted)
    return table_profiles.profile_of_tables(fitted, rows, features, no_features)


def host_table(table: Any, names: Iterable[str], backend: Backend) -> Table:
    """Return the columns of a table that are in `names`, in host memory."""
    columns = set(table.column_names)
    there = [name for name in names if name in columns]
    if isinstance(table, pa.Table):
        return table.select(there)
    return pa.table({name: column_in_host(table.column(name), backend) for name in there})


def profile_face(fitted: Fitted) -> Profile | None:
    """Return the profile of the training rows, without features that the plan no longer has.

    None if the plan keeps no profile.

    Raises:
        ArtifactError: The profile is damaged, or of another plan.
    """
    match fitted.profile:
        case None:
            return None
        case profiles.Profile() as profile:
            pass
        case bytes() as content:
            profile = profiles.Profile.from_bytes(content)
            table_profiles.check_profile_of_plan(profile, fitted)
        case other:
            profile = profiles.Profile.from_bytes(other.to_bytes())
    inputs = {name: one for name, one in profile.inputs.items() if name in fitted.inputs}
    features = {name: one for name, one in profile.features.items() if name in fitted.nodes}
    if len(inputs) + len(features) == len(profile.inputs) + len(profile.features):
        return profile
    return profiles.profile_of_columns(inputs, features, profile.n_rows, profile.no_features)
