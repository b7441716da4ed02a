"""Rendering: loops become the text of one Numba module, readable and the same for the same plan.

The table of a call holds a header (scratch memory, instances of each loop) and one record an instance:
four words an input (values, bit of the first value, validity, bit of the first flag), four an output (values,
validity, null count, bytes between rows or 0), one a parameter, one a table. Names in the text are positions only.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from fastfeat.backends.cpu.layout import Loop, Shape, Step, Store
from fastfeat.dtypes import DType
from fastfeat.io.write import output_storage

BLOCK = 2048
WORDS_PER_COLUMN = 4
INLINED_CALLS = 24
EXACT = {"sin": "sin_exact", "cos": "cos_exact", "tan": "tan_exact"}


def storage(dtype: DType) -> str:
    """Return the name of the element type that values are stored as; bool is unpacked to bytes."""
    return "bool" if dtype.name == "bool" else output_storage(dtype).name


def record_words(shape: Shape) -> int:
    """Return how many words one instance of a loop takes in the table."""
    columns = len(shape.inputs) + len(shape.stores)
    return WORDS_PER_COLUMN * columns + len(shape.parameters) + shape.n_tables


def scratch_slots(shape: Shape) -> int:
    """Return how many blocks of scratch memory a loop uses."""
    return 2 * (len(shape.inputs) + len(shape.stores))


def render(loops: Sequence[Loop], *, exact: bool = False) -> str:
    """Return the text of the module whose function `entry` is the kernel.

    Args:
        loops: what `lay_out` returned.
        exact: with the exact reduction of large arguments of sin, cos and tan.
    """
    body: list[str] = []
    for k, loop in enumerate(loops):
        body += [*_loop(k, loop.shape, exact), "", *_group(k, loop.shape), ""]
    body += _entry(loops)
    names = sorted(_elementary(loops, exact))
    uses = sum(step.name == "call" for loop in loops for step in loop.shape.steps)
    inline = uses <= INLINED_CALLS
    head = ['"""One fused kernel, generated: loops over blocks of rows."""', ""]
    head += ["from fastfeat.backends.cpu.prelude import *", ""]
    head += [f"{name}_ = elementary({name!r}, inline={inline})" for name in names]
    return "\n".join([*head, "", *body, ""])


def _elementary(loops: Sequence[Loop], exact: bool) -> set[str]:
    calls = {s.detail for loop in loops for s in loop.shape.steps if s.name == "call"}
    return {EXACT.get(name, name) if exact else name for name in calls}


def _loop(k: int, shape: Shape, exact: bool) -> list[str]:
    """Return the text of the loop itself: loads, steps, stores."""
    lines = [
        "@inner",
        f"def loop_{k}({', '.join([*_arguments(shape), 'n'])}):",
        "    status = int64(0)",
        "    for i in range(n):",
    ]
    names: list[str] = []
    for number, step in enumerate(shape.steps):
        name, text = _step(number, step, names, shape, exact)
        names.append(name)
        if text:
            lines.append(f"        {name} = {text}")
    for j, store in enumerate(shape.stores):
        lines += [f"        {text}" for text in _store(j, store, shape, names)]
    lines.append("    return status")
    return lines


def _arguments(shape: Shape) -> list[str]:
    reads_ok = {step.detail for step in shape.steps if step.name == "input_ok"}
    reads_value = {step.detail for step in shape.steps if step.name == "input"}
    arguments = [f"x{j}" for j in range(len(shape.inputs)) if j in reads_value]
    arguments += [f"k{j}" for j in range(len(shape.inputs)) if j in reads_ok]
    arguments += [f"y{j}" for j in range(len(shape.stores))]
    arguments += [f"v{j}" for j, store in enumerate(shape.stores) if has_flags(store, shape)]
    arguments += [f"c{j}" for j in range(len(shape.parameters))]
    return arguments + [f"t{j}" for j in range(shape.n_tables)]


def has_flags(store: Store, shape: Shape) -> bool:
    """Return whether the loop writes one flag a row that says whether an integer or bool is present."""
    is_float = storage(store.dtype).startswith("float")
    always = shape.steps[store.ok] == Step("literal", (), True, "b1")
    return not is_float and not always


def _step(
    number: int, step: Step, names: Sequence[str], shape: Shape, exact: bool
) -> tuple[str, str]:
    """Return the name of a step's result, and the text that computes it; no text for a name in scope."""
    match step.name:
        case "literal":
            return _literal(step), ""
        case "input":
            return f"a{number}", f"read_{storage(shape.inputs[step.detail])}(x{step.detail}, i)"
        case "input_ok":
            return f"a{number}", f"read_bool(k{step.detail}, i)"
        case "parameter":
            return f"c{step.detail}", ""
        case "table":
            return f"t{step.detail}", ""
        case "call":
            function = EXACT.get(step.detail, step.detail) if exact else step.detail
            return f"a{number}", f"{function}_({', '.join(names[j] for j in step.args)})"
        case _:
            return f"a{number}", f"{step.name}({', '.join(names[j] for j in step.args)})"


