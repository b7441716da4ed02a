"""Render loops as one module of LLVM text, readable and identical for identical loops.

Names in the text have a letter and a number: x inputs, k their flags, y outputs, v their flags, c
parameters, t tables, s strides (log2 of the words between two groups of a table), a the steps of a
row. The driver in `fastfeat_kernels.rows` calls `entry` with the number of a loop, the address of
its words and the number of its rows. Rendering needs no compiler.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

from fastfeat.engine.cpu.lines import (
    WORD_ROWS,
    Lines,
    read_element,
    read_elements,
    read_word,
    write_element,
    write_word,
)
from fastfeat.engine.cpu.words import (
    ENTRY,
    NO_STATUS,
    bool_of,
    gives_bits,
    interleaved,
    is_of_group,
    n_strides,
    reads,
)
from fastfeat.engine.layout import Shape, ShapeStep, Store, has_flags
from fastfeat.ir.node import postorder
from fastfeat.scalars.elementary import body_of
from fastfeat.scalars.primitives import LLVM_TYPES, PRIMITIVES, llvm_constant

INLINED_CALLS = 24
_DECLARED = {
    "prefetch.p0": "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
    "memcpy.p0.p0.i64": "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
    "memset.p0.i64": "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
}
"""The declarations of intrinsics that are not of floats."""
_INTRINSIC = re.compile(r"@llvm\.(\w+)\.((?:v\d+)?f64)\(")


def render(shapes: Sequence[Shape], lanes: int) -> str:
    """Return LLVM text for all loops, and for the function `entry`, by which the driver calls them.

    `shapes` has the types of columns in memory. `lanes` is the number of float64 values in a vector
    of this processor.
    """
    calls: list[str] = [s.detail for shape in shapes for s in shape.steps if s.name == "call"]
    names = sorted(set(calls))
    separate = {name for name in names if len(calls) > INLINED_CALLS or _loops(name)}
    parts = [
        _loop_of_bits(k, shape) if gives_bits(shape) else _loop(k, shape, lanes, separate)
        for k, shape in enumerate(shapes)
    ]
    parts.append(_entry(shapes))
    for name in names:
        parts += _separate(name, lanes) if name in separate else [_inlined(name)]
    return "\n\n".join([*parts, *declarations("".join(parts))]) + "\n"


@cache
def _loops(name: str) -> bool:
    """Return whether an elementary function contains a loop; such functions are not inlined."""
    nodes = postorder([body_of(name)[1]])
    return any(node.name in PRIMITIVES and PRIMITIVES[node.name].loops for node in nodes)


@cache
def _body(name: str, lanes: int | None, linkage: str, attributes: str) -> str:
    """Return the LLVM text of an elementary function, on scalars or on vectors of `lanes`."""
    inputs, result = body_of(name)
    kind, suffix = ("double", "") if lanes is None else (f"<{lanes} x double>", f"_v{lanes}")
    lines = Lines("entry")
    values = {node: f"%x{k}" for k, node in enumerate(inputs)}
    for k, node in enumerate(postorder([result])):
        if node.name == "literal":
            values[node] = llvm_constant(node.physical, node.value, lanes)
        elif node not in values:
            args = [values[argument] for argument in node.args]
            values[node] = lines.primitive(node.name, args, f"a{k}", lanes)
    lines.do(f"ret {kind} {values[result]}")
    given = ", ".join(f"{kind} %x{k}" for k in range(len(inputs)))
    head = f"define {linkage} {kind} @fastfeat_{name}{suffix}({given}) {attributes} {{"
    return "\n".join([head, "entry:", *lines.texts, "}"])


def _inlined(name: str) -> str:
    """Return the text of an elementary function that LLVM copies into each loop that calls it."""
    return _body(name, None, "internal", "alwaysinline nounwind")


def _separate(name: str, lanes: int) -> list[str]:
    """Return the texts of an elementary function and of its vector form, for vectorized loops.

    The vector form has weak linkage, so that it is kept although nothing calls it yet.
    """
    pure = "noinline nounwind willreturn memory(none)"
    form = f"fastfeat_{name}(fastfeat_{name}_v{lanes})"
    parameters = "v" * len(body_of(name)[0])
    variant = f'"vector-function-abi-variant"="_ZGV_LLVM_N{lanes}{parameters}_{form}"'
    scalar = _body(name, None, "internal", f"{pure} {variant}")
    return [scalar, _body(name, lanes, "weak_odr", pure)]


def _arguments(shape: Shape) -> list[tuple[str, str, int]]:
    """Return the arguments of a loop's function: name, LLVM type, and position among its words."""
    values, flags = reads(shape)
    found: list[tuple[str, str, int]] = []
    for j in range(len(shape.inputs)):
        if j in values:
            found.append((f"x{j}", "ptr", 2 * j))
        if j in flags:
            found.append((f"k{j}", "ptr", 2 * j + 1))
    word = 2 * len(shape.inputs)
    for j, store in enumerate(shape.stores):
        found.append((f"y{j}", "ptr", word))
        if has_flags(store, shape):
            found.append((f"v{j}", "ptr", word + 1))
        word += 2
    types = [(f"c{j}", LLVM_TYPES[physical]) for j, physical in enumerate(shape.parameters)]
    types += [(f"t{j}", "i64") for j in range(len(shape.tables))]
    types += [(f"s{j}", "i64") for j in range(n_strides(shape))]
    return [*found, *((name, kind, word + j) for j, (name, kind) in enumerate(types))]


