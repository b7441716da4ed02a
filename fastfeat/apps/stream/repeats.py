"""Helpers for consumers of features: dropping outputs that a stream sent twice because of a crash.

A stream sends the features of a partition in offset order, and after a crash sends some of them
again, with the same bits. A consumer that reads a topic, or one partition of it, in order can
therefore drop every row that is not after the last row seen from the same source.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, MutableMapping
from typing import Any

import numpy as np

from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Table, pa

EventSource = tuple[str, int]
LastOffsets = MutableMapping[EventSource, tuple[int, int]]
"""Offset and row of the last features seen, by topic and partition of the events."""


@with_argument_errors_as("fastfeat.apps.stream.", {})
def drop_repeats(messages: Iterable[Any], seen: LastOffsets | None = None) -> Generator[Any]:
    """Yield the messages of a topic of features, or of dead letters, that were not seen before.

    Args:
        messages: Messages of confluent-kafka, or objects with the same `headers()`, in the order of
            their partition.
        seen: The last offset and row seen of each source (topic and partition of the events);
            updated in place. Store it together with your results. None starts with nothing seen.

    Raises:
        InvalidData: A message lacks the headers of a stream.
    """
    known: LastOffsets = {} if seen is None else seen
    for message in messages:
        headers: dict[str, bytes] = dict(message.headers() or ())
        try:
            source = (headers["fastfeat.topic"].decode(), int(headers["fastfeat.partition"]))
            place = (int(headers["fastfeat.offset"]), int(headers.get("fastfeat.row", 0)))
        except KeyError as error:
            raise InvalidData(
                f"a message lacks the header {error}, so it is not a JSON message of a stream. For "
                "Arrow messages, use drop_repeated_rows"
            ) from None
        except ValueError as error:  # not a number, or not UTF-8
            raise InvalidData(
                f"a message has headers that fastfeat does not write: {error}"
            ) from None
        if place > known.get(source, (-1, -1)):
            known[source] = place
            yield message


@with_argument_errors_as("fastfeat.apps.stream.", {})
def drop_repeated_rows(features: Table, source: EventSource, seen: LastOffsets) -> Table:
    """Return the rows of an Arrow message that were not seen before.

    Args:
        features: The message's table, with the columns `fastfeat.offset` and `fastfeat.row`.
        source: Topic and partition of the events, from the message headers.
        seen: The last offset and row seen of each source; updated in place.
    """
    offsets = features.column("fastfeat.offset").to_numpy()
    within = features.column("fastfeat.row").to_numpy()
    offset, row = seen.get(source, (-1, -1))
    is_new = (offsets > offset) | ((offsets == offset) & (within > row))
    rows = np.flatnonzero(is_new)
    if len(rows):
        seen[source] = (int(offsets[rows[-1]]), int(within[rows[-1]]))
    return features if len(rows) == len(offsets) else features.take(pa.array(rows))
