"""Asking: the features of rows with what they see of a log.

Imports `live.lower` and `live.row`; `live.state` and `live.live` import it.
"""
