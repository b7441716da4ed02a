"""The state in memory of plans that answer row by row: its changes, and explanations of features.

This package imports `live.ask` and the layers below that, and knows nothing of files. It is
imported by `live.file`, `live.audit`, `live.live` and `serve`.
"""
