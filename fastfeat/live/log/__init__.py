"""The log in memory: rows in order of arrival, and where those of each entity are.

Imports `online.lower`; `online.state` alone imports it.
"""
