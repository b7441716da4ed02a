# pyright: basic
"""Compilation of our functions by Numba: arguments that do not overlap, one run of LLVM per kernel.

Numba optimises each function and turns it into machine code before it inlines it into its callers,
and then does both again. Our functions stay unoptimised LLVM code until `compile` has the whole
kernel, and run only through the Numba passes that they need. The row driver compiles in 0.55 s
instead of 1.35.

Private interface of Numba: the flag `no_compile`, the pass `NativeLowering`,
`insert_user_function`, `Lower.setup_function`, and of `CPUCodeLibrary` the three overridden
methods, `_final_module`, `_linking_libraries`, `_get_module_for_linking` and `_finalized`.
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

# Left out, since our functions give them nothing to do: passes that inline closures, unroll loops
# over tuples, read literals in types, reconstruct SSA, fuse array expressions.
_BEFORE_LOWERING = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    DeadBranchPrune,
    GenericRewrites,
    NopythonTypeInference,
)


class PlainLibrary(CPUCodeLibrary):
    """Unoptimised LLVM code of a function and of the functions that it calls."""

    def add_llvm_module(self, ll_module):
        """Add the code of the function, or of a wrapper around it."""
        self._final_module.link_in(ll_module)

    def add_linking_library(self, library):
        """Record a called library: only a kernel adds its code, so nothing is copied twice."""
        self._linking_libraries.append(library)

    def finalize(self):
        """Add the code of all called functions; there is no machine code."""
        for library in _called(self):
            self._final_module.link_in(_code_of(library), preserve=True)
        self._finalized = True


def _code_of(library: CPUCodeLibrary):
    """Return the code of a called function; another library may hold it too."""
    if not isinstance(library, PlainLibrary):
        return library._get_module_for_linking()
    for function in library._final_module.functions:
        if not function.is_declaration and function.linkage == binding.Linkage.external:
            function.linkage = "linkonce_odr"
    return library._final_module


def _called(kernel: PlainLibrary) -> list[CPUCodeLibrary]:
    """Return the libraries that a kernel calls, directly or indirectly, each once."""
    found: dict[CPUCodeLibrary, None] = {}
    pending = kernel._linking_libraries[::-1]
    while pending:
        library = pending.pop()
        if library not in found:
            found[library] = None
            if not library._finalized:  # compiled by Numba's own pipeline: it contains its callees
                pending += library._linking_libraries[::-1]
    return list(found)


@register_pass(mutates_CFG=True, analysis_only=False)
class PlainLowering(NativeLowering):
    """Lowering to LLVM alone; callers know the function without an address."""

    _name = "fastfeat_plain_lowering"

    def run_pass(self, state):
        """Run the pass; Numba calls it."""
        state.library = PlainLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # in place of the machine code; Numba insists on a new builtin each time
        key = [].append
        state.targetctx.insert_user_function(key, lowered.fndesc, [state.library])
        state["cr"] = _LowerResult(lowered.fndesc, lowered.call_helper, cfunc=key, env=lowered.env)
        return True


class SeparateLower(Lower):
    """Writer of a function that LLVM must not copy into its callers."""

    def setup_function(self, fndesc):
        """Begin the function."""
        super().setup_function(fndesc)
        self.function.attributes.add("noinline")


@register_pass(mutates_CFG=True, analysis_only=False)
class SeparateLowering(PlainLowering):
    """Lowering of a function that LLVM must not copy into its callers."""

    _name = "fastfeat_separate_lowering"

    @property
    def lowering_class(self):
        """Return the class that writes its LLVM code."""
        return SeparateLower


class NoAliasCompiler(CompilerBase):
    """Numba's nopython pipeline, with pointers among the arguments declared not to overlap.

    Otherwise a loop does not vectorize if its output might overlap its input. Callers must refuse
    overlap.
    """

    def define_pipelines(self):
        """Return the pipelines; Numba calls it."""
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


class PlainCompiler(CompilerBase):
    """The pipeline to LLVM code, for kernels and for functions that only kernels call."""

    def define_pipelines(self):
        """Return the pipelines; Numba calls it."""
        return [_pipeline(self.state, PlainLowering)]


class SeparateCompiler(CompilerBase):
    """The pipeline to LLVM code for the loops of a plan, which stay functions of their own."""

    def define_pipelines(self):
        """Return the pipelines; Numba calls it."""
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
