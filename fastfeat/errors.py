"""All errors and warnings of fastfeat. A message names the problem, the value, and the remedy.

A column is late if its values are known only after the time of their row. A label looks ahead if it
is computed from later rows.

Each error also derives from the builtin exception that a Python user would catch.

Each kind of warning is given once per fitted plan: `fit` warns about oddities of the training data,
and `transform` does not repeat a kind for the same fitted plan. Kinds can be silenced one by one,
or all together as `FastfeatWarning`:

    warnings.filterwarnings("ignore", category=ff.errors.HistoryMissing)
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from threading import Lock
from typing import Any

from fastfeat_kernels.records import dataclass


class FastfeatError(Exception):
    """Base class of all errors that fastfeat raises on purpose.

    Attributes:
        rows: Numbers of the data rows that cannot be computed, in ascending order, as far as the
            backend reported them. Empty if no row of the data is at fault.
    """

    rows: tuple[int, ...] = ()


class UnknownColumn(FastfeatError, KeyError, ValueError):
    """The data lacks a column that the plan reads."""

    def __str__(self) -> str:
        """Return the message itself; KeyError would print its repr."""
        return str(self.args[0]) if self.args else ""


class TypeMismatch(FastfeatError, TypeError):
    """A value has a type that the operator, or the fitted plan, does not accept."""


class InvalidPlan(FastfeatError, ValueError):
    """A plan cannot be built: names clash, a parameter is invalid, or there are no features."""


class InvalidData(FastfeatError, ValueError):
    """Data has values that cannot be processed, although their types are right."""


class Leakage(FastfeatError, ValueError):
    """A feature would see data that is only known after the moment of prediction."""


class NotFitted(FastfeatError, ValueError, AttributeError):
    """A plan was used before `fit`."""


class Overflow(FastfeatError, OverflowError):
    """A result does not fit its type."""


class BackendUnavailable(FastfeatError, RuntimeError):
    """The requested backend cannot run here."""


class LibraryUnavailable(FastfeatError, ImportError):
    """A library that is needed, such as one for the form of a result, is not installed."""


class OutOfMemory(FastfeatError, MemoryError):
    """The memory budget `memory=` is smaller than the memory needed."""


class OutOfDeviceMemory(FastfeatError, MemoryError):
    """A device has less free memory than requested."""


class KernelFailed(FastfeatError, RuntimeError):
    """A kernel failed while it ran, or was rejected by a compiler or a device.

    Args:
        message: Error message.
        kernels: Names of the kernels that ran, including the failed one; empty if the failure was
            not in a running kernel.
    """

    def __init__(self, message: str, kernels: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kernels = tuple(kernels)


class ArtifactError(FastfeatError, ValueError):
    """A saved plan is truncated, altered, too new, or not a saved plan at all."""


class NotExportable(FastfeatError, ValueError):
    """A feature cannot be written as code for another library or language."""


class OutputError(FastfeatError, OSError):
    """Features cannot be written to their target: the disk is full, or another file is there."""


class StateError(FastfeatError, ValueError):
    """The state of a live plan is altered, too new, in use elsewhere, or not a state at all."""


class ContractBroken(InvalidData):
    """Rows break a rule of a contract.

    Args:
        message: The rule, the number of rows, and the first of them.
        broken: Rule name to the number of rows that break it, including rules that only warn. Empty
            if the rows were not counted.
        plan: Name of the plan with the contract, if the state has several plans; otherwise "".
    """

    def __init__(
        self, message: str, broken: Mapping[str, int] | None = None, plan: str = ""
    ) -> None:
        super().__init__(message)
        self.broken = dict(broken or {})
        self.plan = plan


class LateRow(InvalidData):
    """A row is earlier than a row that the state already has of its entity.

    Args:
        message: The row, and how late it is.
        behind: The state's later row, which makes this one late; None if the row only asked for
            features.
    """

    def __init__(self, message: str, behind: object = None) -> None:
        super().__init__(message)
        self.behind = behind


class LateOutcome(InvalidData):
    """A late column arrived too late: a row with windows that see it was answered before."""


class FutureRow(InvalidData):
    """The time of a row is too far ahead; see `max_ahead=` and `max_jump=`."""


class InvalidConfig(FastfeatError, ValueError):
    """A configuration has an unknown or missing key, or a wrong value."""


class StreamError(FastfeatError, RuntimeError):
    """A stream cannot continue, because its topics do not contain the data that its states need."""


class FastfeatWarning(UserWarning):
    """Base class of all warnings of fastfeat."""


class HistoryMissing(FastfeatWarning):
    """Windows begin before the data, and no earlier rows were given."""


class FoldsLeak(FastfeatWarning):
    """Folds reveal much of a row's own label: many or small folds, or 20 encodings or more."""


class FoldsSplitEntities(FastfeatWarning):
    """Training rows see, through windows, late values of test rows of their own entity."""


class PurgeOff(FastfeatWarning):
    """Training rows are kept although their labels overlap in time with labels of test rows."""


class EncodedInFold(FastfeatWarning):
    """`transform` got rows whose labels `fit` has used to learn an encoding."""


class CountsSeeAhead(FastfeatWarning):
    """A count of rows per key includes later rows; the label looks ahead at later rows, too."""


class ClocksOnYourWord(FastfeatWarning):
    """The label looks ahead, and `known_clocks=` lets features use another time column."""


