# pyright: basic
"""Machine code of LLVM modules, through llvmlite alone: optimised, checked, made an object.

Texts of LLVM come here, and so do the modules that Numba makes of hand-written kernels.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

from llvmlite import binding

from fastfeat_kernels.elf import undefined_symbols
from fastfeat_kernels.load import LoadedKernel, load_by_llvm

ALLOWED_SYMBOLS = frozenset({"memcpy", "memset"})


class NotCacheable(Exception):
    """The code calls Numba, Python or libm, so it would crash when loaded in another process."""


def compile_text(text: str, symbol: str) -> tuple[bytes, str]:
    """Return object code of an LLVM text, and the symbol of its kernel.

    The text is a module that defines a kernel (loop, address of its words, n rows) -> status;
    `symbol` names the kernel. NotCacheable if it needs a symbol other than memcpy and memset.
    """
    code, foreign = _object_of(text)
    require_no_other(foreign, symbol)
    return code, symbol


def kernel_of_process(text: str, symbol: str) -> LoadedKernel:
    """Return a kernel for this process alone: it may call functions of the C library.

    The arguments are like those of `compile_text`.
    """
    code, foreign = _object_of(text)
    library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    for name in foreign - ALLOWED_SYMBOLS:
        address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        binding.add_symbol(name, address)
    return load_by_llvm(code, symbol)


def assembly_of(text: str) -> str:
    """Return the assembly text of a module, for tests that count instructions."""
    return _machine().emit_assembly(optimized(text))


def optimized(text: str):
    """Return the module of a text, after LLVM's passes."""
    machine = _machine()
    target = f'target datalayout = "{machine.target_data}"\ntarget triple = "{machine.triple}"\n'
    module = binding.parse_assembly(target + text)
    module.verify()
    options = binding.create_pipeline_tuning_options()
    options.speed_level, options.loop_vectorization, options.slp_vectorization = 3, True, False
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    for function in module.functions:  # the vector variants, which LLVM calls once it vectorizes
        if function.linkage == binding.Linkage.weak_odr:
            function.linkage = "internal"
    remove_unused(module, builder)
    return module


def remove_unused(module, builder) -> None:
    """Remove functions and declarations that nothing in the module calls."""
    passes = binding.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    passes.run(module, builder)


def foreign_symbols(code: bytes, module) -> set[str]:
    """Return the symbols that object code needs."""
    found = undefined_symbols(code)
    return _declared_symbols(module) if found is None else found


def require_no_other(foreign: set[str], name: str) -> None:
    """Raise NotCacheable if object code needs symbols that another process may lack.

    Only memcpy and memset are safe. `name` of the kernel is for the message.
    """
    if foreign - ALLOWED_SYMBOLS:
        raise NotCacheable(f"{name}: needs {', '.join(sorted(foreign))}")


def _object_of(text: str) -> tuple[bytes, set[str]]:
    module = optimized(text)
    code = _machine().emit_object(module)
    return code, foreign_symbols(code, module)


def _declared_symbols(module) -> set[str]:
    """Return the names that the module declares, which approximate the needs of its object."""
    declared = [*module.functions, *module.global_variables]
    names = {symbol.name for symbol in declared if symbol.is_declaration}
    return {name for name in names if not name.startswith("llvm.")}


@cache
def _machine() -> binding.TargetMachine:
    """Return the machine of this process; Numba's settings of another machine apply here too."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    triple = binding.get_process_triple()
    name = os.environ.get("NUMBA_CPU_NAME") or binding.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None and name.lower() != "generic":
        features = binding.get_host_cpu_features().flatten()
    return binding.Target.from_triple(triple).create_target_machine(
        cpu=name,
        features=features or "",
        opt=3,
        reloc="static" if triple.startswith(("x86", "i386", "i686")) else "default",
        codemodel="jitdefault",
        jit=True,
    )
