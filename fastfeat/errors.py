"""Every error that fastfeat raises on purpose: what was wrong, the value, and what to do.

Each kind also derives from the builtin that a Python user would catch.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Sequence


class FastfeatError(Exception):
    """Base of all errors raised on purpose by fastfeat."""


class UnknownColumn(FastfeatError, KeyError):
    """A column that the plan reads is not in the data."""

    def __str__(self) -> str:
        """Return the message itself: KeyError would print its repr."""
        return str(self.args[0]) if self.args else ""


class TypeMismatch(FastfeatError, TypeError):
    """A value of a type that the operator, or the fitted plan, cannot take."""


class InvalidPlan(FastfeatError, ValueError):
    """A plan that cannot be built: a clash of names, a bad parameter, no features."""


class InvalidData(FastfeatError, ValueError):
    """Data whose values, not types, cannot be processed."""


class Leakage(FastfeatError, ValueError):
    """A feature would see what is known only after the moment of prediction."""


class NotFitted(FastfeatError, ValueError, AttributeError):
    """A plan was used before `fit`."""


class Overflow(FastfeatError, OverflowError):
    """A result that its type cannot hold."""


class BackendUnavailable(FastfeatError, RuntimeError):
    """The backend that was asked for cannot run here."""


class OutOfDeviceMemory(FastfeatError, MemoryError):
    """A device has less memory free than was asked for."""


class KernelFailed(FastfeatError, RuntimeError):
    """A kernel that a compiler or a device refuses, or that failed while it ran.

    Args:
        message: what happened.
        kernels: names of the kernels of which one failed; none where it is not one that ran.
    """

    def __init__(self, message: str, kernels: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kernels = tuple(kernels)


class ArtifactError(FastfeatError, ValueError):
    """A saved plan that is truncated, altered, too new, or not one at all."""


class FastfeatWarning(UserWarning):
    """Something that a user should know, and that is not an error."""


class HistoryMissing(FastfeatWarning):
    """Rows whose windows begin before the data were computed without what came before it."""


class FoldsLeak(FastfeatWarning):
    """Folds of a target so many, or so small, that they tell a row much of its own label."""


class RowsWithoutLabel(FastfeatWarning):
    """Training rows whose label, which looks ahead, is not known: nothing was learnt from them."""


def warn(message: str, kind: type[FastfeatWarning] = FastfeatWarning) -> None:
    """Warn at the line of the user: the nearest frame outside of this package."""
    level, frame = 2, sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # no public way
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastfeat."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, kind, stacklevel=level)


def shortened(names: Iterable[str], most: int = 5) -> str:
    """Return the first few of some names for a message, and how many more there are.

    Example:
        >>> shortened(["a", "b", "c"], 2)
        "'a', 'b' and 1 more"
    """
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(map(repr, known[:most])) + more


def counted(n: int, thing: str) -> str:
    """Return how many things there are, for a message.

    Args:
        n: how many.
        thing: what one of them is called; more have an s.

    Example:
        >>> counted(1, "row"), counted(2000, "row")
        ('1 row', '2,000 rows')
    """
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the end of a message that proposes the known name nearest to another, or nothing.

    Args:
        name: what was written.
        known: what there is.
        cutoff: how near a proposal must be: 1 is equal but for case, 0 anything.

    Example:
        >>> did_you_mean("PLAN", ["plan", "price"])
        " Did you mean 'plan'?"
    """
    from difflib import get_close_matches  # seldom needed

    by_folded = {text.casefold(): text for text in known}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""
