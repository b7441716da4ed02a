"""The log in memory: rows in order of arrival, and an index of each entity's rows by time.

Imports `live.lower`; `live.state` alone imports it.
"""
