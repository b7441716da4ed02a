"""The CPU kernel of the step "encode": the code of each row's key in a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.engine.cpu.step_calls import StepCalls
from fastfeat.io.arrow import DataType
from fastfeat.steps.keys.cpu_vocabulary import encode, encode_calls
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


KERNELS = {"encode": _encode}


def _encode_calls(
    args: Sequence[Argument], given: Sequence[DataType], params: Mapping[str, Any]
) -> StepCalls | None:
    *parts, learnt = args
    dtypes = [part.dtype for part in parts]
    return encode_calls(learnt.values, given, dtypes, params["missing"], params["n_unseen"])


CALLS = {"encode": _encode_calls}
"""Steps as calls of kernels, for columns of the given Arrow types; None if not possible."""