def _loop(k: int, shape: Shape, lanes: int, separate: set[str]) -> str:
    """Return the LLVM text of a loop as a function: loads, steps, stores.

    If it calls vector functions, it is allowed as many lanes (values per vector) as they use. For
    some processors with 512-bit registers LLVM prefers 256 bits, and such loops then called scalar
    functions.
    """
    lines = Lines("entry")
    for number, table, stride in _asked_ahead(shape):
        _for_each_row(lines, f"ask{stride}", partial(_ask, shape, number, table, stride))
    last = [j for j, store in enumerate(shape.stores) if shape.steps[store.status] != NO_STATUS]
    status = f"%status.{last[-1]}" if last else "0"

    def row(part: Lines, i: str) -> None:
        values, before = _steps(part, i, shape), "%status"
        for j, store in enumerate(shape.stores):
            _store(part, i, j, store, shape, values)
            if shape.steps[store.status] != NO_STATUS:
                part.do(f"%status.{j} = or i64 {before}, {values[store.status]}")
                before = f"%status.{j}"

    _for_each_row(lines, "rows", row, status if last else None)
    lines.do(f"ret i64 {'%status.all' if last else '0'}")
    given = [
        f"ptr noalias %{n}" if kind == "ptr" else f"{kind} %{n}" for n, kind, _ in _arguments(shape)
    ]
    calls = any(step.name == "call" and step.detail in separate for step in shape.steps)
    width = f' "prefer-vector-width"="{64 * lanes}"' if calls else ""
    head = f"define internal i64 @loop_{k}({', '.join([*given, 'i64 %n'])})"
    return "\n".join([f"{head} noinline nounwind{width} {{", "entry:", *lines.texts, "}"])


