"""The file of a state: the journal that writes changes, its readers, archive and locks.

Imports the records of changes in `live.state`; `live.audit`, `live.opening` and `serve` import it.
"""
