"""Generated loops are fused and vectorized: no call in them but to our own vector bodies."""

from __future__ import annotations

import platform
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels import llvm, processor
from fastfeat_kernels.elf import undefined_symbols

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu.render import INLINED_CALLS
from fastfeat.engine.cpu.words import ENTRY

ROWS = pa.table(
    {
        **{name: pa.array([1.0, None], pa.float64()) for name in "abcd"},
        **{name: pa.array([1.0, None], pa.float32()) for name in "efgh"},
        "i": [1, None],
        "flag": [True, None],
    }
)
# an instruction on several float64 at once
PACKED = {
    "x86_64": re.compile(r"\tv?(?:add|sub|mul|div|max|min|and|sqrt|cmp\w*|fn?m\w+)pd\t"),
    "aarch64": re.compile(r"\tf(?:add|sub|mul|div|mla|mls|sqrt|cm\w+|abs|max\w*|min\w*)\t.*\.2d"),
}
CALL = {"x86_64": re.compile(r"\tcallq?\t"), "aarch64": re.compile(r"\tblr?\t")}
needs_known_assembly = pytest.mark.skipif(
    platform.machine() not in PACKED, reason="no known instructions of this machine"
)


def twelve_features() -> dict[str, ff.Expr]:
    """Return the twelve features of the benchmark of rows: thirteen columns."""
    a, b, c, d, e, f, g, h = (col(name) for name in "abcdefgh")
    return {
        "filled": a.fill_null(10.0),
        "clipped": b.fill_null(0.0).clip(-8, 8),
        "log": c.fill_null(0.0).log1p(),
        "scaled": ((a - 10.0) / 3.0).fill_null(0.0),
        "ratio": (a / b).fill_null(0.0).fill_infinite(0.0),
        "narrow": (e / f).fill_null(0.0).fill_infinite(0.0),
        "chosen": ff.when(d > 0).then(d).otherwise(e),
        "bin": g.cut([float(edge) for edge in np.linspace(5, 95, 10)]),
        "turn": h.cyclical(24),
        "log_scaled": ((e.abs().log1p() - 0.9) / 0.5).fill_null(0.0),
        "winsorized": ((h.clip(1, 23) - 12.0) / 6.9).fill_null(0.0),
        "sigmoid": (a - d).sigmoid(),
    }


