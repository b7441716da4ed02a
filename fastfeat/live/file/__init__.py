"""The file of a state: the journal that writes changes, its readers, archive and locks.

This package imports the records of changes in `live.state`. It is imported by `live.audit`,
`live.opening` and `serve`.
"""
