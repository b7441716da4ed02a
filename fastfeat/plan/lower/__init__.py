"""Lowering: typed nodes to schedules of tasks, programs of primitives, constants and outputs.

Imports `declare` alone of `plan`; `execute`, `learn`, `keep`, `tell` and `live` import it.
"""
