# pyright: basic
"""Loads and stores of one element in a loop: storage on one side, f64, i64 or b1 on the other."""

from __future__ import annotations

from fastfeat_kernels.intrinsics import F64, I1, I64
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

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
    """Return what narrows a float to its bits, NaN to the one pattern.

    The choice is between integers: LLVM may drop a choice between a NaN and a NaN.
    """
    integer = ir.IntType(bits)

    def narrow(builder, value):
        narrowed = builder.fptrunc(value, kind) if bits == 32 else value
        is_nan = builder.fcmp_unordered("uno", narrowed, narrowed)
        pattern = builder.bitcast(narrowed, integer)
        return builder.select(is_nan, ir.Constant(integer, nan), pattern)

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
