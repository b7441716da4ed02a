"""Devices: what a card can do, its memory and its computations, and a card of g++ in its place.

`backends` imports it.
"""
