"""Lowering: expressions with types become schedules of tasks, and programs of primitive operations.

It imports only `declare` from `plan`; `execute`, `learn`, `keep`, `tell` and `live` import it.
"""
