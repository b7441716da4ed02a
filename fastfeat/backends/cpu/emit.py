# pyright: basic
"""Primitives and elementary functions as Numba intrinsics, built through the table's LLVM column.

An elementary function is written into a module once, as a function of its own: inlined where a
kernel calls few; else called, with a second body on vectors that LLVM's loop vectorizer calls
instead. Compile time then grows with the number of functions, not with that of their calls.
"""

from __future__ import annotations

from functools import cache

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from fastfeat.ir.walk import postorder
from fastfeat.scalars.elementary import BODIES, body_of
from fastfeat.scalars.primitives import PRIMITIVES, constant

_NUMBA = {"f64": types.float64, "i64": types.int64, "b1": types.boolean}
_LLVM = {"f64": ir.DoubleType(), "i64": ir.IntType(64), "b1": ir.IntType(1)}


@cache
def native_lanes() -> int:
    """Return how many float64 a vector register of this CPU holds."""
    features = binding.get_host_cpu_features()
    return 8 if features.get("avx512f") else 4 if features.get("avx") else 2


def emit_body(module: ir.Module, name: str, lanes: int | None = None) -> ir.Function:
    """Return the function of a module that computes an elementary function; written if missing.

    Args:
        module: where to write it.
        name: of the elementary function.
        lanes: for a body on vectors of that many lanes; scalars without.
    """
    suffix = "" if lanes is None else f"_v{lanes}"
    symbol = f"fastfeat_{name}{suffix}"
    if symbol in module.globals:
        return module.globals[symbol]
    inputs, result = body_of(name)
    kind = _kind("f64", lanes)
    function = ir.Function(module, ir.FunctionType(kind, [kind] * len(inputs)), symbol)
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block())
    values = dict(zip(inputs, function.args, strict=True))
    for node in postorder([result]):
        if node in values:
            continue
        if node.name == "literal":
            values[node] = constant(_kind(node.physical, lanes), node.value)
        else:
            values[node] = PRIMITIVES[node.name].llvm(builder, *[values[a] for a in node.args])
    builder.ret(values[result])
    return function


def elementary_intrinsic(name: str, inline: bool, lanes: int | None = None):
    """Return a Numba intrinsic of an elementary function, float64 in and out.

    Args:
        name: of the elementary function.
        inline: copy it into each loop that calls it; of use for few calls. One that itself loops
            is never copied.
        lanes: of the vector body where it is not inlined; those of this CPU by default.
    """
    inline = inline and not _loops(name)
    lanes = native_lanes() if lanes is None else lanes

    def generate(context, builder, signature, args):
        if inline:
            function = emit_body(builder.module, name)
            function.linkage = "internal"
            function.attributes.add("alwaysinline")
        else:
            function = _emit_called(builder.module, name, lanes)
            _vectorize_by(builder.function, lanes)
        return builder.call(function, args)

    signature = types.float64(*[types.float64] * BODIES[name].arity)
    return _intrinsic(signature, generate)


def primitive_intrinsic(name: str):
    """Return a Numba intrinsic of one primitive, on float64, int64 and boolean."""
    row = PRIMITIVES[name]
    signature = _NUMBA[row.result](*[_NUMBA[kind] for kind in row.args])

    def generate(context, builder, signature, args):
        return row.llvm(builder, *args)

    return _intrinsic(signature, generate)


def _intrinsic(signature, generate):
    """Return an intrinsic of fixed types; Numba reads the number of arguments off the function."""
    match len(signature.args):
        case 1:
            return intrinsic(lambda typingctx, x: (signature, generate))
        case 2:
            return intrinsic(lambda typingctx, x, y: (signature, generate))
        case _:
            return intrinsic(lambda typingctx, x, y, z: (signature, generate))


def _kind(physical: str, lanes: int | None) -> ir.Type:
    return _LLVM[physical] if lanes is None else ir.VectorType(_LLVM[physical], lanes)


@cache
def _loops(name: str) -> bool:
    names = {op.name for op in postorder([body_of(name)[1]])}
    return any(PRIMITIVES[row].loops for row in names & PRIMITIVES.keys())


def _emit_called(module: ir.Module, name: str, lanes: int) -> ir.Function:
    """Return the function, tied to its vector body: LLVM then vectorizes the loops that call it."""
    symbol = f"fastfeat_{name}"
    if symbol in module.globals:
        return module.globals[symbol]
    scalar = emit_body(module, name)
    scalar.linkage = "linkonce_odr"
    _declare_pure(scalar)
    vector = emit_body(module, name, lanes)
    vector.linkage = "weak_odr"  # kept although nothing calls it yet
    _declare_pure(vector)
    parameters = "v" * len(scalar.args)
    variant = f"_ZGV_LLVM_N{lanes}{parameters}_{scalar.name}({vector.name})"
    _add_attribute(scalar, f'"vector-function-abi-variant"="{variant}"')
    return scalar


def _vectorize_by(caller: ir.Function, lanes: int) -> None:
    """Let the loops of a function have as many lanes as the vector bodies that they call.

    For some CPUs with registers of 512 bits LLVM prefers 256, and such loops then called scalars.
    """
    _add_attribute(caller, f'"prefer-vector-width"="{64 * lanes}"')


def _declare_pure(function: ir.Function) -> None:
    function.attributes.add("noinline")
    for attribute in ("memory(none)", "willreturn"):
        _add_attribute(function, attribute)


def _add_attribute(function: ir.Function, attribute: str) -> None:
    """Add an attribute that llvmlite's list of known ones lacks."""
    set.add(function.attributes, attribute)
