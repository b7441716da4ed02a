"""Exports: a fitted plan as the source of another language, with the bits of `transform`.

The public faces and the command line import it; no layer below does.
"""
