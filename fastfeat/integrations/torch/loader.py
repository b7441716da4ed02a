"""`FeatureLoader`: a DataLoader of batches that counts what it has given, and can go on there."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from fastfeat.arguments import explaining_methods
from fastfeat.checks import choice, switch, whole_number
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.integrations.batches.options import state_given
from fastfeat.integrations.batches.pieces import BatchPieces
from fastfeat.integrations.batches.streams import Computed
from fastfeat.integrations.torch.batches import FeatureBatches, n_batches_text
from fastfeat.integrations.torch.tensors import torch, torch_data

_LOST = (EOFError, ConnectionError, FileNotFoundError)
"""What it looks like where a worker dies as the tensors of a batch are fetched from it."""


@explaining_methods(lambda _: "loader.", {"__init__": {}})
class FeatureLoader:
    """A DataLoader of batches, which counts what it has given, and can go on from there.

    Each pass is an epoch; a pass that is broken off is over, unless its state is loaded again.
    Workers stay alive between epochs. Its length is the number of batches of this rank.

    The state is that of the batches which the loop was given, not of those that workers made ahead:
    a loop that has learnt from a batch and then stops goes on with the next one. It is a dict of
    texts and numbers, and one for all ranks.

    Where a worker dies, or raises, the loop raises, and the loader can be used again: from where it
    was by `loader.load_state_dict(loader.state_dict())`.

    Args:
        batches: the data set; its own epoch is not touched.
        num_workers: how many processes read and transform; 0 is this one.
        context: "fork", "forkserver" or "spawn"; None is the one that Python takes. All but "fork"
            import your script, whose code must stand below `if __name__ == "__main__":`, and copy a
            table in memory to each worker.
        pin_memory: whether tensors are in pinned memory; None says so where torch has a card.
        prefetch_factor: how many batches each worker is ahead.

    Example:
        >>> fitted = ff.Plan({"x": col("x") * 2}).fit({"x": [1.0]})
        >>> loader = FeatureBatches(fitted, {"x": [1.0] * 10}, 4).loader()
        >>> for batch in loader:
        ...     break
        >>> state = loader.state_dict()
        >>> state["epoch"], state["batches"], len(loader)
        (0, 1, 3)
        >>> loader.load_state_dict(state)
        >>> len([*loader])
        2
    """

    def __init__(
        self,
        batches: FeatureBatches,
        *,
        num_workers: int = 0,
        context: str | None = None,
        pin_memory: bool | None = None,
        prefetch_factor: int = 2,
    ) -> None:
        """See the class for the arguments."""
        if not isinstance(batches, FeatureBatches):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise TypeMismatch(
                f"FeatureLoader: takes FeatureBatches, got {type(batches).__name__}. A DataLoader "
                "of torch takes any data set"
            )
        name = "FeatureLoader"
        n_workers = whole_number(name, "num_workers", num_workers, 0)
        pins = torch.cuda.is_available() if pin_memory is None else pin_memory
        self._options: dict[str, Any] = {"batch_size": None, "num_workers": n_workers}
        self._options["pin_memory"] = switch(name, "pin_memory", pins)
        if context is not None:
            choice(name, "context", context, multiprocessing.get_all_start_methods())
        if n_workers:
            ahead = whole_number(name, "prefetch_factor", prefetch_factor, 1)
            self._options |= {"persistent_workers": True, "prefetch_factor": ahead}
            self._options["multiprocessing_context"] = context
            _check_picklable(batches, context)
        self._batches = batches.copy()
        self._loader: Any = None  # made when it is needed, and anew after a worker died
        self._epoch, self._n_given, self._is_next, self._pass = 0, 0, True, 0

    @property
    def batches(self) -> FeatureBatches:
        """The data set, whose `n_codes` a model is made by.

        Not named `dataset`: Lightning warns of what has that and a length, which is right here.
        """
        return self._batches

    @property
    def epoch(self) -> int:
        """The number of the epoch that is given, or was given last."""
        return self._epoch

    def __len__(self) -> int:
        """Return how many batches an epoch has, for this rank."""
        return self._batches.n_batches

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next epoch, or the others of one that was resumed."""
        if self._n_given and not self._is_next:
            self._epoch, self._n_given = self._epoch + 1, 0
        self._is_next = False
        self._pass += 1
        this_pass = self._pass
        self._batches.begin_at(self._epoch, self._n_given)
        if self._loader is None:
            self._loader = torch_data.DataLoader(self._batches, **self._options)
        batches = iter(self._loader)
        while (batch := self._following(batches, this_pass)) is not None:
            self._n_given += 1
            yield batch

    def _following(self, batches: Iterator[Any], this_pass: int) -> Any:
        """Return the next batch of a pass; None after the last."""
        if self._pass != this_pass:  # its workers give the later one's
            raise RuntimeError("a later pass over this loader has begun, which ends this one")
        try:
            return next(batches, None)
        except Exception as error:
            self._loader = None
            _end_workers(batches)
            raise self._told(error) from error.__cause__

    def _told(self, error: Exception) -> Exception:
        """Return an error that ends a pass, with what to do; that of a dead worker by its name."""
        if isinstance(error, _LOST) and not str(error).startswith("Caught "):  # raised in a worker
            error = RuntimeError("a DataLoader worker has died, or was killed, as it gave a batch")
        error.add_note(
            f"in epoch {self._epoch}, after {n_batches_text(self._n_given)}. To go on there: "
            "loader.load_state_dict(loader.state_dict())"
        )
        return error

    def set_epoch(self, epoch: int) -> None:
        """Set which epoch comes next; one that was resumed goes on where it was.

        Args:
            epoch: its number, from 0.
        """
        epoch = whole_number("FeatureLoader", "epoch", epoch, 0)
        if not (self._is_next and epoch == self._epoch):
            self._epoch, self._n_given, self._is_next = epoch, 0, True

    def state_dict(self) -> dict[str, Any]:
        """Return where the loop is: an epoch, the batches given in it, and of what they are."""
        is_over = self._n_given >= len(self) and not self._is_next
        return {
            "epoch": self._epoch + is_over,
            "batches": 0 if is_over else self._n_given,
            "of": self._settings,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a loader was: the next pass gives the batches that it had not given.

        Args:
            state: what `state_dict` gave, of a loader of the same plan, data, options, and number
                of workers and ranks.

        Raises:
            InvalidData: it is of another loader, or no such state; says what differs.
        """
        epoch, n_given = state_given(state, self._settings, len(self))
        self._epoch, self._n_given, self._is_next = epoch, n_given, True

    @cached_property
    def _settings(self) -> dict[str, Any]:
        settings = self._batches.stream.settings()
        return {**settings, "num_workers": self._options["num_workers"]}


def _end_workers(batches: Any) -> None:
    """End the workers of a pass that failed.

    Torch does so when the pass is deleted, which the error keeps from it. Until then the death of a
    worker may raise at any line of this process, by a signal.
    """
    with suppress(Exception):
        getattr(batches, "_shutdown_workers", lambda: None)()


def _check_picklable(batches: FeatureBatches, context: str | None) -> None:
    """Raise where workers cannot be given the function that opens a reader."""
    rows = batches.stream.rows
    forks = (context or multiprocessing.get_start_method()) == "fork"
    if forks or not isinstance(rows, Computed) or not isinstance(rows.pieces, BatchPieces):
        return
    try:
        pickle.dumps(rows.pieces.make)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InvalidPlan(
            f"FeatureLoader(context={context!r}): workers are given the function that opens the "
            f"reader by pickle, which fails: {error}. Write it at the top of a module, or take "
            "context='fork' or num_workers=0"
        ) from error