def _loop_of_bits(k: int, shape: Shape) -> str:
    """Return the LLVM text of a loop that computes 64 rows at a time, see `words.gives_bits`.

    The rows after the last whole word of 64 rows are copied to memory of the function, since
    vectors may not read past the end of a column.
    """
    lines, arguments = Lines("entry"), _arguments(shape)
    values, flags = reads(shape)
    columns = [(f"x{j}", shape.inputs[j].name) for j in sorted(values)]
    columns += [(f"k{j}", "bool") for j in sorted(flags)]
    columns += [
        (f"y{j}", "bool" if store.dtype.name == "bool" else "uint8")
        for j, store in enumerate(shape.stores)
    ]
    columns += [
        (f"v{j}", "bool") for j, store in enumerate(shape.stores) if has_flags(store, shape)
    ]
    types = {name: kind for name, kind, _ in arguments}
    parameters = [f"c{j}" for j in range(len(shape.parameters))]
    head = [f"ptr %{name}" for name, _ in columns] + [f"{types[c]} %{c}" for c in parameters]
    word = _word_of_bits(k, shape, head)
    lines.do("%whole = and i64 %n, -64")
    lines.do("%some = icmp sgt i64 %whole, 0")
    lines.do("br i1 %some, label %words, label %words.done")
    lines.start("words")
    lines.do("%i = phi i64 [ 0, %entry ], [ %next, %words ]")
    given = ", ".join([*head, "i64 %i"])
    lines.do(f"call void @word_{k}({given})")
    lines.do(f"%next = add nuw nsw i64 %i, {WORD_ROWS}")
    lines.do("%again = icmp slt i64 %next, %whole")
    lines.do("br i1 %again, label %words, label %words.done")
    lines.start("words.done")
    lines.do("%rest = sub i64 %n, %whole")
    lines.do("%any = icmp sgt i64 %rest, 0")
    lines.do("br i1 %any, label %tail, label %end")
    lines.start("tail")
    copied = [_copy_of_rest(lines, name, element) for name, element in columns]
    given = ", ".join([*(f"ptr {memory}" for memory, _ in copied), *head[len(columns) :], "i64 0"])
    lines.do(f"call void @word_{k}({given})")
    for (name, element), (memory, size) in zip(columns, copied, strict=True):
        if name[0] in "yv" and element == "bool":
            lines.name(f"{name}.back")
            kept = lines.put(f"sub i64 {lines.put('shl i64 1, %rest')}, 1")
            bits = lines.put(f"and i64 {lines.put(f'load i64, ptr {memory}')}, {kept}")
            lines.do(f"store i64 {bits}, ptr %{name}.rest, align 1")
        elif name[0] in "yv":
            lines.do(_copy_bytes(f"%{name}.rest", memory, size))
    lines.do("br label %end")
    lines.start("end")
    lines.do("ret i64 0")
    told = [f"ptr noalias %{n}" if kind == "ptr" else f"{kind} %{n}" for n, kind, _ in arguments]
    text = f"define internal i64 @loop_{k}({', '.join([*told, 'i64 %n'])}) noinline nounwind {{"
    return "\n".join([word, "", text, "entry:", *lines.texts, "}"])


def _word_of_bits(k: int, shape: Shape, head: Sequence[str]) -> str:
    """Return the LLVM text of a function that computes 64 rows from row `i`."""
    lines, n, i = Lines("entry"), WORD_ROWS, "%i"
    values: list[str] = []
    for number, step in enumerate(shape.steps):
        lines.name(f"a{number}")
        match step.name:
            case "literal":
                found = _literal(step, n)
            case "input":
                j: int = step.detail
                found = read_elements(lines, shape.inputs[j].name, f"%x{j}", f"%k{j}", i)
            case "input_ok":
                found = read_word(lines, f"%k{step.detail}", i)
            case "parameter":
                kind = f"<{n} x {LLVM_TYPES[step.physical]}>"
                one = f"{LLVM_TYPES[step.physical]} %c{step.detail}"
                first = lines.put(f"insertelement {kind} poison, {one}, i64 0")
                found = lines.put(
                    f"shufflevector {kind} {first}, {kind} poison, <{n} x i32> zeroinitializer"
                )
            case _:
                args = [values[argument] for argument in step.args]
                found = lines.primitive(step.name, args, f"a{number}", n)
        values.append(found)
    for j, store in enumerate(shape.stores):
        lines.name(f"y{j}")
        place = bool_of(store, shape)
        assert place is not None
        value = values[place]
        if has_flags(store, shape):
            ok = values[store.ok]
            write_word(lines, f"%v{j}", i, ok)
            value = lines.put(f"and <{n} x i1> {value}, {ok}")
        if store.dtype.name == "bool":
            write_word(lines, f"%y{j}", i, value)
        else:
            numbers = lines.put(f"zext <{n} x i1> {value} to <{n} x i8>")
            address = lines.put(f"getelementptr i8, ptr %y{j}, i64 {i}")
            lines.do(f"store <{n} x i8> {numbers}, ptr {address}, align 1")
    lines.do("ret void")
    given = ", ".join(part.replace("ptr %", "ptr noalias %") for part in head)
    text = f"define internal void @word_{k}({given}, i64 %i) alwaysinline nounwind {{"
    return "\n".join([text, "entry:", *lines.texts, "}"])


