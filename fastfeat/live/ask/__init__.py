"""Asking: the features of rows with what they see of a log.

Imports `online.lower` and `online.row`; `online.state` and `online.live` import it.
"""
