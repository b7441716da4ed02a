"""Lowering: typed nodes to schedules of tasks, programs of primitives, constants and outputs.

It imports only `declare` from `plan`; `execute`, `learn`, `keep`, `tell` and `live` import it.
"""
