"""Lowering of fitted plans to one log: its columns, orders, stages and schedules.

Imports `plan` alone; the other folders of `online` import it.
"""
