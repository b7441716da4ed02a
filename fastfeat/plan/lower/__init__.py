"""Lowering: typed nodes to schedules of tasks, programs of primitives, constants and outputs.

Imports `declare` alone of `plan`; `run`, `fit`, `keep` and `tell` import it, and `online` does.
"""
