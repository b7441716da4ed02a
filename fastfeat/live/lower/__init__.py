"""Lowering of fitted plans to one log: its columns, orders, stages and schedules.

Imports `plan` alone; the other folders of `live` import it.
"""
