"""Every primitive as LLVM text gives the bits of its reference, for scalars and for vectors."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels import llvm, processor
from fastfeat_kernels.load import LoadedKernel, load_object
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeat.engine.cpu.render import declarations
from fastfeat.scalars.primitives import LLVM_TYPES, PRIMITIVES, llvm_template
from fastfeat_tests.scalars.primitive_arguments import (
    SPECIAL_FLOATS,
    SPECIAL_INTEGERS,
    arguments,
    is_same,
    word,
)

N_ROWS = 64
NAMES = [name for name, row in PRIMITIVES.items() if not row.reads_memory]
LOADS = [name for name, row in PRIMITIVES.items() if row.reads_memory]


def case_of(k: int, name: str, lanes: int | None) -> str:
    """Return the block that applies a primitive to the words of some rows."""
    row, operands = PRIMITIVES[name], []
    many = "{0}" if lanes is None else f"<{lanes} x {{0}}>"
    wide = many.format("i64")
    lines = [f"of_{k}:"]
    for j in range(len(row.args) + 1):
        lines.append(f"%p{k}.{j} = getelementptr i64, ptr %words, i64 {j}")
        lines.append(f"%q{k}.{j} = load ptr, ptr %p{k}.{j}")
    for j, kind in enumerate(row.args):
        memory = wide if kind == "b1" else many.format(LLVM_TYPES[kind])
        lines.append(f"%x{k}.{j} = load {memory}, ptr %q{k}.{j}, align 8")
        if kind == "b1":
            lines.append(f"%b{k}.{j} = trunc {wide} %x{k}.{j} to {many.format('i1')}")
        operands.append(f"%{'b' if kind == 'b1' else 'x'}{k}.{j}")
    lines.append(llvm_template(name, lanes).format(*operands, n=f"r{k}", block=f"of_{k}"))
    found, memory = f"%r{k}", many.format(LLVM_TYPES[row.result])
    if row.result == "b1":
        lines.append(f"%w{k} = zext {memory} %r{k} to {wide}")
        found, memory = f"%w{k}", wide
    lines.append(f"store {memory} {found}, ptr %q{k}.{len(row.args)}, align 8")
    return "\n".join([*lines, "ret i64 0"])


@cache
def kernel(lanes: int | None) -> LoadedKernel:
    """Return a kernel (primitive, words, 0), whose words are the addresses of columns."""
    names = NAMES if lanes else list(PRIMITIVES)
    cases = " ".join(f"i64 {k}, label %of_{k}" for k in range(len(names)))
    text = "\n".join(
        [
            "define i64 @entry(i64 %k, i64 %address, i64 %n) {",
            "%words = inttoptr i64 %address to ptr",
            f"switch i64 %k, label %none [ {cases} ]",
            *(case_of(k, name, lanes) for k, name in enumerate(names)),
            "none:",
            "ret i64 1",
            "}",
        ]
    )
    return load_object(*llvm.compile_text("\n".join([text, *declarations(text)]), "entry"))


def computed(name: str, columns: list[np.ndarray[Any, Any]], lanes: int | None) -> list[int]:
    """Return the words of the results of a primitive."""
    arrays = [*columns, np.empty(N_ROWS, np.int64)]
    k = (NAMES if lanes else list(PRIMITIVES)).index(name)
    for start in range(0, N_ROWS, lanes or 1):
        words = np.array([array[start:].ctypes.data for array in arrays])
        assert kernel(lanes)(k, words.ctypes.data, 0) == 0
    return arrays[-1].tolist()


@pytest.mark.parametrize("name", NAMES)
# one example is N_ROWS rows of arguments
@settings(max_examples=8 + settings().max_examples // 10)
@given(data=st.data())
def test_a_text_gives_the_bits_of_the_reference(name: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(arguments(name), min_size=N_ROWS, max_size=N_ROWS))
    row = PRIMITIVES[name]
    columns = [np.array([word(r[k], kind) for r in rows]) for k, kind in enumerate(row.args)]
    for lanes in (None, processor.lanes()):
        for operands, found in zip(rows, computed(name, columns, lanes), strict=True):
            assert is_same(found, row.python(*operands), row.result), (operands, found, lanes)


@pytest.mark.parametrize("name", LOADS)
def test_a_load_reads_an_element(name: str) -> None:
    kind = PRIMITIVES[name].result
    values = SPECIAL_FLOATS if kind == "f64" else SPECIAL_INTEGERS
    content = np.array([word(value, kind) for value in values])
    k = np.arange(N_ROWS) % len(content)
    columns = [np.full(N_ROWS, content.ctypes.data), k]
    assert computed(name, columns, None) == content[k].tolist()
