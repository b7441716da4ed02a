"""Rendering: loops become the text of one Numba module, readable and the same for the same plan.

Names in the text are positions only: x inputs, k their flags, y outputs, v their flags, c
parameters, t tables, s the logarithm of the words between two groups of a table. The driver in
`fastfeat_kernels.rows` calls `entry` with the number of a loop and the address of its arguments.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache

from fastfeat.engine.layout import Loop, Shape, Step, Store
from fastfeat.engine.storage import has_flags, output_storage, storage
from fastfeat.scalars import table as search_tables
from fastfeat.scalars.op import EXACT

INLINED_CALLS = 24
_NO_STATUS = Step("literal", (), 0, "i64")


def reads(shape: Shape) -> tuple[set[int], set[int]]:
    """Return the inputs of which a loop reads values, and those of which it reads flags.

    A missing float is a NaN in the loop: its flag is read with the value, so that the memory of
    both streams into the computation (copying floats to scratch first cost 3 of 17 ns a row).
    """
    values: set[int] = {step.detail for step in shape.steps if step.name == "input"}
    floats = {j for j in values if storage(shape.inputs[j]).startswith("float")}
    return values, floats | {step.detail for step in shape.steps if step.name == "input_ok"}


def n_arguments(shape: Shape) -> int:
    """Return how many words the arguments of a loop take."""
    columns = len(shape.inputs) + len(shape.stores)
    constants = len(shape.parameters) + len(shape.tables) + n_strides(shape)
    return 2 * columns + constants


@cache
def interleaved(shape: Shape) -> dict[int, int]:
    """Return the tables that hold something of each group, and of each which stride it has.

    Those that are read at one number of a group are one array and have one stride: a row reads one
    line of the cache, not one a table.
    """
    places: dict[int, int] = {}
    found: dict[int, int] = {}
    for step in shape.steps:
        if _is_of_group(step, shape):
            table = shape.steps[step.args[0]].detail
            found[table] = places.setdefault(step.args[1], len(places))
    return found


def n_strides(shape: Shape) -> int:
    """Return how many strides a loop reads."""
    return len(set(interleaved(shape).values()))


def _is_of_group(step: Step, shape: Shape) -> bool:
    """Return whether a step loads what is learnt of a group."""
    if step.name not in ("load_f64", "load_i64"):
        return False
    source = shape.steps[step.args[0]]
    return source.name == "table" and shape.tables[source.detail] in search_tables.OF_GROUPS


def render(loops: Sequence[Loop], *, exact: bool = False) -> str:
    """Return the text of the module whose function `entry` is called by the driver.

    Args:
        loops: what `lay_out` returned.
        exact: with the exact reduction of large arguments of sin, cos and tan.
    """
    calls: list[str] = [s.detail for loop in loops for s in loop.shape.steps if s.name == "call"]
    names = sorted({EXACT.get(name, name) if exact else name for name in calls})
    inline = len(calls) <= INLINED_CALLS
    lines = ['"""Fused loops, generated."""', "from fastfeat.engine.cpu.prelude import *", ""]
    lines += [f"{name}_ = elementary({name!r}, inline={inline})" for name in names]
    for k, loop in enumerate(loops):
        lines += ["", "", *_loop(k, loop.shape, exact)]
    lines += ["", "", "def entry(loop, arguments, n):"]
    for k, loop in enumerate(loops):
        lines += [f"    if loop == {k}:", *_call(k, loop.shape)]
    return "\n".join([*lines, "    return int64(0)", ""])


def _loop(k: int, shape: Shape, exact: bool) -> list[str]:
    """Return the text of a loop: loads, steps, stores."""
    arguments = [name for name, _ in _arguments(shape)]
    lines = ["@inner", f"def loop_{k}({', '.join([*arguments, 'n'])}):", "    status = int64(0)"]
    lines += _prefetches(shape)
    lines.append("    for i in range(n):")
    names: list[str] = []
    for number, step in enumerate(shape.steps):
        name, text = _step(number, step, names, shape, exact)
        names.append(name)
        if text:
            lines.append(f"        {name} = {text}")
    for j, store in enumerate(shape.stores):
        lines += [f"        {text}" for text in _store(j, store, shape, names)]
    return [*lines, "    return status"]


def _prefetches(shape: Shape) -> list[str]:
    """Return the text that asks for what rows read of their groups, before any waits for it."""
    lines: list[str] = []
    asked: set[int] = set()
    strides = interleaved(shape)
    for step in shape.steps:
        if not _is_of_group(step, shape):
            continue
        table, number = (shape.steps[argument] for argument in step.args)
        stride = strides[table.detail]
        if stride not in asked and number.name == "input":
            column: int = number.detail
            read = f"read_{storage(shape.inputs[column])}(x{column}, i)"
            lines.append("    for i in range(n):")
            lines.append(f"        prefetch_word(t{table.detail}, shl_i64({read}, s{stride}))")
        asked.add(stride)
    return lines


def _arguments(shape: Shape) -> list[tuple[str, str]]:
    """Return each argument of a loop: its name, and how it is found among the words."""
    values, flags = reads(shape)
    found: list[tuple[str, str]] = []
    for j, dtype in enumerate(shape.inputs):
        if j in values:
            found.append((f"x{j}", f"pointer_{storage(dtype)}(arguments, {2 * j})"))
        if j in flags:
            found.append((f"k{j}", f"pointer_bool(arguments, {2 * j + 1})"))
    word = 2 * len(shape.inputs)
    for j, store in enumerate(shape.stores):
        found.append((f"y{j}", f"pointer_{output_storage(store.dtype)}(arguments, {word})"))
        if has_flags(store, shape):
            found.append((f"v{j}", f"pointer_bool(arguments, {word + 1})"))
        word += 2
    for j, physical in enumerate(shape.parameters):
        found.append((f"c{j}", f"word_{physical}(arguments, {word + j})"))
    word += len(shape.parameters)
    found += [(f"t{j}", f"word_i64(arguments, {word + j})") for j in range(len(shape.tables))]
    word += len(shape.tables)
    return found + [(f"s{j}", f"word_i64(arguments, {word + j})") for j in range(n_strides(shape))]


def _call(k: int, shape: Shape) -> list[str]:
    lines = [f"        return loop_{k}("]
    lines += [f"            {text}," for _, text in _arguments(shape)]
    return [*lines, "            n,", "        )"]


def _step(
    number: int, step: Step, names: Sequence[str], shape: Shape, exact: bool
) -> tuple[str, str]:
    """Return the name of a step's result and the text that computes it, "" for what is in scope."""
    match step.name:
        case "literal":
            return _literal(step), ""
        case "input":
            j: int = step.detail
            kind = storage(shape.inputs[j])
            flag = f", k{j}" if kind.startswith("float") else ""
            return f"a{number}", f"read_{kind}(x{j}{flag}, i)"
        case "input_ok":
            return f"a{number}", f"read_bool(k{step.detail}, i)"
        case "parameter":
            return f"c{step.detail}", ""
        case "table":
            return f"t{step.detail}", ""
        case "call":
            function = EXACT.get(step.detail, step.detail) if exact else step.detail
            return f"a{number}", f"{function}_({', '.join(names[j] for j in step.args)})"
        case "load_f64" | "load_i64" if _is_of_group(step, shape):
            table, place = (names[argument] for argument in step.args)
            stride = interleaved(shape)[shape.steps[step.args[0]].detail]
            return f"a{number}", f"{step.name}({table}, shl_i64({place}, s{stride}))"
        case _:
            return f"a{number}", f"{step.name}({', '.join(names[j] for j in step.args)})"


def _literal(step: Step) -> str:
    match step.physical:
        case "f64":
            value = struct.unpack("<d", struct.pack("<q", step.detail))[0]
            return "NAN" if value != value else repr(value).replace("inf", "INF")
        case "i64":
            return f"int64({step.detail})"
        case _:
            return repr(step.detail)


def _store(j: int, store: Store, shape: Shape, names: Sequence[str]) -> list[str]:
    """Return the text that writes an output; missing is NaN, or 0 with its flag clear."""
    kind, value, ok = output_storage(store.dtype), names[store.value], names[store.ok]
    lines: list[str] = []
    if has_flags(store, shape):
        zero = "False" if kind == "bool" else "int64(0)"
        physical = shape.steps[store.value].physical
        lines.append(f"write_bool(v{j}, i, {ok})")
        value = f"select_{physical}({ok}, {value}, {zero})"
    lines.append(f"write_{kind}(y{j}, i, {value})")
    if shape.steps[store.status] != _NO_STATUS:
        lines.append(f"status |= {names[store.status]}")
    return lines
