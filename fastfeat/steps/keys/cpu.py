"""The steps of keys on the CPU: codes in a vocabulary, and hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.steps.keys import cpu_hashing as hashing
from fastfeat.steps.keys.cpu_vocabulary import encode
from fastfeat.steps.step import Argument


def _encode(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    *parts, learnt = args
    return encode(
        learnt.values,
        [part.values for part in parts],
        [part.dtype for part in parts],
        params["missing"],
        params["n_unseen"],
    )


KERNELS = {"encode": _encode, **hashing.KERNELS}
