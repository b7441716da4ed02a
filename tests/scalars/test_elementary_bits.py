"""Interpreter, inlined scalars and vector bodies give the same bits; and the loops vectorize."""

from __future__ import annotations

import numpy as np
import pytest
from fastfeat_kernels import llvm, processor

from fastfeat.engine.cpu.words import ENTRY
from fastfeat.ir.node import postorder
from fastfeat.scalars.elementary import BODIES, body_of
from fastfeat.scalars.interpret import elementary_function
from fastfeat.scalars.primitives import PRIMITIVES
from fastfeat_tests.scalars.elementary_arguments import anything
from fastfeat_tests.scalars.elementary_kernels import (
    FORMS,
    NAMES,
    llvm_text,
    run,
    same_bits,
    text_of,
)

N = 1500


def _loops(name: str) -> bool:
    return any(op.name == "remainder_scaled" for op in postorder([body_of(name)[1]]))


@pytest.mark.parametrize("name", BODIES)
def test_compiled_forms_equal_the_interpreter(name: str):
    arguments = anything(name, N)
    interpreted = elementary_function(name)
    rows = zip(*[argument.tolist() for argument in arguments], strict=True)
    expected = np.array([interpreted(*row) for row in rows])
    for form in FORMS:
        assert same_bits(run(form, name, *arguments), expected), form


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("n", [1, 3, 17])
def test_a_value_does_not_depend_on_its_place_in_a_loop(name: str, n: int):
    arguments = anything(name, 2000)
    whole = run("called", name, *arguments)
    for start in (0, 5, len(whole) - n):
        part = [argument[start : start + n] for argument in arguments]
        assert same_bits(run("called", name, *part), whole[start : start + n])


def test_inlined_functions_leave_no_call_and_vectorize():
    text = llvm_text("inlined")
    called = {name for name in BODIES if f"@fastfeat_{name}(" in text}
    looping = {name for name in BODIES if _loops(name)}
    assert called == looping
    # one loop a function; LLVM names the body of each that it vectorized
    n_vector_loops = sum(line.startswith("vector.body") for line in text.splitlines())
    assert n_vector_loops == len(BODIES)


@pytest.mark.parametrize("name", BODIES)
def test_called_functions_are_called_on_vectors(name: str):
    lanes = processor.lanes()
    assert f"call <{lanes} x double> @fastfeat_{name}_v{lanes}(" in llvm_text("called")


def test_a_kernel_that_calls_all_of_them_needs_no_foreign_symbol():
    code, _ = llvm.compile_text(text_of(NAMES), ENTRY)
    assert code


def test_bodies_hold_primitives_only():
    for name in BODIES:
        names = {op.name for op in postorder([body_of(name)[1]])}
        assert names - PRIMITIVES.keys() <= {"literal", "input"}, name
