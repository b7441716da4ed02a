"""Sizes of the embedding layers for a plan's columns of codes."""

from __future__ import annotations

from collections.abc import Mapping

from fastfeat.api.plan import FittedPlan
from fastfeat.calls import checks
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import TypeMismatch
from fastfeat.integrations.torch.batches import FeatureBatches


@with_argument_errors_as("", {})
def embedding_sizes(
    codes: FeatureBatches | FittedPlan | Mapping[str, int], *, widest: int = 600
) -> dict[str, tuple[int, int]]:
    """Return the size (rows, columns) of an embedding layer for each column of codes, by name.

    Args:
        codes: A fitted plan; `FeatureBatches` (the result lists bags last); or a dict of column
            name to number of codes.
        widest: The maximum number of columns of a layer.

    Source:
        The rule of fast.ai: 1.6 n ** 0.56 columns for n codes.

    Example:
        >>> embedding_sizes({"carrier": 18, "tail": 4000}, widest=50)
        {'carrier': (18, 8), 'tail': (4000, 50)}
    """
    widest = checks.whole_number("embedding_sizes", "widest", widest, 1)
    match codes:
        case FeatureBatches():
            counts = codes.n_codes | codes.n_bag_codes
        case FittedPlan():
            counts = codes.record.n_codes
        case Mapping():
            counts = dict(codes)
        case _:
            raise TypeMismatch(
                "embedding_sizes: takes FeatureBatches, a fitted plan, or a dict of counts, got "
                f"{type(codes).__name__}"
            )
    return {name: (n, min(widest, round(1.6 * n**0.56))) for name, n in counts.items()}
