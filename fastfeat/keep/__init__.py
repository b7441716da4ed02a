"""Keeping: plans as JSON documents, and artifacts of what fit has learnt."""
