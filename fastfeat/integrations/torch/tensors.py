"""Blocks (dicts of arrays) as tensors, and torch itself, which only this module imports."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.integrations.batches.blocks import DENSE
from fastfeat.integrations.batches.columns import LABEL, Block
from fastfeat.integrations.library import library

torch = library("torch")
torch_data = torch.utils.data


def as_dict(block: Block) -> dict[str, Any]:
    """Return a block as a batch: a dict of tensors by kind, such as "dense" and "codes"."""
    batch: dict[str, Any] = {}
    for (kind, name), values in block.items():
        match kind:
            case "bags":
                batch.setdefault(kind, {})[name] = _bag(values)
            case "keep":
                batch.setdefault(kind, {})[name] = _kept(values)
            case _:
                batch[kind] = torch.from_numpy(values)
    return batch


def as_matrix(block: Block) -> Any:
    """Return a block's features as a matrix; with a label, the pair (matrix, label)."""
    matrix = torch.from_numpy(block[DENSE])
    return (matrix, torch.from_numpy(block[LABEL])) if LABEL in block else matrix


def _bag(codes: NDArray[np.int64]) -> dict[str, Any]:
    """Return the codes of lists in the form of torch's EmbeddingBag: all codes, and list offsets.

    The input has shape (n_rows, width); its code 0 marks absent elements, which are dropped.
    """
    there = codes != 0
    n_before = np.cumsum(there.sum(axis=1)) - there.sum(axis=1)
    return {"codes": torch.from_numpy(codes[there]), "offsets": torch.from_numpy(n_before)}


def _kept(values: Any) -> Any:
    """Return a kept column as a tensor, or as a list if its type is not a number."""
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else values.to_pylist()


def in_shared_memory(block: Block) -> Block:
    """Return a block with its NumPy arrays copied to tensors in memory that processes share."""
    return {
        key: torch.from_numpy(of).share_memory_() if isinstance(of, np.ndarray) else of
        for key, of in block.items()
    }


def in_place(block: Block) -> Block:
    """Return a block with its tensors as NumPy arrays over the same memory."""
    return {key: of.numpy() if isinstance(of, torch.Tensor) else of for key, of in block.items()}


def rank_and_world_size() -> tuple[int, int]:
    """Return the number of this process, and the number of processes that train the same model."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:  # set by torchrun
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return 0, 1
