"""Windows on the CPU."""

from fastfeat.backends.reference.steps import over

__all__ = ["over"]