def _copy_of_rest(lines: Lines, name: str, element: str) -> tuple[str, str]:
    """Add memory for 64 rows of a column, with those after the last whole word if it is an input.

    Return the names of the memory and of the number of bytes to copy. A bool takes a bit.
    """
    lines.name(f"{name}.rest")
    is_bits = element == "bool"
    n_bytes = 1 if is_bits else int("".join(filter(str.isdigit, element))) // 8
    size = 8 if is_bits else WORD_ROWS * n_bytes
    memory = lines.put(f"alloca [{size} x i8], align 64")
    # zeros, because what a guard of a row tests must not be undefined
    zeros = f"ptr align 64 {memory}, i8 0, i64 {size}, i1 false"
    lines.do(f"call void @llvm.memset.p0.i64({zeros})")
    if is_bits:
        at, copied = lines.put("lshr i64 %whole, 3"), "8"
    else:
        at = lines.put(f"mul i64 %whole, {n_bytes}")
        copied = lines.put(f"mul i64 %rest, {n_bytes}")
    lines.do(f"%{name}.rest = getelementptr i8, ptr %{name}, i64 {at}")
    if name[0] in "xk":
        lines.do(_copy_bytes(memory, f"%{name}.rest", copied))
    return memory, copied


def _copy_bytes(target: str, source: str, size: str) -> str:
    """Return the LLVM text of a copy of bytes."""
    return f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)"


def _for_each_row(
    lines: Lines, label: str, write: Callable[[Lines, str], None], status: str | None = None
) -> None:
    """Add the LLVM text of a loop over the rows."""
    before, part = lines.block, Lines(label)
    write(part, f"%{label}.i")
    lines.do(f"%{label}.some = icmp sgt i64 %n, 0")
    lines.do(f"br i1 %{label}.some, label %{label}, label %{label}.done")
    lines.start(label)
    lines.do(f"%{label}.i = phi i64 [ 0, %{before} ], [ %{label}.next, %{part.block} ]")
    if status:
        lines.do(f"%status = phi i64 [ 0, %{before} ], [ {status}, %{part.block} ]")
    lines.texts += part.texts
    lines.do(f"%{label}.next = add nuw nsw i64 %{label}.i, 1")
    lines.do(f"%{label}.again = icmp slt i64 %{label}.next, %n")
    lines.do(f"br i1 %{label}.again, label %{label}, label %{label}.done")
    lines.start(f"{label}.done")
    if status:
        lines.do(f"%status.all = phi i64 [ 0, %{before} ], [ {status}, %{part.block} ]")


def _asked_ahead(shape: Shape) -> Iterator[tuple[int, int, int]]:
    """Yield the tables of groups to prefetch, as (input with group numbers, table, stride)."""
    asked: set[int] = set()
    strides = interleaved(shape)
    for step in shape.steps:
        if is_of_group(step, shape):
            table, number = (shape.steps[argument] for argument in step.args)
            stride = strides[table.detail]
            if stride not in asked and number.name == "input":
                yield number.detail, table.detail, stride
            asked.add(stride)


def _ask(shape: Shape, number: int, table: int, stride: int, lines: Lines, i: str) -> None:
    """Add a prefetch of row `i`'s element in a table of groups, before any row needs it."""
    lines.name(f"ask{stride}")
    group = read_element(lines, shape.inputs[number].name, f"%x{number}", f"%k{number}", i)
    n_bytes = lines.put(f"shl i64 {lines.put(f'shl i64 {group}, %s{stride}')}, 3")
    address = lines.put(f"inttoptr i64 {lines.put(f'add i64 %t{table}, {n_bytes}')} to ptr")
    lines.do(f"call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 3, i32 1)")


def _steps(lines: Lines, i: str, shape: Shape) -> list[str]:
    """Add the text of all steps of a row; return the name of each step's value."""
    values: list[str] = []
    for number, step in enumerate(shape.steps):
        args = [values[argument] for argument in step.args]
        lines.name(f"a{number}")
        values.append(_step(lines, i, number, step, args, shape))
    return values


