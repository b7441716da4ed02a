"""Descriptions of plans for people: `explain`, summaries, tables, HTML, and code of peers."""
