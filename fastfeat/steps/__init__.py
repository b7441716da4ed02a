"""Steps: functions of whole columns, run between the programs over rows; one folder per subject.

In each folder `rows.py` holds the rows of the table of steps with their definitions, and `cpu.py`
and `gpu` compute them. `registry` is the whole table. `backends` and higher layers import them.
"""
