"""Lowering of fitted plans to one log: its columns, orders, stages and schedules."""
