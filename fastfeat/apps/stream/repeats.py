"""For consumers of features: what a crash of the stream has sent twice is dropped.

A stream sends the features of a partition in order of their offsets, and after a crash some of them
again, with the same bits. Who reads a topic, or one partition of it, in its order therefore drops
what is not after the last row that was seen of the same source.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, MutableMapping
from typing import Any

import numpy as np

from fastfeat.calls.arguments import explaining_as
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Table, pa

Source = tuple[str, int]
LastOffsets = MutableMapping[Source, tuple[int, int]]
"""Offset and row of the last features that were seen, by topic and partition of the events."""


@explaining_as("fastfeat.apps.stream.", {})
def drop_repeats(messages: Iterable[Any], seen: LastOffsets | None = None) -> Generator[Any]:
    """Give the messages of a topic of features, or of dead letters, that did not come before.

    Args:
        messages: of confluent-kafka, or anything with the same `headers()`, in the order of their
            partition.
        seen: what was seen before, which is kept up to date; store it with what you make of the
            messages. None for nothing.

    Raises:
        InvalidData: a message has no headers of a stream.
    """
    known: LastOffsets = {} if seen is None else seen
    for message in messages:
        headers: dict[str, bytes] = dict(message.headers() or ())
        try:
            source = (headers["fastfeat.topic"].decode(), int(headers["fastfeat.partition"]))
            place = (int(headers["fastfeat.offset"]), int(headers.get("fastfeat.row", 0)))
        except KeyError as error:
            raise InvalidData(
                f"a message lacks the header {error}: it is none of a stream's in JSON. Rows in "
                "Arrow: drop_repeated_rows"
            ) from None
        except ValueError as error:  # no number, or no text
            raise InvalidData(f"a message has headers that no stream writes: {error}") from None
        if place > known.get(source, (-1, -1)):
            known[source] = place
            yield message


@explaining_as("fastfeat.apps.stream.", {})
def drop_repeated_rows(features: Table, source: Source, seen: LastOffsets) -> Table:
    """Return the rows of a message in Arrow that did not come before.

    Args:
        features: what the message holds, with the columns `fastfeat.offset` and `fastfeat.row`.
        source: topic and partition of the events, which stand in the headers.
        seen: what was seen before, which is kept up to date.
    """
    offsets = features.column("fastfeat.offset").to_numpy()
    within = features.column("fastfeat.row").to_numpy()
    offset, row = seen.get(source, (-1, -1))
    is_new = (offsets > offset) | ((offsets == offset) & (within > row))
    rows = np.flatnonzero(is_new)
    if len(rows):
        seen[source] = (int(offsets[rows[-1]]), int(within[rows[-1]]))
    return features if len(rows) == len(offsets) else features.take(pa.array(rows))
