"""Devices: the abilities of a card, its memory and computations, and an emulated card by g++.

`backends` imports it.
"""
