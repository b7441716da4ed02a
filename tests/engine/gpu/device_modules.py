"""The text of every kernel there is, by name: generated of each family, and written by hand."""

from __future__ import annotations

import pickle
import warnings
from functools import cache
from importlib.resources import files

import fastfeat_kernels.asof.cuda as asof
import fastfeat_kernels.gather.cuda as gather
import fastfeat_kernels.grouped.cuda as grouped
import fastfeat_kernels.grouped.cuda.ranks as ranks
import fastfeat_kernels.hashing.cuda as hashing
import fastfeat_kernels.lists.cuda as lists
import fastfeat_kernels.moments.cuda as moments
import fastfeat_kernels.selection.cuda as selection
import fastfeat_kernels.text.cuda as text_of_rows
import fastfeat_kernels.vocabulary.cuda as vocabulary
import fastfeat_kernels.windows.cuda as windows

import fastfeat as ff
from bench import features
from fastfeat.engine.gpu.compile import nvrtc
from fastfeat.engine.gpu.compile.cache import cached_file, key_of
from fastfeat.engine.gpu.compile.cuda import FLAGS, compile_module
from fastfeat.engine.gpu.compile.nvrtc import CompiledModule
from fastfeat.engine.gpu.programs.program import text_of
from fastfeat.engine.gpu.runtime import PRELUDE
from fastfeat.engine.program import Program
from fastfeat_tests.engine.gpu.device_kernels import primitive_kernels
from fastfeat_tests.operators.operator_features import families, plan_of
from fastfeat_tests.operators.operator_tables import small_table

ARCHITECTURES = (90, 75, 80, 100, 120)
"""Those of the cards that fastfeat runs on; the first is compiled for in each run of the tests."""
N_COLUMNS = 24
PRELUDE_TEXT = (files("fastfeat_kernels.cuda") / PRELUDE).read_text()
GENERATED = (
    *families(learnt=False),
    *families(learnt=True),
    *("wide", "bench 12", "columns", "neighbours", "float16", "bfloat16"),
)
TEXT = tuple(f"text {subject}" for subject in text_of_rows.SUBJECTS)
WINDOWS = {f"windows {subject}": subject for subject in windows.SUBJECTS}
HAND_WRITTEN = (
    "as-of joins",
    "gathered values",
    "hashes",
    "keys",
    "grouped",
    "ranks",
    "list rows",
    "moments",
    "selection",
    "primitives",
    *TEXT,
    *WINDOWS,
)


@cache
def compiled(text: str, architecture: int) -> CompiledModule:
    """Return what a text compiles to; kept on disk, beside the kernels of other tests."""
    kind = f"{CompiledModule.__module__}.{CompiledModule.__qualname__}"  # a pickle names it
    key = key_of(text, PRELUDE_TEXT, nvrtc.version(), str(architecture), *FLAGS, "tests", kind)

    def build() -> bytes:
        return pickle.dumps(compile_module(text, architecture))

    return pickle.loads(cached_file(key, ".pickle", build).read_bytes())


@cache
def program_of_plan(name: str) -> Program:
    """Return the program of a family's plan, of one with many calls or columns, or of `bench`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns that are constant
        match name:
            case "wide":
                return _wide_plan().fit(small_table(), backend="reference").record.arrow_program
            case "bench 12" | "bench 200":
                plan = features.fastfeat_plan(int(name.split()[1]))
                return plan.fit(features.table(100), backend="reference").record.arrow_program
            case "columns" | "neighbours":
                rows = {f"x{k}": [float(k), 2.0, None] for k in range(N_COLUMNS)}
                return _plan_of_columns(name).fit(rows, backend="reference").record.arrow_program
            case "float16" | "bfloat16":
                plan = ff.Plan({"x": ff.col("f64") * 3, "n": ff.col("i64")}, dtype=name)
                return plan.fit(small_table(), backend="reference").record.matrix_program
            case _:
                return plan_of(name).fit(small_table(), backend="reference").record.arrow_program


def _wide_plan() -> ff.Plan:
    """Return a plan of 60 elementary calls in features that differ: no two share a loop."""
    x, y = ff.col("f64"), ff.col("f32")
    chosen: dict[str, ff.Expr] = {}
    for k in range(15):
        chosen[f"a{k}"] = (x * (k + 2)).log1p() - (y + k).exp() if k % 2 else (x + k).sqrt().log()
        chosen[f"b{k}"] = (x - k).sin() * (y * (k + 1)).cos() + k
    return ff.Plan(chosen)


def _plan_of_columns(name: str) -> ff.Plan:
    """Return a plan of several features of each column, or of each column and the next one."""
    x = [ff.col(f"x{k}") for k in range(N_COLUMNS)]
    chosen: dict[str, ff.Expr] = {}
    for k in range(N_COLUMNS):
        chosen[f"scaled{k}"] = x[k].standard_scale()
        if name == "columns":
            chosen |= {f"log{k}": x[k].log1p(), f"missing{k}": x[k].is_null()}
        elif k:
            chosen |= {f"step{k}": x[k] - x[k - 1], f"share{k}": (x[k] / x[k - 1]).arctan()}
    return ff.Plan(chosen)


@cache
def module_text(name: str) -> str:
    """Return the text of a module; a name that ends in " exact" reduces large arguments exactly."""
    match name:
        case "as-of joins":
            return asof.text()
        case "gathered values":
            return gather.text()
        case "hashes":
            return hashing.text()
        case "keys":
            return vocabulary.text()
        case "list rows":
            return lists.text()
        case "moments":
            return moments.text()
        case "grouped":
            return grouped.text()
        case "ranks":
            return ranks.text()
        case "selection":
            return selection.text()
        case _ if name in WINDOWS:
            return windows.text(WINDOWS[name])
        case _ if name in TEXT:
            return text_of_rows.text(name.removeprefix("text "))
        case "primitives":
            return primitive_kernels()
        case _:
            exact = name.endswith(" exact")
            return text_of(program_of_plan(name.removesuffix(" exact")), exact)


def texts_of(name: str) -> tuple[str, ...]:
    """Return the texts of a module: also the one for large arguments, where that is another."""
    text = module_text(name)
    exact = module_text(f"{name} exact") if name in GENERATED else text
    return (text,) if exact == text else (text, exact)
