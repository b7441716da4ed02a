# pyright: basic
"""Numba intrinsics that a generated module calls: one element loaded or stored, one operation.

Storage is on one side of a load or a store, f64, i64 or b1 on the other; primitives and elementary
functions are built through the table's LLVM column.
"""

from __future__ import annotations

from functools import cache

from fastfeat_kernels.intrinsics import F64, I1, I64
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from fastfeat.ir.dtypes import FLOAT_FORMATS, FloatFormat
from fastfeat.ir.node import postorder
from fastfeat.scalars.elementary import BODIES, body_of
from fastfeat.scalars.primitives import PRIMITIVES, constant

F32 = ir.FloatType()


def _load(element, physical, widen):
    @intrinsic
    def load(typingctx, source, index):
        def generate(context, builder, signature, args):
            return widen(builder, builder.load(builder.gep(args[0], [args[1]])))

        return physical(types.CPointer(element), types.int64), generate

    return load


def _load_float(element, widen):
    @intrinsic
    def load(typingctx, source, flags, index):
        """Return a float, NaN where its flag is 0."""

        def generate(context, builder, signature, args):
            source, flags, index = args
            value = widen(builder, builder.load(builder.gep(source, [index])))
            flag = builder.load(builder.gep(flags, [index]))
            present = builder.icmp_unsigned("!=", flag, ir.Constant(flag.type, 0))
            return builder.select(present, value, ir.Constant(F64, float("nan")))

        pointers = types.CPointer(element), types.CPointer(types.uint8)
        return types.float64(*pointers, types.int64), generate

    return load


def _store(element, physical, narrow):
    @intrinsic
    def store(typingctx, target, index, value):
        def generate(context, builder, signature, args):
            target, index, value = args
            stored = narrow(builder, value)
            address = builder.bitcast(builder.gep(target, [index]), stored.type.as_pointer())
            builder.store(stored, address)
            return context.get_dummy_value()

        return types.void(types.CPointer(element), types.int64, physical), generate

    return store


def _canonical(bits, nan, kind):
    """Return the function that narrows a float to its bits, NaN to the one pattern.

    The choice is between integers: LLVM may drop a choice between a NaN and a NaN.
    """
    integer = ir.IntType(bits)

    def narrow(builder, value):
        narrowed = builder.fptrunc(value, kind) if bits == 32 else value
        is_nan = builder.fcmp_unordered("uno", narrowed, narrowed)
        pattern = builder.bitcast(narrowed, integer)
        return builder.select(is_nan, ir.Constant(integer, nan), pattern)

    return narrow


def _narrowed(kind: FloatFormat):
    """Return the function that narrows a float to the bits of a format of 16.

    Rounded once, ties to even; NaN has one pattern. Below the least normal number the sum with a
    power of two has the multiple of the least number in its last bits.
    """
    n_lost, n_stored = 53 - kind.n_bits, kind.n_bits - 1
    bias = (1023 - kind.largest_exponent) << n_stored
    infinity = (2 * kind.largest_exponent + 1) << n_stored
    carry = kind.least * 2.0**52

    def narrow(builder, value):
        b = builder
        size = b.call(b.module.declare_intrinsic("llvm.fabs", [F64]), [value])
        bits, sign = b.bitcast(size, I64), b.lshr(b.bitcast(value, I64), I64(48))
        odd = b.and_(b.lshr(bits, I64(n_lost)), I64(1))
        up = b.add(b.add(bits, I64((1 << (n_lost - 1)) - 1)), odd)
        normal = b.sub(b.lshr(up, I64(n_lost)), I64(bias))
        large = b.icmp_signed("<", normal, I64(infinity))
        normal = b.select(large, normal, I64(infinity))
        sum_ = b.bitcast(b.fadd(size, F64(carry)), I64)
        small = b.sub(sum_, b.bitcast(F64(carry), I64))
        is_small = b.fcmp_ordered("<", size, F64(kind.least_normal))
        found = b.or_(b.select(is_small, small, normal), b.and_(sign, I64(0x8000)))
        is_nan = b.fcmp_unordered("uno", value, value)
        nan = infinity + (1 << (n_stored - 1))
        return b.trunc(b.select(is_nan, I64(nan), found), ir.IntType(16))

    return narrow


def _integer(bits, signed):
    element, narrow = types.Integer.from_bitwidth(bits, signed), ir.IntType(bits)
    if bits == 64:
        return element, lambda b, x: x, lambda b, x: x
    widen = (lambda b, x: b.sext(x, I64)) if signed else (lambda b, x: b.zext(x, I64))
    return element, widen, lambda b, x: b.trunc(x, narrow)


LOADS = {
    "bool": _load(types.uint8, types.boolean, lambda b, x: b.trunc(x, I1)),
    "float32": _load_float(types.float32, lambda b, x: b.fpext(x, F64)),
    "float64": _load_float(types.float64, lambda b, x: x),
}

STORES = {
    "bool": _store(types.uint8, types.boolean, lambda b, x: b.zext(x, ir.IntType(8))),
    **{
        name: _store(types.uint16, types.float64, _narrowed(FLOAT_FORMATS[name]))
        for name in ("float16", "bfloat16")
    },
    "float32": _store(types.float32, types.float64, _canonical(32, 0x7FC00000, F32)),
    "float64": _store(types.float64, types.float64, _canonical(64, 0x7FF8000000000000, F64)),
}

for _bits in (8, 16, 32, 64):
    for _signed, _name in ((True, f"int{_bits}"), (False, f"uint{_bits}")):
        _element, _widen, _narrow = _integer(_bits, _signed)
        LOADS[_name] = _load(_element, types.int64, _widen)
        STORES[_name] = _store(_element, types.int64, _narrow)


def _pointer(element):
    @intrinsic
    def pointer(typingctx, words, k):
        def generate(context, builder, signature, args):
            address = _word(builder, *args)
            return builder.inttoptr(address, context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.int64, types.int64), generate

    return pointer


def _word(builder, words, k):
    """Load word k of an array of 64-bit words at an address."""
    return builder.load(builder.gep(builder.inttoptr(words, I64.as_pointer()), [k]))


def _parameter(physical, narrow):
    @intrinsic
    def word(typingctx, words, k):
        def generate(context, builder, signature, args):
            return narrow(builder, _word(builder, *args))

        return physical(types.int64, types.int64), generate

    return word


POINTERS = {
    "bool": _pointer(types.uint8),
    "float16": _pointer(types.uint16),
    "bfloat16": _pointer(types.uint16),
    "float32": _pointer(types.float32),
    "float64": _pointer(types.float64),
    **{f"int{b}": _pointer(types.Integer.from_bitwidth(b, True)) for b in (8, 16, 32, 64)},
    **{f"uint{b}": _pointer(types.Integer.from_bitwidth(b, False)) for b in (8, 16, 32, 64)},
}

PARAMETERS = {
    "f64": _parameter(types.float64, lambda b, x: b.bitcast(x, F64)),
    "i64": _parameter(types.int64, lambda b, x: x),
    "b1": _parameter(types.boolean, lambda b, x: b.icmp_signed("!=", x, I64(0))),
}


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
