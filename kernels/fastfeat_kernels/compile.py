# pyright: basic
"""Machine code of a kernel: from a Python entry function to an object that loads without Numba.

It uses private interfaces of Numba: `CFunc._compile_uncached`, and of the library `._final_module`,
`._codegen._tm` and `._codegen._module_pass_manager`; `pipeline` uses the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import binding
from numba import types
from numba.core.ccallback import CFunc
from numba.core.compiler import CompilerBase
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime.nrt import rtsys
from numba.core.target_extension import target_override

from fastfeat_kernels.llvm import foreign_symbols, remove_unused, require_no_other
from fastfeat_kernels.load import LoadedKernel
from fastfeat_kernels.pipeline import NoAliasCompiler, PlainCompiler
from fastfeat_kernels.target import NAME, KernelDispatcher

SIGNATURE = types.int64(types.int64, types.int64, types.int64)


def compile_entry(entry: Callable[..., int]) -> tuple[bytes, str]:
    """Return object code and symbol of a kernel (table address, first row, n rows) -> status.

    The entry is a plain Python function that Numba can compile; it may neither allocate nor raise.
    NotCacheable if it needs a symbol other than memcpy and memset.
    """
    module, machine, symbol = _compile(entry)
    code = machine.emit_object(module)
    require_no_other(foreign_symbols(code, module), entry.__name__)
    return code, symbol


def assembly_of(entry: Callable[..., int]) -> str:
    """Return the assembly text of a kernel, for tests that count instructions."""
    module, machine, _ = _compile(entry)
    return machine.emit_assembly(module)


def kernel_of_process(entry: Callable[..., int]) -> LoadedKernel:
    """Return a kernel for this process alone, compiled by Numba in its usual way.

    The rules of `compile_entry` apply, but it may need symbols that this process has.
    """
    function = _function(entry, NoAliasCompiler)
    with global_compiler_lock, target_override(NAME):
        rtsys.initialize(KernelDispatcher.targetdescr.target_context)  # errors are freed by it
        function.compile()
    return function.ctypes


class _KernelFunction(CFunc):
    """A C callback for our target."""

    _targetdescr = KernelDispatcher.targetdescr


def _function(entry: Callable[..., int], compiler: type[CompilerBase]) -> CFunc:
    options = {"error_model": "numpy", "nogil": True, "no_cpython_wrapper": True}
    signature = (SIGNATURE.args, SIGNATURE.return_type)
    pipeline = cast("Any", compiler)  # ours do not derive from the class in Numba's annotation
    return _KernelFunction(entry, signature, {}, options, pipeline)


def _compile(entry: Callable[..., int]):
    function: Any = _function(entry, PlainCompiler)
    with global_compiler_lock, target_override(NAME):
        result = function._compile_uncached()
        library, symbol = result.library, result.fndesc.llvm_cfunc_wrapper_name
        library.finalize()
    module, codegen = library._final_module, library._codegen
    module.verify()
    _optimize(module, codegen, symbol)
    return module, codegen._tm, symbol


def _optimize(module, codegen, symbol: str) -> None:
    """Run LLVM's passes over the whole kernel, with only its entry callable from outside.

    Numba gives every function external linkage. That would stop the propagation of a constant "no
    error", so the code that reports errors would stay.
    """
    for function in module.functions:
        if function.name != symbol:
            _hide(function)
    for variable in module.global_variables:
        if variable.linkage == binding.Linkage.common:  # one empty "environment" per function
            _hide(variable)
    passes, builder = codegen._module_pass_manager()
    passes.run(module, builder)
    remove_unused(module, builder)


def _hide(symbol) -> None:
    if not symbol.is_declaration:
        symbol.linkage = "internal"
