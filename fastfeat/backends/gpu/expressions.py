"""What each primitive is in CUDA C++: a format string over the texts of its operands.

An f64 is `double`, an i64 `i64`, a b1 `bool`. Operands are names, literals or calls; the results of
operators come in parentheses. Where an operator alone would not do, `prelude.cuh` says why.
"""

from __future__ import annotations

_COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}

CUDA: dict[str, str] = {
    # float64
    "add_f64": "__dadd_rn({0}, {1})",
    "sub_f64": "__dsub_rn({0}, {1})",
    "mul_f64": "__dmul_rn({0}, {1})",
    "div_f64": "__ddiv_rn({0}, {1})",
    "fma": "__fma_rn({0}, {1}, {2})",
    "sqrt": "__dsqrt_rn({0})",
    "neg_f64": "ff_neg_f64({0})",
    "abs_f64": "fabs({0})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "trunc": "trunc({0})",
    "rint": "rint({0})",
    "round_f32": "ff_round_f32({0})",
    "remainder_scaled": "ff_remainder_scaled({0}, {1}, {2})",
    # int64
    "add_i64": "ff_add_i64({0}, {1})",
    "sub_i64": "ff_sub_i64({0}, {1})",
    "mul_i64": "ff_mul_i64({0}, {1})",
    "neg_i64": "ff_neg_i64({0})",
    "quotient_i64": "ff_quotient_i64({0}, {1})",
    "remainder_i64": "ff_remainder_i64({0}, {1})",
    "mulhi_u64": "ff_mulhi({0}, {1})",
    "and_i64": "({0} & {1})",
    "or_i64": "({0} | {1})",
    "xor_i64": "({0} ^ {1})",
    "not_i64": "(~{0})",
    "shl_i64": "ff_shl_i64({0}, {1})",
    "shr_i64": "ff_shr_i64({0}, {1})",
    "lshr_i64": "ff_lshr_i64({0}, {1})",
    # comparisons: with a NaN, only != is true
    **{
        f"{stem}_{kind}": f"({{0}} {sign} {{1}})"
        for stem, sign in _COMPARISONS.items()
        for kind in ("f64", "i64", "b1")
        if kind != "b1" or stem in ("eq", "ne")
    },
    # booleans: both operands are there already, so nothing is gained by a branch
    "and_b1": "({0} & {1})",
    "or_b1": "({0} | {1})",
    "xor_b1": "({0} ^ {1})",
    "not_b1": "(!{0})",
    **{f"select_{kind}": "({0} ? {1} : {2})" for kind in ("f64", "i64", "b1")},
    # conversions
    "f64_from_i64": "ff_f64_from_i64({0})",
    "i64_from_f64": "ff_i64_from_f64({0})",
    "i64_from_b1": "((i64){0})",
    "bits_i64": "ff_bits({0})",
    "bits_f64": "ff_from_bits({0})",
    # tables
    "load_f64": "ff_load_f64({0}, {1})",
    "load_i64": "ff_load_i64({0}, {1})",
}
