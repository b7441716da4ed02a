"""Features of rows that ask for them, computed with the log rows that their windows see.

This package imports `live.lower` and `execute.row`. It is imported by `live.state` and `live.live`.
"""
