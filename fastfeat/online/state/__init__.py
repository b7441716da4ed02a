"""The state of plans that are asked row by row, in memory: what changes it, and what explains it.

Imports `online.ask` and below; knows no file.
"""
