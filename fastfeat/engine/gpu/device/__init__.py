"""Devices: a card's requirements, memory and computations, and an emulated card, compiled by g++.

`backends` imports it.
"""