def sixty_features() -> dict[str, ff.Expr]:
    """Return sixty features that call more elementary functions than are inlined."""
    functions = ("exp", "log", "sin", "cos", "tan", "sigmoid", "cbrt", "arctan", "tanh", "log2")
    features: dict[str, ff.Expr] = {}
    for k in range(60):
        x, y = col("abcdefgh"[k % 8]), col("abcdefgh"[k // 3 % 8])
        first, second = functions[k % 10], functions[(k * k + k // 10) % 10]
        features[f"f{k}"] = getattr(getattr(x * (k + 1.5), first)() - y, second)() + 1.0
    return features


PLANS = {"twelve": twelve_features, "sixty": sixty_features}


@cache
def text_of(name: str) -> str:
    return ff.Plan(PLANS[name](), dtype="float32").fit(ROWS).explain("cpu")


def n_calls(text: str) -> int:
    """Return how many calls of elementary functions a text has."""
    return len(re.findall(r"call double @fastfeat_", text))


@dataclass(frozen=True)
class Function:
    """A function of a module: its basic blocks by label, each with its lines."""

    name: str
    blocks: dict[str, list[str]]

    def calls(self, labels: str = "") -> Counter[str]:
        """Return how often each function is called in the blocks whose label begins so."""
        lines = [x for label, b in self.blocks.items() if label.startswith(labels) for x in b]
        found = (re.search(r"\bcall\b[^@]*@\"?([\w.$]+)", line) for line in lines)
        return Counter(match[1] for match in found if match and not match[1].startswith("llvm."))


@cache
def compiled(name: str) -> tuple[str, str, bytes]:
    """Return LLVM text, assembly and object code of the optimized module of a plan."""
    text = text_of(name)
    return str(llvm.optimized(text)), llvm.assembly_of(text), llvm.compile_text(text, ENTRY)[0]


@cache
def functions_of(name: str) -> list[Function]:
    """Return the functions of the optimized module of a plan, from its LLVM text."""
    functions: list[Function] = []
    label = ""
    for line in compiled(name)[0].splitlines():
        if line.startswith("define "):
            label = "entry"
            symbol = re.search(r"@\"?([^\"(]+)", line)
            assert symbol is not None
            functions.append(Function(symbol[1], {label: []}))
        elif functions and (match := re.match(r"\"?([\w.$-]+)\"?:", line)):
            label = match[1]
            functions[-1].blocks[label] = []
        elif functions:
            functions[-1].blocks[label].append(line)
    return functions


def loops_of(name: str) -> list[Function]:
    return [function for function in functions_of(name) if re.search(r"loop_\d+", function.name)]


@pytest.mark.parametrize("name", PLANS)
def test_explain_shows_fused_loops_that_write_every_feature(name):
    text = text_of(name)
    fitted = ff.Plan(PLANS[name](), dtype="float32").fit(ROWS)
    n_loops = len(re.findall(r"^rows:", text, re.MULTILINE))
    assert 1 <= n_loops <= len(fitted.feature_names) / 6
    n_written = len(re.findall(r"^  store i32 %y\d+", text, re.MULTILINE))
    assert n_written == len(fitted.feature_names)
    for name in fitted.feature_names:
        assert re.search(rf"^; loop \d+: .*\by\d+ {name}\b.* <- x0 \w", text, re.MULTILINE)


def test_the_plans_lie_on_both_sides_of_the_limit_for_inlining():
    calls = {name: n_calls(text_of(name)) for name in PLANS}
    assert 0 < calls["twelve"] <= INLINED_CALLS < calls["sixty"]


@pytest.mark.parametrize("name", PLANS)
def test_every_loop_is_vectorized(name):
    loops = loops_of(name)
    assert len(loops) == text_of(name).count("@loop_") // 2
    for loop in loops:
        assert any(label.startswith("vector.body") for label in loop.blocks), loop.name


def test_loops_with_few_elementary_functions_call_nothing():
    for loop in loops_of("twelve"):
        assert loop.calls() == {}


def test_loops_with_many_call_vector_bodies_only():
    suffix = f"_v{processor.lanes()}"
    n_in_bodies = 0
    for loop in loops_of("sixty"):
        in_body = loop.calls("vector.body")
        assert in_body
        assert all(name.startswith("fastfeat_") and name.endswith(suffix) for name in in_body)
        everywhere = loop.calls()
        # the few rows after the last whole vector call the scalar form of the same functions
        scalar = {name: n for name, n in everywhere.items() if not name.endswith(suffix)}
        assert set(scalar) <= {name.removesuffix(suffix) for name in in_body}
        n_in_bodies += in_body.total()
    assert n_in_bodies >= n_calls(text_of("sixty"))


@pytest.mark.parametrize("name", PLANS)
def test_vector_bodies_call_nothing(name):
    bodies = [f for f in functions_of(name) if re.match(r"fastfeat_\w+_v\d+$", f.name)]
    assert len(bodies) == (0 if name == "twelve" else 10)
    for body in bodies:
        assert body.calls() == {}, body.name


@pytest.mark.parametrize("name", PLANS)
def test_machine_code_needs_no_symbol_of_libm(name):
    foreign = undefined_symbols(compiled(name)[2])
    if foreign is None:
        pytest.skip("object files of this system are not read")
    assert foreign <= llvm.ALLOWED_SYMBOLS


def assembly_of_functions(name: str) -> dict[str, list[str]]:
    """Return the lines of each function of a plan's assembly."""
    functions: dict[str, list[str]] = {}
    current: list[str] = []
    for line in compiled(name)[1].splitlines():
        match = re.match(r"([A-Za-z_][\w.$]*):", line)
        if match:
            current = functions.setdefault(match[1], [])
        current.append(line)
    return functions


@needs_known_assembly
@pytest.mark.parametrize(("name", "least"), [("twelve", 60), ("sixty", 250)])
def test_loops_consist_of_vector_instructions(name, least):
    packed, call = PACKED[platform.machine()], CALL[platform.machine()]
    functions = assembly_of_functions(name)
    loops = {symbol: lines for symbol, lines in functions.items() if re.search(r"loop_\d+", symbol)}
    bodies = {s: lines for s, lines in functions.items() if re.match(r"fastfeat_\w+_v\d+$", s)}
    assert len(loops) == text_of(name).count("@loop_") // 2
    n_packed = 0
    for lines in [*loops.values(), *bodies.values()]:
        found = sum(packed.search(line) is not None for line in lines)
        assert found >= 10
        n_packed += found
    assert n_packed >= least
    without_calls = loops if name == "twelve" else bodies
    assert not any(call.search(line) for lines in without_calls.values() for line in lines)


@needs_known_assembly
def test_the_smallest_loop_is_made_of_vectors_too():
    text = ff.Plan({"y": col("a") * 2.0}).fit(ROWS).explain("cpu")
    assert PACKED[platform.machine()].search(llvm.assembly_of(text))


def test_loops_over_integers_and_flags_vectorize_too():
    plan = ff.Plan(
        {
            "sum": col("i") + 3,
            "flag": col("flag") & (col("a") > 0),
            "missing": col("i").fill_null(0) * 2,
            "either": ff.when(col("flag")).then(col("i")).otherwise(None),
        }
    )
    assert "vector.body" in str(llvm.optimized(plan.fit(ROWS).explain("cpu")))
