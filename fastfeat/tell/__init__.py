"""Descriptions of plans for people: `explain`, summaries, tables, HTML, code of other libraries."""
