"""Lowering: merging fitted plans into one log, with its columns, orders, stages and schedules."""
