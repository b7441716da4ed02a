"""States of profile rounds: a sample of some training rows, or their counts.

A round is a pass over the training rows, which arrive in parts. The first round of a profile
samples rows, the second counts them. Each part of the rows gives a state, and the states of two
parts merge to the state of both.
"""

from __future__ import annotations

from dataclasses import field, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.state_bytes import seal, unseal
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Table, ipc_stream, pa
from fastfeat.learn.part_state import RowNumberSums, add_sums
from fastfeat.trust.quality.layout import SAMPLED
from fastfeat.trust.quality.profile import Profile, profile_of_columns

MAGIC: Final = b"fastfeat profile of rows\n"
"""Prefix of the bytes of a state."""
_FOREIGN = "the state is of another plan, schema, or round: only states of one round can be merged"
_USED = (
    "the state is used up: it was merged, added to, or passed to next() before. Use the "
    "resulting state, or create this one again"
)


@dataclass(frozen=True, slots=True, eq=False)
class ProfileSample:
    """A sample of rows, with one row for each key.

    Args:
        keys: Row numbers, or hashes of row contents; ascending and unique.
        counts: Number of rows with each key.
        inputs: Input columns of the sampled rows.
        features: Features of the sampled rows; None if they are not profiled.
    """

    keys: NDArray[Any]
    counts: NDArray[np.int64]
    inputs: Table
    features: Table | None

    def merge(self, other: ProfileSample, *, has_features: bool) -> ProfileSample:
        """Return the sample of two parts of the rows together: the rows with the smallest keys."""
        keys = np.concatenate([self.keys, other.keys])
        found, first, place = np.unique(keys, return_index=True, return_inverse=True)
        counts = np.zeros(len(found), np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        taken = pa.array(first[:SAMPLED])
        features = None
        if has_features and self.features is not None and other.features is not None:
            features = pa.concat_tables([self.features, other.features]).take(taken)
        inputs = pa.concat_tables([self.inputs, other.inputs]).take(taken)
        return ProfileSample(found[:SAMPLED], counts[:SAMPLED], inputs, features)

    def rows(self) -> NDArray[np.int64]:
        """Return the indices of the sampled rows that edges and categories are computed from.

        An index is repeated for each row with the same key. At most SAMPLED indices are returned;
        if there are more, they are thinned evenly.
        """
        ends = np.cumsum(self.counts)
        total = int(ends[-1]) if len(ends) else 0
        n = min(total, SAMPLED)
        return np.searchsorted(ends, np.arange(n, dtype=np.int64) * total // max(n, 1), "right")


@dataclass(slots=True, eq=False)
class ProfileState:
    """The result of a profile round for some of the training rows.

    Args:
        digest: Identifies the round and the fit that the state belongs to.
        n_rows: Number of rows.
        sums: Sums of the row numbers, to check completeness; None if rows have no numbers.
        sample: Sample of the rows, in the sampling round; None without rows.
        counts: Profile of the rows, in the counting round; None without rows.
        is_failed: Whether the features of some rows cannot be computed.
        is_used: Whether another state has taken over these rows, so that this one is invalid.
    """

    digest: str
    n_rows: int = 0
    sums: RowNumberSums = (0, 0)
    sample: ProfileSample | None = None
    counts: Profile | None = None
    is_failed: bool = False
    is_used: bool = field(default=False, repr=False)

    def check(self, digest: str) -> None:
        """Raise InvalidData if the state is of another round, or was merged into another state."""
        if self.is_used:
            raise InvalidData(_USED)
        if self.digest != digest:
            raise InvalidData(_FOREIGN)

    def merge(self, other: ProfileState) -> ProfileState:
        """Return the state of the rows of both; neither of the two can be used any more.

        Raises:
            InvalidData: The other is of another round or is this state itself, or one of them was
                merged before.
        """
        if self is other:
            raise InvalidData("a state cannot be merged with itself: its rows would count twice")
        self.check(self.digest)
        other.check(self.digest)
        sample, counts = self.sample or other.sample, self.counts or other.counts
        is_failed = self.is_failed or other.is_failed
        if self.sample is not None and other.sample is not None:
            sample = self.sample.merge(other.sample, has_features=not is_failed)
        if self.counts is not None and other.counts is not None:
            a, b = (_bare(one) if is_failed else one for one in (self.counts, other.counts))
            counts = a.merge(b)
        self.is_used = other.is_used = True
        n_rows, sums = self.n_rows + other.n_rows, add_sums(self.sums, other.sums)
        return ProfileState(self.digest, n_rows, sums, sample, counts, is_failed)

    def to_bytes(self) -> bytes:
        """Return the state as bytes, without code; raises InvalidData if it was merged before."""
        self.check(self.digest)
        parts: list[bytes] = []
        head: dict[str, Any] = {"digest": self.digest, "n_rows": self.n_rows, "sums": self.sums}
        head["is_failed"] = self.is_failed
        if self.sample is not None:
            one = self.sample
            head["keys"] = one.keys.dtype.str
            parts = [one.keys.tobytes(), one.counts.tobytes(), _table_bytes(one.inputs)]
            parts += [] if one.features is None else [_table_bytes(one.features)]
        elif self.counts is not None:
            parts = [self.counts.to_bytes()]
        head["sizes"] = list(map(len, parts))
        return MAGIC + seal(head, parts)


def profile_state_of(content: bytes) -> ProfileState:
    """Return the state from the bytes of `ProfileState.to_bytes`; raises InvalidData if damaged."""
    head, rest = unseal(content[len(MAGIC) :])
    ends = np.cumsum([0, *head["sizes"]]).tolist()
    parts = [rest[a:b] for a, b in pairwise(ends)]
    sums = head["sums"] and (int(head["sums"][0]), int(head["sums"][1]))
    state = ProfileState(head["digest"], head["n_rows"], sums, is_failed=head["is_failed"])
    if "keys" in head:
        keys, counts = np.frombuffer(parts[0], head["keys"]), np.frombuffer(parts[1], np.int64)
        inputs, *features = map(_table_of, parts[2:])
        return replace(
            state, sample=ProfileSample(keys, counts, inputs, next(iter(features), None))
        )
    if parts:
        return replace(state, counts=Profile.from_bytes(parts[0]))
    return state


def _bare(profile: Profile) -> Profile:
    return profile_of_columns(profile.inputs, {}, profile.n_rows, profile.no_features)


def _table_bytes(table: Table) -> bytes:
    return ipc_stream(table).to_pybytes()


def _table_of(content: bytes) -> Table:
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()
