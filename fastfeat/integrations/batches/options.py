"""The user's options for batches: checked, and converted to the parts of a `BatchStream`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fastfeat.api.plan import FittedPlan
from fastfeat.calls import checks
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch
from fastfeat.integrations.batches.blocks import BlockContents, Float, contents_of
from fastfeat.integrations.batches.epochs import Division, Even
from fastfeat.integrations.batches.streams import ShuffleOptions
from fastfeat.plan.declare.arguments import resolve_names

BatchForm = Literal["dict", "matrix"]
_NAME = "FeatureBatches"
_DIFFERS = {"plan": "it has another plan", "data": "it has other data"}


def resolve_contents(
    fitted: FittedPlan,
    label: str | bool | None,
    codes: Mapping[str, int] | None,
    bags: Sequence[str],
    keep: Sequence[str] | None,
    form: str,
    dtype: str,
) -> BlockContents:
    """Return the columns of batches for the arguments of a user, after checking them."""
    if not isinstance(fitted, FittedPlan):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(
            f"{_NAME}: takes a fitted plan, got {type(fitted).__name__}. Write "
            "FeatureBatches(plan.fit(train), data)"
        )
    if codes is not None and not isinstance(codes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(
            f"{_NAME}: codes= takes the number of codes by column, {{'city': 12}}, got {codes!r}"
        )
    floats: tuple[Float, ...] = ("float32", "float64")
    return contents_of(
        fitted,
        codes=codes,
        bags=resolve_names(bags, "bags"),
        label=label,
        keep=None if keep is None else resolve_names(keep, "keep"),
        dtype=checks.choice(_NAME, "dtype", dtype, floats),
        as_matrix=checks.choice(_NAME, "form", form, ("dict", "matrix")) == "matrix",
    )


def resolve_mixing(shuffle: bool, seed: int, mix: int) -> ShuffleOptions:
    """Return the options for shuffling, after checking them."""
    return ShuffleOptions(
        checks.switch(_NAME, "shuffle", shuffle),
        checks.whole_number(_NAME, "seed", seed, 0),
        checks.whole_number(_NAME, "mix", mix, 1),
    )


def resolve_division(
    n_rows: int, batch_size: int, drop_last: bool, even: Even, rank: int, world_size: int
) -> Division:
    """Return the division of rows into ranks and batches, after checking the arguments."""
    if even is not None:
        checks.choice(_NAME, "even", even, ("pad", "drop"))
    world_size = checks.whole_number(_NAME, "world_size", world_size, 1)
    return Division(
        n_rows,
        checks.whole_number(_NAME, "batch_size", batch_size, 1),
        checks.switch(_NAME, "drop_last", drop_last),
        checks.whole_number(_NAME, "rank", rank, 0, world_size - 1),
        world_size,
        even,
    )


def resolve_ranks(
    rank: int | None, world_size: int | None, found: tuple[int, int]
) -> tuple[int, int]:
    """Return the rank of this process and the number of ranks, given by the user or else found.

    Args:
        rank: The user's argument.
        world_size: The user's argument.
        found: The pair that torch or the environment tells.
    """
    if rank is None and world_size is None:
        return found
    if rank is None or world_size is None:
        raise InvalidPlan(
            f"{_NAME}(rank={rank}, world_size={world_size}): pass both, or neither if "
            "torch.distributed has them"
        )
    return rank, world_size


def resolve_state(state: Any, settings: Mapping[str, Any], n_batches: int) -> tuple[int, int]:
    """Return the epoch of a saved loader state, and the number of batches given in that epoch.

    `settings` and `n_batches` describe the loader that continues.

    Raises:
        InvalidData: The state belongs to another loader, or is not a state.
    """
    match state:
        case {"epoch": int(epoch), "batches": int(n_given), "of": dict()} if epoch >= 0:
            of: dict[str, Any] = state["of"]
        case _:
            raise InvalidData(f"this is not a state of a FeatureLoader: {_shortened(state)}")
    for name, now in settings.items():
        if of.get(name) != now:
            told = _DIFFERS.get(name) or f"{name} was {of.get(name)!r}, and is now {now!r}"
            raise InvalidData(
                f"the state is from another loader: {told}, so the order of rows is different. "
                f"Create the loader as it was, or start an epoch: loader.set_epoch({epoch + 1})"
            )
    if not 0 <= n_given <= n_batches:
        raise InvalidData(f"the state is after batch {n_given}, but an epoch has {n_batches}")
    return epoch, n_given


def _shortened(state: object) -> str:
    return text if len(text := repr(state)) < 80 else f"a {type(state).__name__}"
