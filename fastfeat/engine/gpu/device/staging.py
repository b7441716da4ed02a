"""Staging memory: copies between host and card go through a ring of slots of page-locked memory.

The host has to copy pageable memory in any case. A slot is filled piece by piece, and reused when
its copies are done. Meanwhile the host fills, or empties, the other slots.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from fastfeat_kernels.arrays import Uint8Array
from fastfeat_kernels.records import dataclass

from fastfeat.engine.cpu import threads
from fastfeat.engine.gpu.device.card import Card

N_SLOTS = 3
SLOT_BYTES = 16 << 20  # a power of two: CuPy rounds pinned memory up to one
_ALIGNMENT = 64
_BYTES_PER_THREAD = 1 << 20
"""Below this size, a copy is not worth another thread."""


@dataclass(slots=True)
class _Slot:
    """A part of the staging memory, page-locked.

    Args:
        memory: The whole slot.
        n_used: Bytes that copies use.
        event: Happens when those copies are done; set once the slot is full.
        deliveries: For each download, the position of its bytes in the slot, and the array to fill.
    """

    memory: Uint8Array
    n_used: int = 0
    event: Any = None
    deliveries: list[tuple[int, Uint8Array]] = field(default_factory=list[tuple[int, Uint8Array]])


class StagingRing:
    """Slots that are used in turn, for the uploads or the downloads of one thread.

    Args:
        card: The other end of the copies.
        n_slots: At least 2.
        slot_bytes: Bytes per slot, allocated on first use.
    """

    def __init__(self, card: Card, n_slots: int = N_SLOTS, slot_bytes: int = SLOT_BYTES) -> None:
        self._card = card
        self._n_slots = n_slots
        self._slot_bytes = slot_bytes
        self._slots: list[_Slot] = []
        self._at = 0

    def upload(self, content: Uint8Array, address: int, stream: Any) -> None:
        """Request, in a stream, a copy of `content` to a device address.

        `content` may change as soon as this returns.
        """
        at = 0
        while at < len(content):
            slot, start, n = self._room(len(content) - at, stream)
            held = slot.memory[start : start + n]
            copy_bytes(held, content[at : at + n])
            self._card.copy(address + at, held.ctypes.data, n, stream)
            at += n

    def download(self, address: int, content: Uint8Array, stream: Any) -> None:
        """Request, in a stream, a copy from a device address.

        `content` is filled when its slot is reused, at the latest by `deliver`.
        """
        at = 0
        while at < len(content):
            slot, start, n = self._room(len(content) - at, stream)
            held = slot.memory[start : start + n]
            self._card.copy(held.ctypes.data, address + at, n, stream)
            slot.deliveries.append((start, content[at : at + n]))
            at += n

    def deliver(self) -> None:
        """Fill the arrays of all downloads and free their slots; their stream must be done."""
        for k in range(1, len(self._slots) + 1):  # the oldest first
            _empty(self._slots[(self._at + k) % len(self._slots)])

    def drop(self) -> None:
        """Forget the downloads that are not delivered, after a failure."""
        for slot in self._slots:
            slot.deliveries.clear()

    def _room(self, wanted: int, stream: Any) -> tuple[_Slot, int, int]:
        """Return a slot, the position of its free bytes, and how many to use: 1 to `wanted`."""
        if not self._slots:
            self._slots.append(self._new_slot())
        slot = self._slots[self._at]
        if slot.n_used >= len(slot.memory):
            slot.event = self._card.record(stream)
            slot = self._next_slot()
        start = slot.n_used
        n = min(wanted, len(slot.memory) - start)
        slot.n_used = -(-(start + n) // _ALIGNMENT) * _ALIGNMENT
        return slot, start, n

    def _next_slot(self) -> _Slot:
        if len(self._slots) < self._n_slots and self._at == len(self._slots) - 1:
            self._slots.append(self._new_slot())
        self._at = (self._at + 1) % len(self._slots)
        slot = self._slots[self._at]
        if slot.event is not None:
            self._card.finish(slot.event)
            _empty(slot)
        return slot

    def _new_slot(self) -> _Slot:
        return _Slot(self._card.allocate_pinned(self._slot_bytes))


def _empty(slot: _Slot) -> None:
    for start, content in slot.deliveries:
        copy_bytes(content, slot.memory[start : start + len(content)])
    slot.deliveries.clear()
    slot.n_used, slot.event = 0, None


def copy_bytes(target: Uint8Array, source: Uint8Array) -> None:
    """Copy bytes within host memory, by several threads if they are many."""
    n_parts = min(threads.num_threads(), -(-len(source) // _BYTES_PER_THREAD))
    if n_parts < 2:
        target[:] = source
        return
    step = -(-len(source) // n_parts)

    def copy_part(at: int) -> None:
        target[at : at + step] = source[at : at + step]

    threads.run_tasks([lambda at=at: copy_part(at) for at in range(0, len(source), step)])
