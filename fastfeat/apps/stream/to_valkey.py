"""A sink that stores the latest features of each entity in Valkey or Redis. It alone imports redis.

A row replaces a stored one only if it is newer: by offset within one partition, by message time
between partitions (an entity moves if the topic gets more partitions). So repeats after a crash
change nothing. A script writes many rows at once; a server in a cluster does not accept that. The
module `packed` defines the layout of keys and rows.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from typing import Any

from fastfeat.apps.stream.config import ValkeyOut
from fastfeat.apps.stream.kafka import LOG
from fastfeat.apps.stream.outputs import Outputs
from fastfeat.apps.stream.packed import entity_keys, packed_rows
from fastfeat.errors import InvalidConfig, LibraryUnavailable, StreamError

_ANSWERS_WITHIN_S = 5.0
_CONNECTS_WITHIN_S = 1.0
_FIRST_BACKOFF_S, _LARGEST_BACKOFF_S = 0.1, 5.0
_AT_ONCE = 256
"""Rows per script; the server answers no other client while it runs."""
_SCRIPT = """
local written = 0
for i = 1, #KEYS do
  local new, is_newer = ARGV[i + 1], true
  local old = redis.call('GETRANGE', KEYS[i], 0, 23)
  if #old == 24 then
    local old_partition, old_offset, old_time = struct.unpack('<I4i8i8', old, 5)
    local partition, offset, time = struct.unpack('<I4i8i8', new, 5)
    if partition == old_partition then
      is_newer = offset > old_offset
    else
      is_newer = time > old_time
    end
  end
  if is_newer then
    if ARGV[1] == '0' then
      redis.call('SET', KEYS[i], new)
    else
      redis.call('SET', KEYS[i], new, 'PX', ARGV[1])
    end
    written = written + 1
  end
end
return written
"""


class ToValkey:
    """A sink that stores the latest features of each entity."""

    def __init__(self, out: ValkeyOut) -> None:
        try:
            redis: Any = importlib.import_module("redis")
        except ImportError:
            raise LibraryUnavailable(
                "features in Valkey or Redis need redis: pip install 'fastfeat[redis]'"
            ) from None
        self._out, self._server = out, out.url.rpartition("@")[2]
        try:
            self._client = redis.Redis.from_url(
                out.url,
                socket_timeout=_ANSWERS_WITHIN_S,
                socket_connect_timeout=_CONNECTS_WITHIN_S,
            )
        except ValueError as error:  # the message does not contain the password
            raise InvalidConfig(f"out.valkey.url: {error}") from None
        self._script = self._client.register_script(_SCRIPT)
        errors = redis.exceptions
        self._refusing = (errors.AuthenticationError, errors.NoPermissionError)
        self._away = errors.RedisError
        self._backoff_s, self._not_before = 0.0, 0.0
        self.n_written = self.n_without_key = 0

    def opened(self, partition: int) -> None:
        """Do nothing: the server needs no preparation."""

    def size(self, outputs: Outputs) -> int:
        """Return the number of feature rows."""
        return outputs.features.num_rows

    def put(self, outputs: Outputs, first: int) -> int:
        """Write all rows, and return their number; if the server is away, return `first`."""
        n_rows = outputs.features.num_rows
        if not n_rows or time.monotonic() < self._not_before:
            return first
        keys = entity_keys(self._out.prefix, [outputs.rows.column(name) for name in self._out.keys])
        latest = {key: row for row, key in enumerate(keys) if key is not None}
        packed = packed_rows(
            outputs.features,
            list(latest.values()),
            outputs.offsets,
            outputs.times_ms,
            outputs.topic,
            outputs.partition,
            outputs.artifact,
        )
        try:
            n_written = self._write(list(latest), packed)
        except self._refusing as error:
            told = f"out.valkey.url: {self._server} refused the write: {error}"
            raise StreamError(told) from None
        except self._away as error:
            self._wait(error)
            return first
        self._backoff_s = 0.0
        self.n_written += n_written
        self.n_without_key += keys.count(None)
        return n_rows

    def flush(self, partition: int, end: int, wait_s: float) -> bool:
        """Return True: rows are stored as soon as they are written."""
        return True

    def close(self) -> None:
        """Close the connection to the server."""
        self._client.close()

    def _write(self, keys: Sequence[str], packed: Sequence[bytes]) -> int:
        ttl = 0 if self._out.ttl_s is None else max(1, int(self._out.ttl_s * 1000))
        n_written = 0
        for at in range(0, len(keys), _AT_ONCE):
            given = packed[at : at + _AT_ONCE]
            n_written += self._script(keys=keys[at : at + _AT_ONCE], args=[ttl, *given])
        return n_written

    def _wait(self, error: Exception) -> None:
        """Set the time of the next attempt; each failure in a row doubles the pause."""
        LOG.warning("%s did not accept features; they are sent again: %s", self._server, error)
        self._backoff_s = min(_LARGEST_BACKOFF_S, max(_FIRST_BACKOFF_S, 2 * self._backoff_s))
        self._not_before = time.monotonic() + self._backoff_s
