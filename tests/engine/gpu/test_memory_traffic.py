"""Memory that a row moves: each column is read once, each output is written once.

Counted from the launch plan and the assembly of every kernel. Where NVIDIA's disassembler is
installed, the machine code is seen to make the very accesses of the assembly.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from fastfeat.engine.gpu.columns.memory import element_bytes
from fastfeat.engine.gpu.programs.program import device_program
from fastfeat.engine.gpu.programs.render import kernel_name
from fastfeat.engine.program import Program
from fastfeat_tests.engine.gpu.device_modules import (
    ARCHITECTURES,
    compiled,
    module_text,
    program_of_plan,
)
from fastfeat_tests.operators.sampling import first_always

pytestmark = pytest.mark.cuda_compile

PLANS = ("bench 12", "bench 200", "columns", "neighbours", "wide", "elementary", "rounding")
of_plans = pytest.mark.parametrize("name", PLANS)


@of_plans
def test_a_row_moves_hardly_more_bytes_than_it_must(name: str) -> None:
    program = program_of_plan(name)
    floor = least_bytes(program)
    assert floor <= bytes_moved(program, module_text(name)) <= 1.1 * floor


def test_the_12_features_are_one_launch_that_moves_no_byte_more() -> None:
    program = program_of_plan("bench 12")
    assert [launch.n_instances for launch in device_program(program).table.launches] == [1]
    assert least_bytes(program) == pytest.approx(98.5)
    assert bytes_moved(program, module_text("bench 12")) < least_bytes(program) + 1


def test_a_column_that_is_read_twice_shows_in_the_bytes_of_a_row() -> None:
    program, text = program_of_plan("bench 12"), module_text("bench 12")
    functions, kernel = text.split('extern "C"')
    again = re.sub(r"(double a\d+) = __dsub_rn\(a\d+", _FIRST_COLUMN, kernel, count=1)
    again = f'{functions}extern "C"{again}'
    assert again != text
    assert bytes_moved(program, again) == bytes_moved(program, text) + 8


_FIRST_COLUMN = r"\1 = __dsub_rn(FF_GLOBAL(const double, w[0])[i]"


@pytest.mark.parametrize("architecture", first_always(ARCHITECTURES))
@pytest.mark.parametrize("name", ["bench 12", "columns", "neighbours", "elementary"])
def test_machine_code_makes_the_accesses_of_the_assembly(
    name: str, architecture: int, tmp_path: Path
) -> None:
    disassembler = find_disassembler()
    module = compiled(module_text(name), architecture)
    cubin = tmp_path / "module.cubin"
    cubin.write_bytes(module.cubin)
    command = [disassembler, "-c", str(cubin)]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert accesses_of_code(code) == accesses_of_ptx(module.ptx) != Counter()
    assert not re.search(r"\b(?:LDL|STL)\b", code), "memory of a thread"


def least_bytes(program: Program) -> float:
    """Return the bytes of all columns and outputs of a row, each once."""
    has_validity = device_program(program).has_validity
    read = sum(element_bytes(slot.dtype) for slot in program.inputs)
    written = sum(element_bytes(output.dtype) for output in program.outputs)
    return read + written - (len(has_validity) - sum(has_validity)) / 8


def bytes_moved(program: Program, text: str) -> float:
    """Return the bytes of columns and bitmaps that all launches together move for a row.

    No column may be of 32-bit integers, which in the assembly look as the words of bitmaps do.
    """
    columns = (*program.inputs, *program.outputs)
    assert not {"int32", "uint32"} & {column.dtype.name for column in columns}
    ptx = kernels_in(compiled(text, 90).ptx, _PTX_KERNEL)
    texts = kernels_in(text, _TEXT_KERNEL)
    return sum(
        launch.n_instances * bytes_of_kernel(ptx[name], texts[name])
        for launch in device_program(program).table.launches
        for name in [kernel_name(launch.loop)]
    )


def bytes_of_kernel(ptx: str, text: str) -> float:
    """Return the bytes of columns and bitmaps that the assembly of a kernel moves for a row.

    Words of the table, that of the status among them, and searched tables are not counted: all rows
    share them. A word of a bitmap is for 32 rows.
    """
    accesses = re.findall(r"\b(?:ld|st)\.global\.([a-z])(\d+)\s[^\[]*\[(%rd\d+)(\+\d+)?\]", ptx)
    bases = Counter(base for _, _, base, offset in accesses if offset)
    ((table, _),) = bases.most_common(1)
    of_columns = [(kind, int(bits)) for kind, bits, base, _ in accesses if base != table]
    n_bytes = sum(1 / 8 if of == ("u", 32) else of[1] / 8 for of in of_columns)
    n_statuses = len(re.findall(r"\b(?:atom|red)\.global", ptx))
    return n_bytes - 8 * (text.count("ff_load_f64(") + n_statuses)


_PTX_KERNEL = re.compile(r"\.entry (\w+)\((.*?)^\}", re.DOTALL | re.MULTILINE)
_TEXT_KERNEL = re.compile(r"^(\w+)\(const i64\* table(.*?)^\}", re.DOTALL | re.MULTILINE)


def kernels_in(text: str, pattern: re.Pattern[str]) -> dict[str, str]:
    """Return the text of each kernel by its name."""
    return {match[1]: match[2] for match in pattern.finditer(text)}


Accesses = Counter[tuple[str, int]]
"""How many loads ("ld") and stores ("st") of global memory there are, by their bits."""


def accesses_of_ptx(ptx: str) -> Accesses:
    found = re.findall(r"\b(ld|st)\.global(?:\.\w+)*?\.[a-z](\d+)\s", ptx)
    return Counter((kind, int(bits)) for kind, bits in found)


def accesses_of_code(code: str) -> Accesses:
    def all_of() -> Iterator[tuple[str, int]]:
        for kind, options in re.findall(r"\b(LDG|STG)\.E((?:\.\w+)*)\s", code):
            width = re.search(r"\.[SU]?(8|16|64|128)\b", options)
            yield "ld" if kind == "LDG" else "st", int(width[1]) if width else 32

    return Counter(all_of())


def find_disassembler() -> str:
    """Return the path of NVIDIA's disassembler; skips the test without one."""
    spec = find_spec("nvidia")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    places = (Path(folder) / "cu13/bin/nvdisasm" for folder in folders)
    program = next((str(p) for p in places if p.is_file()), None) or shutil.which("nvdisasm")
    if program is None:
        pytest.skip("nvdisasm is not installed: nvidia-cuda-nvdisasm")
    return program
