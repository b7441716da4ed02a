"""Merging of fitted plans into the columns, orders, stages and schedules of one log."""
