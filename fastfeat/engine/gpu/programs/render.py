"""Render the loops of a program as the text of one CUDA module, readable and deterministic.

There is one kernel per shape (a loop without names, see `layout`), one thread per row, and one row
of the grid (blockIdx.y) per instance of the shape. A warp has 32 rows, and its first row is a
multiple of 32. The bits of a bitmap that it writes are therefore one word, which a ballot gives
without atomics.

Names in the text are positions only: x inputs, k whether they are present, c parameters, t tables,
a operations.

Words of the table: the address of the status, then for each instance
    for each input:  address and first bit of its values, address and first bit of its validity
    for each output: address of its values, address of its validity or 0, rows apart in elements
    the parameters and the addresses of tables
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from fastfeat.engine.layout import Loop, Shape, ShapeStep, Store, has_flags
from fastfeat.engine.storage import output_storage, storage
from fastfeat.ir.node import postorder
from fastfeat.scalars.elementary import body_of
from fastfeat.scalars.op import EXACT, Op
from fastfeat.scalars.primitives import PRIMITIVES

_COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}


CUDA: dict[str, str] = {
    # float64
    "add_f64": "__dadd_rn({0}, {1})",
    "sub_f64": "__dsub_rn({0}, {1})",
    "mul_f64": "__dmul_rn({0}, {1})",
    "div_f64": "__ddiv_rn({0}, {1})",
    "fma": "__fma_rn({0}, {1}, {2})",
    "sqrt": "__dsqrt_rn({0})",
    "neg_f64": "ff_neg_f64({0})",
    "abs_f64": "fabs({0})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "trunc": "trunc({0})",
    "rint": "rint({0})",
    "round_f32": "ff_round_f32({0})",
    "remainder_scaled": "ff_remainder_scaled({0}, {1}, {2})",
    # int64
    "add_i64": "ff_add_i64({0}, {1})",
    "sub_i64": "ff_sub_i64({0}, {1})",
    "mul_i64": "ff_mul_i64({0}, {1})",
    "neg_i64": "ff_neg_i64({0})",
    "quotient_i64": "ff_quotient_i64({0}, {1})",
    "remainder_i64": "ff_remainder_i64({0}, {1})",
    "mulhi_u64": "ff_mulhi({0}, {1})",
    "and_i64": "({0} & {1})",
    "or_i64": "({0} | {1})",
    "xor_i64": "({0} ^ {1})",
    "not_i64": "(~{0})",
    "shl_i64": "ff_shl_i64({0}, {1})",
    "shr_i64": "ff_shr_i64({0}, {1})",
    "lshr_i64": "ff_lshr_i64({0}, {1})",
    # comparisons: with a NaN, only != is true
    **{
        f"{stem}_{kind}": f"({{0}} {sign} {{1}})"
        for stem, sign in _COMPARISONS.items()
        for kind in ("f64", "i64", "b1")
        if kind != "b1" or stem in ("eq", "ne")
    },
    # booleans: both operands are computed already, so a branch would gain nothing
    "and_b1": "({0} & {1})",
    "or_b1": "({0} | {1})",
    "xor_b1": "({0} ^ {1})",
    "not_b1": "(!{0})",
    **{f"select_{kind}": "({0} ? {1} : {2})" for kind in ("f64", "i64", "b1")},
    # conversions
    "f64_from_i64": "ff_f64_from_i64({0})",
    "i64_from_f64": "ff_i64_from_f64({0})",
    "i64_from_b1": "((i64){0})",
    "bits_i64": "ff_bits({0})",
    "bits_f64": "ff_from_bits({0})",
    # tables
    "load_f64": "ff_load_f64({0}, {1})",
    "load_i64": "ff_load_i64({0}, {1})",
}


BLOCK = 256

BLOCKS_AT_ONCE = 2
"""Blocks per multiprocessor, for at most 128 registers per thread.

