"""Asking: the features of rows, computed with the log rows that they see.

It imports `live.lower` and `live.row`; `live.state` and `live.live` import it.
"""
