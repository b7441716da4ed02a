"""The log in memory: rows in order of arrival, and where those of each entity are.

Imports `live.lower`; `live.state` alone imports it.
"""
