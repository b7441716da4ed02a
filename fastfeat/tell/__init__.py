"""Telling: `explain`, summaries, tables and pages of plans.

Imports any floor of `plan`; none imports it, but `api`, `serve` and the command line.
"""
