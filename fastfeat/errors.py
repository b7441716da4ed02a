"""Every error that fastfeat raises on purpose: what was wrong, the value, and what to do.

Each kind also derives from the builtin that a Python user would catch.

Warnings have kinds too, and each comes once a fitted plan: `fit` tells what is odd about the
training data, and `transform` does not tell the same thing of one fitted plan twice. One kind is
silenced alone, and all of them together as `FastfeatWarning`:

    warnings.filterwarnings("ignore", category=ff.errors.HistoryMissing)
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any


class FastfeatError(Exception):
    """Base of all errors raised on purpose by fastfeat.

    Attributes:
        rows: the numbers of rows of the data that cannot be computed, the first one first, as far
            as a backend has told them; empty where the fault is of no row, or of another table.
    """

    rows: tuple[int, ...] = ()


class UnknownColumn(FastfeatError, KeyError, ValueError):
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


class LibraryUnavailable(FastfeatError, ImportError):
    """A result was asked for in the form of a library that is not installed."""


class OutOfMemory(FastfeatError, MemoryError):
    """A budget of memory, `memory=`, that is less than what is needed."""


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


class NotExportable(FastfeatError, ValueError):
    """A feature that cannot be written as code of another library or language."""


class OutputError(FastfeatError, OSError):
    """Features that cannot be written where they should: a full disk, or something else there."""


class StateError(FastfeatError, ValueError):
    """The state of a live plan that is altered, too new, in use elsewhere, or not one at all."""


class ContractBroken(InvalidData):
    """Rows that break a rule of the contract that they must hold.

    Args:
        message: which rule, how many rows, and the first of them.
        broken: the number of rows that break each rule which one breaks, those that only warn
            among them; none where nobody counted.
        plan: the name of the plan whose contract it is, where a state has several.
    """

    def __init__(
        self, message: str, broken: Mapping[str, int] | None = None, plan: str = ""
    ) -> None:
        super().__init__(message)
        self.broken = dict(broken or {})
        self.plan = plan


class LateRow(InvalidData):
    """A row that is earlier than what its entity's state can still take.

    Args:
        message: which row, and by how much.
        behind: the row behind which it is late, as the state knows it; None where a row only asks.
    """

    def __init__(self, message: str, behind: object = None) -> None:
        super().__init__(message)
        self.behind = behind


class LateOutcome(InvalidData):
    """A late column that became known after a row was answered which would have read it."""


class FutureRow(InvalidData):
    """A row whose time is further ahead than it may be: see `max_ahead=` and `max_jump=`."""


class InvalidConfig(FastfeatError, ValueError):
    """A configuration with a key that is unknown or lacking, or has no such value."""


class StreamError(FastfeatError, RuntimeError):
    """A stream that cannot go on: its topics, or what they hold, are not what its states need."""


class FastfeatWarning(UserWarning):
    """Something that a user should know, and that is not an error."""


class HistoryMissing(FastfeatWarning):
    """Rows whose windows begin before the data were computed without what came before it."""


class FoldsLeak(FastfeatWarning):
    """Folds that tell a row much of its own label: many or small ones, or 20 encodings or more."""


class FoldsSplitEntities(FastfeatWarning):
    """Folds learn from rows whose windows saw late values of earlier test rows of their entity."""


class PurgeOff(FastfeatWarning):
    """Training rows are kept whose label shares time with that of a test row."""


class EncodedInFold(FastfeatWarning):
    """Rows whose labels fit has put into an encoding were given to `transform`."""


class CountsSeeAhead(FastfeatWarning):
    """A count per key that has seen the later rows, which a label that looks ahead sees too."""


class ClocksOnYourWord(FastfeatWarning):
    """Features see rows by another clock than the label that looks ahead: `known_clocks=`."""


class RowsWithoutLabel(FastfeatWarning):
    """Training rows whose label, which looks ahead, is not known: nothing was learnt from them."""


class RowsRepeated(FastfeatWarning):
    """Rows stand twice: in a history and in the data, or in the data that `fit` learns from.

    With `row_id=`: rows of the data have the id of an earlier row, and equal it in all columns that
    the plan reads. They are counted.

    Without, in `fit` of a plan whose encoders of a target divide rows into folds by their number:
    at least 1 % of the rows equal an earlier row in all columns of the data, read by the plan or
    not, *and* each of two halves of the columns alone tells 90 % of the different rows apart. In
    order of their numbers of values, the 1st, 4th, 5th, 8th, ... columns are one half, the others
    the other. Of more than 4,000 rows samples are looked at, of at most 100,000 each, and the
    message says about how many rows repeat.

    It is silent though rows repeat where one column alone tells rows apart, such as in tables of a
    key and a label, or of an id beside a few flags; of fewer than 50 different rows; where columns
    that the plan does not read cannot be read again; where a column holds lists, structs or maps;
    of data in the memory of a device; and where data is read in passes, `memory=`. Give `row_id=`:
    by it, repeats are found, not guessed.
    """


class TiesInOrder(FastfeatWarning):
    """Rows of one entity and one moment see each other in the order in which they stand."""


class NaiveTimes(FastfeatWarning):
    """A saved plan takes parts of timestamps without a zone in a zone: it reads them as UTC."""


class KeysRounded(FastfeatWarning):
    """A key of floats has whole numbers beyond 2**53: ids were rounded before they came here."""


class KeyRepeats(FastfeatWarning):
    """Rows share or lack the key that `infer_contract` was given: it infers no rule of the key."""


class RowsBreakRule(FastfeatWarning):
    """Rows break a rule of a contract that only warns."""


class ColumnConstant(FastfeatWarning):
    """A column has one value in training, so that it has no scale, or no knots."""


class BinsMerged(FastfeatWarning):
    """Learnt edges are equal, so that there are fewer bins, or splines, than were asked for."""


class TooFewValues(FastfeatWarning):
    """A learnt value is missing: the training rows have too few values."""


class NoCategories(FastfeatWarning):
    """The training rows have no category, or key, that comes often enough: all are unseen ones."""


class ColumnAbsent(FastfeatWarning):
    """The training data lacks a column that an option of the plan names."""


class NoGoldenRows(FastfeatWarning):
    """An artifact is saved without golden rows: of no row that was made up it has all features."""


class KernelsNotKept(FastfeatWarning):
    """Compiled kernels are not kept on disk, so that each process compiles its own."""


class LargerThanMemory(FastfeatWarning):
    """Training data takes more memory than is free, and is read in passes."""


class StatesOnDisk(FastfeatWarning):
    """Learnt values had no room within `memory=`, and went to temporary files on the way."""


class FloatsChanged(FastfeatWarning):
    """A library has changed how this process computes with floats, and it cannot be undone."""


@dataclass(frozen=True, slots=True)
class GivenWarnings:
    """The warnings that a fitted plan has given, each of which comes once; for many threads.

    Args:
        kinds: of those that came.
        lock: held while they are looked at.
    """

    kinds: set[type[FastfeatWarning]] = field(default_factory=set[type[FastfeatWarning]])
    lock: Any = field(default_factory=Lock)

    def note(self, kind: type[FastfeatWarning]) -> None:
        """Take a kind as given: it does not come any more."""
        with self.lock:
            self.kinds.add(kind)

    @contextmanager
    def unheard(self) -> Generator[None]:
        """Let no warning of ours pass: those that nobody has heard before come again."""
        with self.lock:
            before = set(self.kinds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FastfeatWarning)
            try:
                yield
            finally:
                with self.lock:
                    self.kinds.intersection_update(before)


def warn(message: str, kind: type[FastfeatWarning], told: GivenWarnings | None = None) -> None:
    """Warn at the line of the user: the nearest frame outside of this package.

    Args:
        message: what is to be known, and what to do.
        kind: of the warning.
        told: where it is noted, so that one of its kind comes once; None where it always comes.
    """
    level, frame = 2, sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # no public way
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastfeat."):
        level, frame = level + 1, frame.f_back
    if told is not None:
        with told.lock:
            if kind in told.kinds:
                return
            told.kinds.add(kind)
    try:
        warnings.warn(message, kind, stacklevel=level)
    except kind:  # an error, by the user's filters: it is one the next time too
        if told is not None:
            told.kinds.discard(kind)
        raise


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
    """Return a number of things as text, for a message.

    Args:
        n: how many.
        thing: what one of them is called; more have an s.

    Example:
        >>> counted(1, "row"), counted(2000, "row")
        ('1 row', '2,000 rows')
    """
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def reason_of(error: Exception) -> str:
    """Return the reason in an error of the system, without the path that it may name."""
    return getattr(error, "strerror", None) or str(error)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.7) -> str:
    """Return the end of a message that proposes the known name nearest to another, or nothing.

    Args:
        name: what was written.
        known: what there is.
        cutoff: how near a proposal must be: 1 is equal but for case, 0 anything. At difflib's own
            0.6 'carrier' is near to 'arr_time'.

    Example:
        >>> did_you_mean("PLAN", ["plan", "price"])
        " Did you mean 'plan'?"
    """
    from difflib import get_close_matches  # seldom needed

    by_folded = {text.casefold(): text for text in known}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""
