"""The file of a state: its journal, writer, readers and locks.

Imports the records of changes in `live.state`; `live.audit`, `live.opening` and `serve` import it.
"""