Without this limit the compiler spills a few bytes in some kernels to reach a rounder number.
"""

HEADER_WORDS = 1

INPUT_WORDS = 4

OUTPUT_WORDS = 3

INLINED_CALLS = 24

_TYPES = {"f64": "double", "i64": "i64", "b1": "bool"}

_ELEMENTS = {
    "float16": "u16",
    "bfloat16": "u16",
    "float32": "float",
    "float64": "double",
    **{f"int{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"u{bits}" for bits in (8, 16, 32, 64)},
}

_PARAMETERS = {"f64": "ff_from_bits(w[{0}])", "i64": "w[{0}]", "b1": "w[{0}] != 0"}

_NO_STATUS = ShapeStep("literal", (), 0, "i64")


def instance_words(shape: Shape) -> int:
    """Return the number of words that an instance of a shape has in the table."""
    columns = INPUT_WORDS * len(shape.inputs) + OUTPUT_WORDS * len(shape.stores)
    return columns + len(shape.parameters) + len(shape.tables)


def kernel_name(number: int) -> str:
    """Return the name of the kernel of a loop."""
    return f"loop_{number}"


def render(loops: Sequence[Loop], *, exact: bool = False) -> str:
    """Return the CUDA text of the module for loops from `lay_out`, without the prelude.

    `exact` selects the exact reduction of large arguments of sin, cos and tan.
    """
    calls: list[str] = [s.detail for loop in loops for s in loop.shape.steps if s.name == "call"]
    names = sorted({_function(name, exact) for name in calls})
    inline = len(calls) <= INLINED_CALLS
    lines = ["// Fused row kernels, generated."]
    for name in names:
        lines += ["", *_elementary(name, inline=inline)]
    for k, loop in enumerate(loops):
        lines += ["", *_kernel(k, loop.shape, exact)]
    return "\n".join([*lines, ""])


def _function(name: str, exact: bool) -> str:
    return EXACT.get(name, name) if exact else name


def _elementary(name: str, *, inline: bool) -> Iterator[str]:
    """Yield the text of an elementary function, such as log; inlined if `inline`."""
    inputs, result = body_of(name)
    loops = any(PRIMITIVES[op.name].loops for op in postorder([result]) if op.name in PRIMITIVES)
    kind = "__forceinline__" if inline and not loops else "__noinline__"
    arguments = ", ".join(f"double x{k}" for k in range(len(inputs)))
    yield f"static __device__ {kind} double ff_{name}({arguments}) {{"
    names: dict[Op, str] = {node: f"x{k}" for k, node in enumerate(inputs)}
    for node in postorder([result]):
        if node in names:
            continue
        if node.name == "literal":
            names[node] = _literal(node.value, node.physical)
            continue
        names[node] = f"a{len(names)}"
        text = CUDA[node.name].format(*[names[argument] for argument in node.args])
        yield f"    const {_TYPES[node.physical]} {names[node]} = {text};"
    yield f"    return {names[result]};"
    yield "}"


def _kernel(number: int, shape: Shape, exact: bool) -> Iterator[str]:
    """Yield the text of a kernel, which loads inputs, computes steps and stores outputs."""
    name = kernel_name(number)
    yield f'extern "C" __global__ void __launch_bounds__({BLOCK}, {BLOCKS_AT_ONCE})'
    yield f"{name}(const i64* table, i64 first, i64 n) {{"
    yield f"    const i64* w = table + {HEADER_WORDS} + (i64)blockIdx.y * {instance_words(shape)};"
    yield "    i64 status = 0;"
    yield "    const i64 step = (i64)gridDim.x * blockDim.x;"
    yield "    for (i64 start = (i64)blockIdx.x * blockDim.x; start < n; start += step) {"
    yield "        const i64 row = start + threadIdx.x;"
    yield "        const bool live = row < n;"
    yield "        const i64 i = first + (live ? row : n - 1);"
    for text in _row(shape, exact):
        yield f"        {text}"
    yield "    }"
    yield "    if (status) ff_atomic_or(FF_GLOBAL(i64, table[0]), status);"
    yield "}"


def _row(shape: Shape, exact: bool) -> Iterator[str]:
    """Yield the text that computes a row: it reads all inputs, then stores each output once known.

    Other words of the table are read next to their use, so that they hold registers only briefly.
    The compiler keeps that order, because a store might change them as far as it knows.
    """
    names = [f"a{position}" for position in range(len(shape.steps))]
    texts = [_step(position, names, shape, exact) for position in range(len(shape.steps))]
    is_read = [step.name in ("input", "input_ok") for step in shape.steps]
    yield from (text for text, read in zip(texts, is_read, strict=True) if read)
    waiting = dict(enumerate(shape.stores))
    for position, (text, read) in enumerate(zip(texts, is_read, strict=True)):
        if text and not read:
            yield text
        for j, store in list(waiting.items()):
            if max(store.value, store.ok, store.status) == position:
                yield from _store(j, waiting.pop(j), shape, names)


def _step(position: int, names: list[str], shape: Shape, exact: bool) -> str:
    """Return the text of a step; "" for a literal, since its value replaces its name."""
    step = shape.steps[position]
    operands = [names[j] for j in step.args]
    match step.name:
        case "literal":
            is_float = step.physical == "f64"
            value = _float_of_bits(step.detail) if is_float else step.detail
            names[position] = _literal(value, step.physical)
            return ""
        case "parameter":
            text = _PARAMETERS[step.physical].format(_first_parameter(shape) + step.detail)
        case "table":
            text = f"w[{_first_parameter(shape) + len(shape.parameters) + step.detail}]"
        case "input":
            j: int = step.detail
            text = _input(j, storage(shape.inputs[j]))
        case "input_ok":
            text = _present(step.detail)
        case "call":
            text = f"ff_{_function(step.detail, exact)}({', '.join(operands)})"
        case _:
            text = CUDA[step.name].format(*operands)
    return f"const {_TYPES[step.physical]} {names[position]} = {text};"


def _first_parameter(shape: Shape) -> int:
    """Return the position, in an instance's words, of the first parameter."""
    return INPUT_WORDS * len(shape.inputs) + OUTPUT_WORDS * len(shape.stores)


