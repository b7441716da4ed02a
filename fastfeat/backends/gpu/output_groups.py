"""Which outputs share a kernel on a device: those that read the same columns.

Memory bounds the speed of a row kernel there, so that a column should be read by one kernel only,
and each output be written once. On the CPU, where a block of rows stays in the cache from loop to
loop, outputs of the same code come together first (`backends.layout`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fastfeat.backends.layout import (
    REPEATED,
    REPEATS_PER_LOOP,
    Group,
    ShapeOf,
    by_code,
    inputs_of,
)
from fastfeat.backends.program import Output
from fastfeat.scalars.value import InputSlot

MOST_OUTPUTS = 32
"""Outputs of a kernel: each is stored once it is known, so that registers do not bound them."""
MOST_INPUTS = 16
"""Columns that a kernel reads: their values wait in registers, two each."""
MOST_KERNELS = 64
"""Of columns so entangled that more would have to be compiled, equal code comes together first."""


def by_columns(outputs: Sequence[Output], shape_of: ShapeOf) -> list[Group]:
    """Return which outputs are computed together, as positions; see `layout.lay_out`."""
    reads = {k: inputs_of(output) for k, output in enumerate(outputs)}
    pieces = [piece for members in _connected(reads) for piece in _cut(members, reads)]
    alike: dict[object, list[Group]] = {}
    for piece in pieces:
        alike.setdefault(shape_of(piece), []).append(piece)
    repeated = [members for members in alike.values() if len(members) >= REPEATED]
    single = [piece for members in alike.values() if len(members) < REPEATED for piece in members]
    groups = [group for members in repeated for group in _joined(members, reads, REPEATS_PER_LOOP)]
    rest = list(_joined(sorted(single), reads, MOST_OUTPUTS))
    if len(repeated) + len(rest) > MOST_KERNELS:
        return by_code(outputs, shape_of)
    return groups + rest


def _connected(reads: Mapping[int, Sequence[InputSlot]]) -> list[Group]:
    """Return the outputs in parts, no two of which read the same column; one reads nothing."""
    above: dict[InputSlot, InputSlot] = {}

    def top(slot: InputSlot) -> InputSlot:
        while above.setdefault(slot, slot) != slot:
            above[slot] = slot = above[above[slot]]
        return slot

    for slots in reads.values():
        for slot in slots:
            above[top(slot)] = top(slots[0])
    parts: dict[InputSlot | None, Group] = {}
    for k, slots in reads.items():
        parts.setdefault(top(slots[0]) if slots else None, []).append(k)
    return list(parts.values())


def _cut(members: Group, reads: Mapping[int, Sequence[InputSlot]]) -> Iterator[Group]:
    """Yield the outputs of a part in pieces that a kernel takes; neighbours read the same."""
    number: dict[InputSlot, int] = {}
    for k in members:
        for slot in reads[k]:
            number.setdefault(slot, len(number))
    ordered = sorted(members, key=lambda k: sorted(number[slot] for slot in reads[k]))
    yield from _joined([[k] for k in ordered], reads, MOST_OUTPUTS)


def _joined(
    pieces: Sequence[Group], reads: Mapping[int, Sequence[InputSlot]], most_outputs: int
) -> Iterator[Group]:
    """Yield neighbouring pieces together, as far as a kernel takes them."""
    group: Group = []
    slots: set[InputSlot] = set()
    for piece in pieces:
        own = {slot for k in piece for slot in reads[k]}
        if group and (len(group) + len(piece) > most_outputs or len(slots | own) > MOST_INPUTS):
            yield group
            group, slots = [], set()
        group = group + piece
        slots |= own
    if group:
        yield group
