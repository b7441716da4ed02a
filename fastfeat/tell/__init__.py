"""Telling: `explain`, summaries, tables and pages of plans."""
