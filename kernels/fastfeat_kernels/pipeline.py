# pyright: basic
"""How Numba compiles our functions: arguments that do not overlap, machine code made only once.

Numba turns each function into machine code of its own besides inlining it into its callers.
Functions that only kernels call stop before that: the moments of float64 compiled in about a
quarter of the time. Private interface of Numba: the flag `no_compile`, the pass
`NativeLowering`, and `insert_user_function`.
"""

from __future__ import annotations

from typing import Any

from numba.core.compiler import CompilerBase, DefaultPassBuilder, _LowerResult
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


@register_pass(mutates_CFG=True, analysis_only=False)
class InnerLowering(NativeLowering):
    """Lowering to LLVM alone; the function is known to its callers without an address."""

    _name = "fastfeat_inner_lowering"

    def run_pass(self, state):
        """Run the pass, as Numba asks for it."""
        flags = state.flags
        flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # stands where the machine code would: Numba insists on a builtin, new each time
        key = [].append
        state.targetctx.insert_user_function(key, lowered.fndesc, [state.library])
        state["cr"] = _LowerResult(lowered.fndesc, lowered.call_helper, cfunc=key, env=lowered.env)
        return True


class NoAliasCompiler(CompilerBase):
    """Numba's nopython pipeline, with pointers among the arguments declared not to overlap.

    Without it no loop that writes what it might read vectorizes. Callers must refuse overlap.
    """

    def define_pipelines(self):
        """Return the pipelines, as Numba asks for them."""
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


class InnerCompiler(CompilerBase):
    """The same for functions that only kernels call: no machine code of their own."""

    def define_pipelines(self):
        """Return the pipelines, as Numba asks for them."""
        self.state.flags.noalias = True
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [
            (InnerLowering if kind is NativeLowering else kind, text)
            for kind, text in manager.passes
        ]
        manager.finalize()
        return [manager]


KERNEL_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    "pipeline_class": NoAliasCompiler,
}
INNER_OPTIONS: dict[str, Any] = {
    **KERNEL_OPTIONS,
    "pipeline_class": InnerCompiler,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