def _step(
    lines: Lines, i: str, number: int, step: ShapeStep, args: Sequence[str], shape: Shape
) -> str:
    """Add the text that computes a step; return the name of its value."""
    match step.name:
        case "literal":
            return _literal(step)
        case "input":
            j: int = step.detail
            return read_element(lines, shape.inputs[j].name, f"%x{j}", f"%k{j}", i)
        case "input_ok":
            return read_element(lines, "bool", f"%k{step.detail}", "", i)
        case "parameter":
            return f"%c{step.detail}"
        case "table":
            return f"%t{step.detail}"
        case "call":
            given = ", ".join(f"double {x}" for x in args)
            return lines.put(f"call double @fastfeat_{step.detail}({given})")
        case "load_f64" | "load_i64" if is_of_group(step, shape):
            stride = interleaved(shape)[shape.steps[step.args[0]].detail]
            place = lines.put(f"shl i64 {args[1]}, %s{stride}")
            return lines.primitive(step.name, [args[0], place], f"a{number}.at")
        case _:
            return lines.primitive(step.name, args, f"a{number}")


def _literal(step: ShapeStep, lanes: int | None = None) -> str:
    if step.physical == "f64":
        (value,) = struct.unpack("<d", struct.pack("<q", step.detail))
        return llvm_constant("f64", value, lanes)
    return llvm_constant("i64" if step.physical == "i64" else "b1", step.detail, lanes)


def _store(lines: Lines, i: str, j: int, store: Store, shape: Shape, values: Sequence[str]) -> None:
    """Add the text that writes an output of a row; missing is NaN, or 0 with a cleared flag."""
    lines.name(f"y{j}")
    value, ok = values[store.value], values[store.ok]
    if has_flags(store, shape):
        write_element(lines, "bool", f"%v{j}", i, ok)
        kind = LLVM_TYPES[shape.steps[store.value].physical]
        zero = "false" if kind == "i1" else "0"
        value = lines.put(f"select i1 {ok}, {kind} {value}, {kind} {zero}")
    write_element(lines, store.dtype.name, f"%y{j}", i, value)


def _entry(shapes: Sequence[Shape]) -> str:
    """Return the text of the function that the driver calls; it unpacks the words of a loop."""
    lines = Lines("entry")
    cases = " ".join(f"i64 {k}, label %call_{k}" for k in range(len(shapes)))
    lines.do("%words = inttoptr i64 %address to ptr")
    lines.do(f"switch i64 %loop, label %none [ {cases} ]")
    for k, shape in enumerate(shapes):
        lines.start(f"call_{k}")
        given: list[str] = []
        for name, kind, word in _arguments(shape):
            lines.name(f"{name}_{k}")
            x = lines.element("i64", "%words", str(word))
            match kind:
                case "ptr":
                    x = lines.put(f"inttoptr i64 {x} to ptr")
                case "double":
                    x = lines.put(f"bitcast i64 {x} to double")
                case "i1":
                    x = lines.put(f"icmp ne i64 {x}, 0")
                case _:
                    pass
            given.append(f"{kind} {x}")
        lines.name(f"status_{k}")
        status = lines.put(f"call i64 @loop_{k}({', '.join([*given, 'i64 %n'])})")
        lines.do(f"ret i64 {status}")
    head = f"define i64 @{ENTRY}(i64 %loop, i64 %address, i64 %n) nounwind {{"
    return "\n".join([head, "entry:", *lines.texts, "none:", "  ret i64 0", "}"])


def declarations(text: str) -> list[str]:
    """Return the declarations of the LLVM intrinsics that a text calls."""
    found: list[str] = []
    for name, suffix in sorted(set(_INTRINSIC.findall(text))):
        kind = "double" if suffix == "f64" else f"<{suffix[1:-3]} x double>"
        given = ", ".join([kind] * (3 if name == "fma" else 1))
        found.append(f"declare {kind} @llvm.{name}.{suffix}({given})")
    found += [line for name, line in _DECLARED.items() if f"@llvm.{name}(" in text]
    return ["\n".join(found)] if found else []
