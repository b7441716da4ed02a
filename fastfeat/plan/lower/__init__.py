"""Lowering: typed nodes to programs of primitives, constants, outputs and codes.

Imports `declare` alone of `plan`; `run`, `fit`, `keep` and `tell` import it, and `online` does.
"""
