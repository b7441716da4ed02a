"""Pieces of rows that fit in the memory of a device, run one after the other."""
