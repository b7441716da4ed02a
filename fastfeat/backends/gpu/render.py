"""Rendering: loops become the text of one CUDA module, readable and the same for the same plan.

One kernel a shape, one thread a row, one row of the grid (blockIdx.y) an instance of the shape.
A warp holds 32 rows whose first is a multiple of 32, so that the bits of a bitmap that it writes
are one word, which a ballot gives without atomics. Names in the text are positions only: x inputs,
k whether they are present, c parameters, t tables, a operations.

Words of the table: the address of the status, then for each instance

    for each input:  address and first bit of its values, address and first bit of its validity
    for each output: address of its values, address of its validity or 0, rows apart in elements
    the parameters and the addresses of tables
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from fastfeat.backends.cpu.layout import Loop, Shape, Step, Store
from fastfeat.backends.cpu.render import has_flags, reads, storage
from fastfeat.backends.gpu.expressions import CUDA
from fastfeat.ir.walk import postorder
from fastfeat.scalars.elementary import EXACT, body_of
from fastfeat.scalars.op import Op
from fastfeat.scalars.primitives import PRIMITIVES

BLOCK = 256
HEADER_WORDS = 1
INPUT_WORDS = 4
OUTPUT_WORDS = 3
INLINED_CALLS = 24
_TYPES = {"f64": "double", "i64": "i64", "b1": "bool"}
_ELEMENTS = {
    "float32": "float",
    "float64": "double",
    **{f"int{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"u{bits}" for bits in (8, 16, 32, 64)},
}
_NO_STATUS = Step("literal", (), 0, "i64")


def instance_words(shape: Shape) -> int:
    """Return how many words of the table an instance of a shape takes."""
    columns = INPUT_WORDS * len(shape.inputs) + OUTPUT_WORDS * len(shape.stores)
    return columns + len(shape.parameters) + shape.n_tables


def kernel_name(number: int) -> str:
    """Return the name of the kernel of a loop."""
    return f"loop_{number}"


def render(loops: Sequence[Loop], *, exact: bool = False) -> str:
    """Return the text of the module; its prelude is put before it where it is compiled.

    Args:
        loops: what `lay_out` returned.
        exact: with the exact reduction of large arguments of sin, cos and tan.
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
    """Yield the text of an elementary function; copied into its callers only where they are few."""
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
    """Yield the text of a kernel: loads, steps, stores."""
    name = kernel_name(number)
    yield f'extern "C" __global__ void __launch_bounds__({BLOCK})'
    yield f"{name}(const i64* table, i64 first, i64 n) {{"
    yield f"    const i64* w = table + {HEADER_WORDS} + (i64)blockIdx.y * {instance_words(shape)};"
    for text in _words(shape):
        yield f"    {text}"
    yield "    i64 status = 0;"
    yield "    const i64 step = (i64)gridDim.x * blockDim.x;"
    yield "    for (i64 start = (i64)blockIdx.x * blockDim.x; start < n; start += step) {"
    yield "        const i64 row = start + threadIdx.x;"
    yield "        const bool live = row < n;"
    yield "        const i64 i = first + (live ? row : n - 1);"
    names: list[str] = []
    for position, step in enumerate(shape.steps):
        text = _step(position, step, names, shape, exact)
        if text:
            yield f"        {text}"
    for j, store in enumerate(shape.stores):
        for text in _store(j, store, shape, names):
            yield f"        {text}"
    yield "    }"
    yield "    if (status) ff_atomic_or((i64*)table[0], status);"
    yield "}"


def _words(shape: Shape) -> Iterator[str]:
    """Yield what gives the words of an instance their names."""
    values, flags = reads(shape)
    for j, dtype in enumerate(shape.inputs):
        at, kind = INPUT_WORDS * j, storage(dtype)
        if j in values and kind == "bool":
            yield f"const u32* x{j} = (const u32*)w[{at}]; const i64 x{j}b = w[{at + 1}];"
        elif j in values:
            element = _ELEMENTS[kind]
            yield f"const {element}* __restrict__ x{j} = (const {element}*)w[{at}];"
        if j in flags:
            yield f"const u32* v{j} = (const u32*)w[{at + 2}]; const i64 v{j}b = w[{at + 3}];"
    word = INPUT_WORDS * len(shape.inputs)
    for j, store in enumerate(shape.stores):
        kind = storage(store.dtype)
        element = "u32" if kind == "bool" else _ELEMENTS[kind]
        yield f"{element}* y{j} = ({element}*)w[{word}]; u32* m{j} = (u32*)w[{word + 1}];"
        if kind != "bool":
            yield f"const i64 y{j}s = w[{word + 2}];"
        word += OUTPUT_WORDS
    for j, physical in enumerate(shape.parameters):
        read = {
            "f64": f"ff_from_bits(w[{word + j}])",
            "i64": f"w[{word + j}]",
            "b1": f"w[{word + j}] != 0",
        }
        yield f"const {_TYPES[physical]} c{j} = {read[physical]};"
    word += len(shape.parameters)
    for j in range(shape.n_tables):
        yield f"const i64 t{j} = w[{word + j}];"


def _step(number: int, step: Step, names: list[str], shape: Shape, exact: bool) -> str:
    """Return the text that computes a step, "" for what is in scope; its name is appended."""
    operands = [names[j] for j in step.args]
    names.append(f"a{number}")
    match step.name:
        case "literal":
            value: float | int | bool = step.detail
            if step.physical == "f64":
                value = struct.unpack("<d", struct.pack("<q", value))[0]
            names[-1] = _literal(value, step.physical)
            return ""
        case "parameter":
            names[-1] = f"c{step.detail}"
            return ""
        case "table":
            names[-1] = f"t{step.detail}"
            return ""
        case "input":
            j: int = step.detail
            text = _input(j, storage(shape.inputs[j]))
        case "input_ok":
            text = f"ff_present(v{step.detail}, v{step.detail}b, i)"
        case "call":
            text = f"ff_{_function(step.detail, exact)}({', '.join(operands)})"
        case _:
            text = CUDA[step.name].format(*operands)
    return f"const {_TYPES[step.physical]} {names[-1]} = {text};"


def _input(j: int, kind: str) -> str:
    """Return what reads an input: a float that is missing is NaN."""
    if kind == "bool":
        return f"ff_bit(x{j}, x{j}b, i)"
    if kind.startswith("float"):
        return f"ff_present(v{j}, v{j}b, i) ? (double)x{j}[i] : FF_NAN"
    return f"(i64)x{j}[i]"


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
    """Yield the text that writes an output; missing is NaN, or 0 with its bit clear."""
    kind, value, ok = storage(store.dtype), names[store.value], names[store.ok]
    flagged = has_flags(store, shape)
    if flagged:
        zero = "false" if kind == "bool" else "0"
        value = f"({ok} ? {value} : {zero})"
    if kind == "bool":
        yield f"ff_write_bits(y{j}, first + start, live && {value}, live);"
    elif kind.startswith("float"):
        yield f"if (live) y{j}[i * y{j}s] = ff_canonical_{kind}({value});"
        ok = f"{value} == {value}"
    else:
        yield f"if (live) y{j}[i * y{j}s] = ({_ELEMENTS[kind]}){value};"
    if flagged or kind.startswith("float"):
        yield f"if (m{j}) ff_write_bits(m{j}, first + start, live && {ok}, live);"
    if shape.steps[store.status] != _NO_STATUS:
        yield f"if (live) status |= {names[store.status]};"
