# pyright: basic
"""A Numba target limited to the ingredients of kernels: numbers, tuples, ranges and pointers.

Numba's own CPU target also loads its support for NumPy, containers, random numbers and, if SciPy is
installed, its linear algebra. It looks for more before every function, and asks NumPy's rules about
every operator. A first compilation took 0.25 s more, and others up to a third longer. Numba also
determines the result types of operators, and the sizes of types, at every use; this target does so
once. It is based on Numba's interface for targets, `numba.core.target_extension`, with contexts
derived from Numba's CPU contexts.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

from numba import jit
from numba.core.cpu import CPUContext
from numba.core.dispatcher import Dispatcher
from numba.core.registry import CPUTarget
from numba.core.target_extension import CPU, dispatcher_registry, jit_registry, target_registry
from numba.core.types import Function
from numba.core.typing.context import BaseContext

NAME = "fastfeat"
_SIZES: dict[Any, int] = {}


class KernelTarget(CPU):
    """The CPU, for code that needs no object of Python or NumPy."""


class KernelTyping(BaseContext):
    """Types of the builtin functions alone."""

    @cached_property
    def _signatures(self):
        return {}

    def resolve_function_type(self, func, args, kws):
        """Return the signature of a call; signatures of operators and intrinsics are cached."""
        key, known = (func, tuple(args)), self._signatures
        found = None if kws else known.get(key)
        if found is None:
            found = super().resolve_function_type(func, args, kws)
            if found is not None and not kws and isinstance(func, Function):
                known[key] = found
        return found

    def load_additional_registries(self):
        """Load nothing more."""


class KernelContext(CPUContext):
    """Code of the builtin functions alone."""

    def load_additional_registries(self):
        """Import the modules that lower them, which register themselves."""
        from numba.core import optional  # noqa: F401
        from numba.cpython import builtins, numbers, rangeobj, tupleobj  # noqa: F401

    def get_abi_sizeof(self, ty):
        """Return the size of an LLVM type; it is cached, since each query makes a module."""
        if ty not in _SIZES:
            _SIZES[ty] = super().get_abi_sizeof(ty)
        return _SIZES[ty]

    def post_lowering(self, mod, library):
        """Link no runtime for reference counts: there are none."""


class KernelDescriptor(CPUTarget):
    """Both contexts, made on first use."""

    @cached_property
    def _toplevel_target_context(self):
        return KernelContext(self.typing_context, self._target_name)

    @cached_property
    def _toplevel_typing_context(self):
        return KernelTyping()


class KernelDispatcher(Dispatcher):
    """The dispatcher that `njit` makes of a function for this target."""

    targetdescr = KernelDescriptor(NAME)


target_registry[NAME] = KernelTarget
dispatcher_registry[KernelTarget] = KernelDispatcher
_jit: Any = jit  # its annotation has no targets
jit_registry[KernelTarget] = partial(_jit, _target=NAME)  # for Python code of Numba itself
