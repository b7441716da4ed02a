"""Steps: functions of whole columns, run between the programs over rows; one folder a subject.

`rows.py` of a subject holds its rows of the table of steps, with their definitions; `cpu.py` and
`gpu` compute them. `registry` is the whole table. `backends` and what stands above it import them.
"""
