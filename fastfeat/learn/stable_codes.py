"""Stable codes: a new fit keeps the integer codes of categories from an earlier fit.

A vocabulary lists the categories that a fit has learned, with their codes.
"""

from __future__ import annotations

from typing import Any

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.execute.fitted import Fitted
from fastfeat.io.columns.keys import key_type
from fastfeat.ir.node import Aggregate, Call
from fastfeat.ir.show import show
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower.lower import NodeTypes


def stable_vocabularies(
    plan: Declaration, types: NodeTypes, old: Fitted
) -> dict[Aggregate, Vocabulary]:
    """Return the vocabularies of an earlier fit, by the aggregate that learns them in the new fit.

    Vocabularies correspond if they have the same key; limits on the number or rarity of categories
    may differ. Vocabularies that only number groups of rows are left out. `types` has the type of
    each node of the plan.

    Raises InvalidPlan if the number of codes for unseen categories differs, or if there are more
    categories than the plan allows. Raises TypeMismatch if the type of the key has changed.
    """
    held: dict[Aggregate, Vocabulary] = {}
    before = code_plans.visible_codes(old.declaration.nodes.values())
    for codes in code_plans.visible_codes(plan.nodes.values()):
        learnt = codes.args[-1]
        if not isinstance(learnt, Aggregate):
            continue  # the plan lists the categories in their order
        same_key = [one for one in before if _key_of(one) == _key_of(codes)]
        alike = [one for one in same_key if _n_unseen(one) == _n_unseen(codes)]
        if same_key and not alike:
            raise InvalidPlan(
                f"stable=: {show(codes)}: the number of codes for unseen categories is "
                f"{_n_unseen(codes)}, but was {_n_unseen(same_key[0])}, so no code can be kept. "
                "Use the earlier n_unseen_buckets=, or leave out stable="
            )
        if alike:
            exact = [one for one in alike if one.args[-1] is learnt]
            held[learnt] = _vocabulary(codes, (exact or alike)[0], types, old)
    return held


def _key_of(codes: Call) -> Any:
    """Return the parts by which two encodings correspond: function, key and option `missing`."""
    return codes.function, codes.args[:-1], dict(codes.params)["missing"]


def _n_unseen(codes: Call) -> int:
    return int(dict(codes.params)["n_unseen"])


def _vocabulary(codes: Call, before: Call, types: NodeTypes, old: Fitted) -> Vocabulary:
    """Return the vocabulary of an encoding in the earlier fit, after a check that codes can stay.

    Raises InvalidPlan or TypeMismatch if the new codes cannot continue it.
    """
    learnt = codes.args[-1]
    assert isinstance(learnt, Aggregate)
    found = code_plans.vocabulary_of_codes(before, old.learnt, old.types)
    for key, part in zip(learnt.args, found.parts, strict=True):
        if part.type != key_type(types[key]):
            raise TypeMismatch(
                f"stable=: {show(key)} is {types[key]}, but its categories were learnt as "
                f"{old.types.get(key, part.type)}, so they cannot keep their codes. Cast the "
                "column, or leave out stable="
            )
    most = dict(learnt.params)["max_categories"]
    if most is not None and len(found) > most:
        raise InvalidPlan(
            f"stable=: {show(codes)} has max_categories={most}, but {len(found)} categories have a "
            "code already. Increase max_categories=, or leave out stable="
        )
    return found
