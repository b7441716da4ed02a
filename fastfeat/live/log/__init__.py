"""The log in memory: rows in order of arrival, and an index of each entity's rows by time.

This package imports `live.lower`. Only `live.state` imports this package.
"""
