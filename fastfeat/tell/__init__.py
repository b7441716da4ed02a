"""Telling: `explain`, summaries, tables and pages of plans.

Imports `keep` and the floors below; `api`, `apps.serve` and the command line import it.
"""