class RowsWithoutLabel(FastfeatWarning):
    """Training rows lack a label, because it looks ahead: nothing was learnt from them."""


class RowsRepeated(FastfeatWarning):
    """Rows appear twice: in the history and the data, or within the training data of `fit`.

    With `row_id=`, data rows share their id with an earlier row and equal it in all columns that
    the plan reads. These rows are counted exactly.

    Without `row_id=`, `fit` looks for repeats only if the plan has target encoders that divide rows
    into folds by row number. It warns if two conditions hold. At least 1 % of the rows equal an
    earlier row in all columns of the data, whether or not the plan reads them. And each of two
    halves of the columns distinguishes 90 % of the different rows by itself. One half is the 1st,
    4th, 5th, 8th, ... column in order of their numbers of values, the other half is the rest. Above
    4,000 rows, samples of at most 100,000 rows each are examined, and the message estimates the
    number of repeats.

    It then misses repeats in these cases: a single column distinguishes the rows, such as in tables
    of a key and a label, or of an id and a few flags; there are fewer than 50 different rows;
    columns that the plan does not read cannot be read again; a column holds lists, structs or maps;
    the data is in device memory; the data is read in passes (`memory=`). Give `row_id=`: repeats
    are then found exactly.
    """


class TiesInOrder(FastfeatWarning):
    """Rows of one entity have the same time, and see each other in the order of the data."""


class NaiveTimes(FastfeatWarning):
    """A saved plan converts timestamps without a time zone; this version reads them as UTC."""


class KeysRounded(FastfeatWarning):
    """A float key has whole numbers beyond 2**53, so different ids may have become the same."""


class KeyRepeats(FastfeatWarning):
    """Rows share or lack the key given to `infer_contract`, so it infers no rule for the key."""


class RowsBreakRule(FastfeatWarning):
    """Rows break a contract rule that only warns."""


class ColumnConstant(FastfeatWarning):
    """A column has one value in all training rows, so it has no scale, or no knots for a spline."""


class BinsMerged(FastfeatWarning):
    """Learnt edges are equal, so there are fewer bins or splines than requested."""


class TooFewValues(FastfeatWarning):
    """A learnt value is missing, because the training rows have too few values."""


class NoCategories(FastfeatWarning):
    """No category or key is frequent enough in the training rows: all count as unseen."""


class ColumnAbsent(FastfeatWarning):
    """The training data lacks a column that an option of the plan names, such as `outcomes=`."""


class NoGoldenRows(FastfeatWarning):
    """An artifact is saved without golden (test) rows: no made-up row has all features."""


class KernelsNotKept(FastfeatWarning):
    """Compiled kernels cannot be stored on disk, so each process compiles its own."""


class LargerThanMemory(FastfeatWarning):
    """Training data is larger than the free memory and is read in passes."""


class StatesOnDisk(FastfeatWarning):
    """Learnt values exceeded `memory=` and went through temporary files."""


class FloatsChanged(FastfeatWarning):
    """A library changed the floating-point mode of this process, and it cannot be restored."""


@dataclass(frozen=True, slots=True)
class WarningHistory:
    """The kinds of warnings that a fitted plan has given, because each is given once.

    It may be used by many threads: `lock` is held while `kinds` is read or changed.
    """

    kinds: set[type[FastfeatWarning]] = field(default_factory=set[type[FastfeatWarning]])
    lock: Any = field(default_factory=Lock)

    def note(self, kind: type[FastfeatWarning]) -> None:
        """Mark a kind as given, so that it is not given again."""
        with self.lock:
            self.kinds.add(kind)

    @contextmanager
    def suppress_warnings(self) -> Generator[None]:
        """Suppress fastfeat's warnings in the block.

        A kind that only occurs in the block counts as not given, and may be given later.
        """
        with self.lock:
            before = set(self.kinds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FastfeatWarning)
            try:
                yield
            finally:
                with self.lock:
                    self.kinds.intersection_update(before)


def warn(message: str, kind: type[FastfeatWarning], told: WarningHistory | None = None) -> None:
    """Give a warning at the user's line: the nearest stack frame outside of this package.

    `told` records the kind, so that it is given once; with None it is always given.
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
    except kind:  # the user's filters raise it: raise it the next time too
        if told is not None:
            told.kinds.discard(kind)
        raise


def shortened(names: Iterable[str], most: int = 5) -> str:
    """Return the first few names as text for a message, with the number of further names.

    Example:
        >>> shortened(["a", "b", "c"], 2)
        "'a', 'b' and 1 more"
    """
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(map(repr, known[:most])) + more


def counted(n: int, thing: str) -> str:
    """Return a number with its noun as text for a message; the plural adds an s.

    Example:
        >>> counted(1, "row"), counted(2000, "row")
        ('1 row', '2,000 rows')
    """
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def reason_of(error: Exception) -> str:
    """Return the text of a system error without a path, such as "No space left on device"."""
    return getattr(error, "strerror", None) or str(error)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.7) -> str:
    """Return " Did you mean ...?" with the known name nearest to `name`; "" if none is near.

    `cutoff` is the required similarity: 1 is equality except for case, 0 accepts anything. With
    difflib's own default 0.6, 'carrier' counts as similar to 'arr_time'.

    Example:
        >>> did_you_mean("PLAN", ["plan", "price"])
        " Did you mean 'plan'?"
    """
    from difflib import get_close_matches  # seldom needed

    by_folded = {text.casefold(): text for text in known}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""
