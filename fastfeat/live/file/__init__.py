"""The file of a state: its journal, writer, readers and locks.

Imports the records of changes in `online.state`; `online.audit`, `online.opening` and `serve`
import it.
"""