def _literal(step: Step) -> str:
    match step.physical:
        case "f64":
            value = struct.unpack("<d", struct.pack("<q", step.detail))[0]
            if value != value:
                return "NAN"
            return repr(value).replace("inf", "INF")
        case "i64":
            return f"int64({step.detail})"
        case _:
            return repr(step.detail)


def _store(j: int, store: Store, shape: Shape, names: Sequence[str]) -> list[str]:
    """Return the text that writes an output; what is missing is stored as NaN, or 0 with its flag clear."""
    kind, value, ok = storage(store.dtype), names[store.value], names[store.ok]
    lines: list[str] = []
    if has_flags(store, shape):
        zero = "False" if kind == "bool" else "int64(0)"
        physical = shape.steps[store.value].physical
        lines.append(f"write_bool(v{j}, i, {ok})")
        value = f"select_{physical}({ok}, {value}, {zero})"
    lines.append(f"write_{kind}(y{j}, i, {value})")
    if shape.steps[store.status] != Step("literal", (), 0, "i64"):
        lines.append(f"status |= {names[store.status]}")
    return lines


def _group(k: int, shape: Shape) -> list[str]:
    """Return the text around a loop: columns found or staged before it, bitmaps finished after it."""
    lines = ["@inner", f"def group_{k}(record, scratch, first, n):"]
    arguments = _arguments(shape)
    word, slot = 0, 0
    for j, dtype in enumerate(shape.inputs):
        kind = storage(dtype)
        if f"x{j}" in arguments:
            lines.append(f"    x{j} = stage_{kind}(record, {word}, scratch, {slot}, first, n)")
        if f"k{j}" in arguments:
            lines.append(f"    k{j} = stage_flags(record, {word}, scratch, {slot + 1}, first, n)")
        word, slot = word + WORDS_PER_COLUMN, slot + 2
    after: list[str] = []
    for j, store in enumerate(shape.stores):
        kind = storage(store.dtype)
        lines.append(f"    y{j} = place_{kind}(record, {word}, scratch, {slot}, first)")
        flags = "NO_FLAGS"
        if has_flags(store, shape):
            lines.append(f"    v{j} = place_flags(scratch, {slot + 1})")
            flags = f"v{j}"
        finish = f"finish_{kind}(record, {word}, y{j}, first, n)"
        after.append(f"    {finish}")
        if flags != "NO_FLAGS":
            after.append(f"    finish_flags(record, {word}, {flags}, first, n)")
        word, slot = word + WORDS_PER_COLUMN, slot + 2
    for j, physical in enumerate(shape.parameters):
        lines.append(f"    c{j} = parameter_{physical}(record, {word + j})")
    word += len(shape.parameters)
    lines += [f"    t{j} = word(record, {word + j})" for j in range(shape.n_tables)]
    lines.append(f"    status = loop_{k}({', '.join([*arguments, 'n'])})")
    return [*lines, *after, "    return status"]


def _entry(loops: Sequence[Loop]) -> list[str]:
    lines = [
        "def entry(table, first, n):",
        "    saved = enter_ieee()",
        "    scratch = word(table, 0)",
        "    status = int64(0)",
        "    done = int64(0)",
        "    while done < n:",
        f"        rows = min(int64({BLOCK}), n - done)",
        f"        record = table + {8 * (1 + len(loops))}",
    ]
    for k, loop in enumerate(loops):
        lines += [
            f"        for _ in range(word(table, {k + 1})):",
            f"            status |= group_{k}(record, scratch, first + done, rows)",
            f"            record += {8 * record_words(loop.shape)}",
        ]
    return [*lines, "        done += rows", "    leave_ieee(saved)", "    return status"]
