"""Columns in the memory of a device: placed there, conformed, and brought back."""
