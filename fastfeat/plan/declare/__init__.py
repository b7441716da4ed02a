"""Declaring: arguments checked, columns and rows that expressions read, what may leak, types bound.

Imports nothing else of `plan`; every other floor of it may import from here.
"""