def _input(j: int, kind: str) -> str:
    """Return the text that reads an input; a missing float is NaN."""
    at = INPUT_WORDS * j
    if kind == "bool":
        return f"ff_bit(FF_GLOBAL(const u32, w[{at}]), w[{at + 1}], i)"
    value = f"FF_GLOBAL(const {_ELEMENTS[kind]}, w[{at}])[i]"
    if kind.startswith("float"):
        return f"ff_or_missing({_present(j)}, {value})"
    return f"(i64){value}"


def _present(j: int) -> str:
    at = INPUT_WORDS * j + 2
    return f"ff_present(FF_GLOBAL(const u32, w[{at}]), w[{at + 1}], i)"


def _float_of_bits(bits: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<q", bits))
    return value


def _literal(value: float | int | bool, physical: str) -> str:
    match physical:
        case "f64":
            bits = struct.unpack("<q", struct.pack("<d", value))[0]
            if value != value or abs(value) == float("inf"):
                return f"ff_from_bits({_integer(bits)})"
            return f"({float(value).hex()})"
        case "i64":
            return _integer(int(value))
        case _:
            return "true" if value else "false"


def _integer(value: int) -> str:
    return "(-9223372036854775807LL - 1)" if value == -(1 << 63) else f"({value}LL)"


def _store(j: int, store: Store, shape: Shape, names: Sequence[str]) -> Iterator[str]:
    """Yield the text that writes an output; missing is NaN, or 0 with a cleared bit."""
    kind, value, ok = output_storage(store.dtype), names[store.value], names[store.ok]
    flagged, is_float = has_flags(store, shape), store.dtype.physical == "f64"
    at = INPUT_WORDS * len(shape.inputs) + OUTPUT_WORDS * j
    target = f"FF_GLOBAL({_ELEMENTS.get(kind, kind)}, w[{at}])[i * w[{at + 2}]]"
    if flagged:
        zero = "false" if kind == "bool" else "0"
        value = f"({ok} ? {value} : {zero})"
    if kind == "bool":
        yield f"ff_write_bits(FF_GLOBAL(u32, w[{at}]), first + start, live && {value}, live);"
    elif is_float:
        yield f"if (live) {target} = ff_canonical_{kind}({value});"
        ok = f"{value} == {value}"
    else:
        yield f"if (live) {target} = ({_ELEMENTS[kind]}){value};"
    if flagged or is_float:
        yield f"u32* m{j} = FF_GLOBAL(u32, w[{at + 1}]);"
        yield f"if (m{j}) ff_write_bits(m{j}, first + start, live && {ok}, live);"
    if shape.steps[store.status] != _NO_STATUS:
        yield f"if (live) status |= {names[store.status]};"
