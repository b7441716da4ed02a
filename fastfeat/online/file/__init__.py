"""The file of a state: its journal, writer, readers and locks.

Imports the records of changes in `online.state`.
"""
