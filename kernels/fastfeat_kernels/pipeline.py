# pyright: basic
"""Compilation of our functions by Numba: arguments that do not overlap, LLVM run once a kernel.

Numba optimises each function and turns it into machine code before it inlines it into its callers,
and then does both again. Ours stay LLVM code as it was written until `compile` has the whole
kernel, and go through those passes of Numba alone that they need: the row driver compiles in 0.55 s
instead of 1.35.

Private interface of Numba: the flag `no_compile`, the pass `NativeLowering`,
`insert_user_function`, `Lower.setup_function`, and of `CPUCodeLibrary` the three methods that are
overridden, `_final_module`, `_linking_libraries`, `_get_module_for_linking` and `_finalized`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, _LowerResult
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering, NoPythonBackend, NopythonTypeInference
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    TranslateByteCode,
)

from fastfeat_kernels.target import NAME

# Not among them, for our functions give them nothing to do: what inlines closures, unrolls loops
# over tuples, reads literals in types, reconstructs SSA, fuses array expressions.
_BEFORE_LOWERING = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    DeadBranchPrune,
    GenericRewrites,
    NopythonTypeInference,
)


class PlainLibrary(CPUCodeLibrary):
    """LLVM code of a function and of those that it calls, as it was written: not optimised."""

    def add_llvm_module(self, ll_module):
        """Take in the code of the function, or of a wrapper around it."""
        self._final_module.link_in(ll_module)

    def add_linking_library(self, library):
        """Remember what is called: only a kernel takes it in, so nothing is copied twice."""
        self._linking_libraries.append(library)

    def finalize(self):
        """Take in the code of all that is called; there is no machine code."""
        for library in _called(self):
            self._final_module.link_in(_code_of(library), preserve=True)
        self._finalized = True


def _code_of(library: CPUCodeLibrary):
    """Return the code of a function that is called; another library may hold it too."""
    if not isinstance(library, PlainLibrary):
        return library._get_module_for_linking()
    for function in library._final_module.functions:
        if not function.is_declaration and function.linkage == binding.Linkage.external:
            function.linkage = "linkonce_odr"
    return library._final_module


def _called(kernel: PlainLibrary) -> list[CPUCodeLibrary]:
    """Return the libraries of what a kernel calls, and of what these call, each once."""
    found: dict[CPUCodeLibrary, None] = {}
    pending = kernel._linking_libraries[::-1]
    while pending:
        library = pending.pop()
        if library not in found:
            found[library] = None
            if not library._finalized:  # by Numba's own pipeline: it holds what it calls
                pending += library._linking_libraries[::-1]
    return list(found)


@register_pass(mutates_CFG=True, analysis_only=False)
class PlainLowering(NativeLowering):
    """Lowering to LLVM alone; the function is known to its callers without an address."""

    _name = "fastfeat_plain_lowering"

    def run_pass(self, state):
        """Run the pass, as Numba asks for it."""
        state.library = PlainLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # stands where the machine code would: Numba insists on a builtin, new each time
        key = [].append
        state.targetctx.insert_user_function(key, lowered.fndesc, [state.library])
        state["cr"] = _LowerResult(lowered.fndesc, lowered.call_helper, cfunc=key, env=lowered.env)
        return True


class SeparateLower(Lower):
    """Writes a function that LLVM must not copy into its callers."""

    def setup_function(self, fndesc):
        """Begin the function."""
        super().setup_function(fndesc)
        self.function.attributes.add("noinline")


@register_pass(mutates_CFG=True, analysis_only=False)
class SeparateLowering(PlainLowering):
    """Lowers a function that LLVM must not copy into its callers."""

    _name = "fastfeat_separate_lowering"

    @property
    def lowering_class(self):
        """Return the class that writes its LLVM code."""
        return SeparateLower


class NoAliasCompiler(CompilerBase):
    """Numba's nopython pipeline, with pointers among the arguments declared not to overlap.

    Without it no loop that writes what it might read vectorizes. Callers must refuse overlap.
    """

    def define_pipelines(self):
        """Return the pipelines, as Numba asks for them."""
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


class PlainCompiler(CompilerBase):
    """The way to LLVM code: for kernels, and for functions that only kernels call."""

    def define_pipelines(self):
        """Return the pipelines, as Numba asks for them."""
        return [_pipeline(self.state, PlainLowering)]


class SeparateCompiler(CompilerBase):
    """The way to LLVM code for the loops of a plan, which stay functions of their own."""

    def define_pipelines(self):
        """Return the pipelines, as Numba asks for them."""
        return [_pipeline(self.state, SeparateLowering)]


def _pipeline(state, lowering: type[NativeLowering]) -> PassManager:
    state.flags.noalias = True
    manager = PassManager("fastfeat")
    for kind in (*_BEFORE_LOWERING, lowering, NoPythonBackend):
        manager.add_pass(kind, kind._name)
    manager.finalize()
    return manager


KERNEL_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    "pipeline_class": NoAliasCompiler,
}
INNER_OPTIONS: dict[str, Any] = {
    **KERNEL_OPTIONS,
    "pipeline_class": PlainCompiler,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_target": NAME,
}
SEPARATE_OPTIONS: dict[str, Any] = {**INNER_OPTIONS, "pipeline_class": SeparateCompiler}
